"""What a refresh did, as a person reads it: a table of the sources, and below it everything that needs attention."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from providers.scope import DROP_REASONS

from .colour import Meaning
from .figures import DAY, format_age, format_span, plural
from .refresh_answers import GOOD_OUTCOMES
from .table import Column, format_heading, format_list, format_pairs, format_paragraph, format_table, join_sections

if TYPE_CHECKING:
    from .refresh_answers import RefreshAnswer, RefreshedSource
    from .style import Style

OUTCOMES = {
    "refreshed": "refreshed",
    "fresh": "fresh",
    "partial": "partial",
    "failed": "failed",
    "no_credentials": "skipped",
    "not_offered": "nothing",
}
"""Outcomes as the table writes them."""
MOST_ERRORS = 5
"""Lines of one source; all of them are in the JSON."""


def format_refresh(answer: RefreshAnswer, style: Style) -> str:
    """Return the summary as text. Sources stand in alphabetical order."""
    return join_sections(
        [
            _table(answer, style),
            _section("What failed", _failures(answer), style),
            _section("Refused as a whole; the prices before stay, with their age", _refusals(answer), style),
            _section("Skipped: not configured", _lines(answer, "no_credentials"), style),
            _section("Nothing: they have no prices of what was asked for", _lines(answer, "not_offered"), style),
            _section("GPUs that the GPU table does not know: stored, never chosen", _unknown(answer), style),
            _section("Rows that became no offer", _dropped(answer), style),
            _closing(answer, style),
        ]
    )


def _table(answer: RefreshAnswer, style: Style) -> list[str]:
    offers = sum(source.offers for source in answer.sources)
    young = all(source.outcome == "fresh" for source in answer.sources)
    brought = "all young enough, none asked" if young else plural(offers, "offer")
    what = f"{plural(len(answer.sources), 'source')}, {brought}"
    took = format_span(answer.duration_ms / 1000)
    kept = "dry run: nothing is stored" if answer.dry_run else f"in {took}"
    columns = [
        Column(title="provider", shrinks=True, smallest=6),
        Column(title="outcome"),
        Column(title="offers", right=True),
        Column(title="new", right=True),
        Column(title="changed", right=True),
        Column(title="gone", right=True),
        Column(title="held", right=True),
        Column(title="dropped", right=True),
        Column(title="s", right=True),
        Column(title="success", right=True),
    ]
    rows = [_row(source, answer) for source in answer.sources]
    return [format_heading("Refresh", f"{what}, {kept}", style), *format_table(columns, rows, style)]


def _row(source: RefreshedSource, answer: RefreshAnswer) -> list[str]:
    asked = source.outcome not in {"fresh", "no_credentials", "not_offered"}
    counts = (
        source.offers, source.added, source.changed, source.gone, source.quarantined, source.dropped_rows,
    )  # fmt: skip
    return [
        source.provider,
        OUTCOMES.get(source.outcome, source.outcome),
        *(f"{count:,}" if asked else "–" for count in counts),
        f"{source.duration_ms / 1000:.1f}" if asked else "–",
        _since(source, answer),
    ]


def _since(source: RefreshedSource, answer: RefreshAnswer) -> str:
    """Return how long ago the source was last refreshed in full."""
    if source.last_success_at is None:
        return "never"
    age_s = max((answer.finished_at - source.last_success_at).total_seconds(), 0.0)
    if answer.started_at <= source.last_success_at:
        return "now"
    return f"{age_s / DAY:.0f} d" if age_s >= 2 * DAY else format_age(age_s)


def _section(title: str, items: list[str], style: Style) -> list[str]:
    return [style.paint(style.plain(title), Meaning.HEADING), *format_list(items, style)] if items else []


def _failures(answer: RefreshAnswer) -> list[str]:
    lines: list[str] = []
    for source in answer.sources:
        if source.outcome in {"failed", "partial"}:
            # One host that is down fails every region in the same words.
            said = [
                f"{words} ({count:,} times)" if count > 1 else words for words, count in Counter(source.errors).items()
            ]
            lines += said[:MOST_ERRORS]
            more = len(said) - MOST_ERRORS
            lines += [f"{source.provider}: {plural(more, 'more error')} (--json shows all)"] if more > 0 else []
    return lines


def _refusals(answer: RefreshAnswer) -> list[str]:
    lines: list[str] = []
    for source in answer.sources:
        lines += [
            f"{source.provider} {one.region} {one.pricing_model}: {one.detail}" for one in source.refused[:MOST_ERRORS]
        ]
        more = len(source.refused) - MOST_ERRORS
        lines += [f"{source.provider}: {plural(more, 'more scope')} (--json shows all)"] if more > 0 else []
    return lines


def _lines(answer: RefreshAnswer, outcome: str) -> list[str]:
    """Return the reason of each source with that outcome; one without a reason was asked, and had nothing."""
    return [
        source.errors[0] if source.errors else f"{source.provider}: was asked, and has none at the moment"
        for source in answer.sources
        if source.outcome == outcome
    ]


def _unknown(answer: RefreshAnswer) -> list[str]:
    return [
        f"{source.provider}: " + ", ".join(f"{name} in {plural(count, 'offer')}" for name, count in names.items())
        for source in answer.sources
        if (names := source.unknown_gpus)
    ]


def _dropped(answer: RefreshAnswer) -> list[str]:
    total: Counter[str] = Counter()
    for source in answer.sources:
        total.update(source.dropped)
    most = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return [f"{count:,}: {DROP_REASONS.get(reason, reason)}" for reason, count in most]


def _closing(answer: RefreshAnswer, style: Style) -> list[str]:
    pairs: list[tuple[str, str]] = []
    if answer.unserved_regions:
        pairs.append(("Nowhere", f"no source has prices in {', '.join(answer.unserved_regions)}"))
    if answer.waiting:
        pairs.append(("Held", f"{plural(answer.waiting, 'row')} in quarantine: tunefare prices quarantine list"))
    if any(source.released for source in answer.sources):
        released = sum(source.released for source in answer.sources)
        pairs.append(("Released", f"{plural(released, 'jump')} that a whole GPU family made together"))
    if answer.place:
        pairs.append(("Store", answer.place))
    lines = format_pairs(pairs, style) if pairs else []
    if all(source.outcome in GOOD_OUTCOMES for source in answer.sources) or answer.exit_code == 0:
        return lines
    words = "Prices that were not renewed keep their age: tunefare prices status"
    return [*lines, *format_paragraph(words, style)]
