"""What is known of prices, as a person reads it: a line for each provider and pricing model, or for each scope."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .colour import Meaning
from .figures import DAY, format_age, format_age_range, format_day, plural
from .refresh_answers import GOOD_OUTCOMES
from .table import Column, format_heading, format_list, format_pairs, format_paragraph, format_table, join_sections
from .text_refresh import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .refresh_answers import ListedStatus, ScopeStatus, SourceStatus, StatusAnswer
    from .style import Style

MOST_PROBLEMS = 12
"""Lines of what is wrong; all of it is in the JSON."""
CLOCKS_DIFFER = timedelta(minutes=5)
"""So far may the clock of the machine that refreshed be ahead without a word."""


def format_status(answer: StatusAnswer, style: Style, *, every_scope: bool = False) -> str:
    """Return the status as text; with `every_scope` a line for each region, otherwise the oldest of them speaks."""
    live = _every_scope(answer, style) if every_scope else _by_provider(answer, style)
    return join_sections(
        [
            live if answer.scopes else [],
            _problems(answer, style),
            _listed(answer, style),
            _not_configured(answer, style),
            _closing(answer, style),
        ]
    )


def _by_provider(answer: StatusAnswer, style: Style) -> list[str]:
    columns = [
        Column(title="provider", shrinks=True, smallest=6),
        Column(title="paid"),
        Column(title="regions", right=True),
        Column(title="offers", right=True),
        Column(title="held", right=True),
        Column(title="oldest", right=True),
        Column(title=""),
        Column(title="asked", right=True),
        Column(title="outcome"),
    ]
    groups: dict[tuple[str, str], list[ScopeStatus]] = {}
    for scope in answer.scopes:
        groups.setdefault((scope.provider, scope.pricing_model), []).append(scope)
    outcomes = {source.provider: OUTCOMES.get(source.outcome, "never asked") for source in answer.sources}
    rows = [_group_row(scopes, answer, outcomes.get(name, "")) for (name, _), scopes in groups.items()]
    return [_heading(answer, style), *format_table(columns, rows, style)]


def _group_row(scopes: Sequence[ScopeStatus], answer: StatusAnswer, outcome: str) -> list[str]:
    """Return one provider and pricing model: regions that have prices speak; the oldest of them says how old."""
    priced = [scope for scope in scopes if scope.age_s is not None and scope.offers]
    oldest = max(priced or scopes, key=lambda scope: -1 if scope.age_s is None else scope.age_s)
    return [
        oldest.provider,
        oldest.pricing_model,
        f"{len(priced):,}",
        f"{sum(scope.offers for scope in scopes):,}",
        f"{sum(scope.quarantined for scope in scopes):,}",
        *_age_cells(oldest, answer),
        _asked(oldest, answer),
        outcome,
    ]


def _every_scope(answer: StatusAnswer, style: Style) -> list[str]:
    columns = [
        Column(title="provider", shrinks=True, smallest=6),
        Column(title="region", shrinks=True, smallest=10),
        Column(title="paid"),
        Column(title="offers", right=True),
        Column(title="held", right=True),
        Column(title="age", right=True),
        Column(title=""),
        Column(title="asked", right=True),
    ]
    rows = [
        [
            scope.provider,
            scope.region,
            scope.pricing_model,
            f"{scope.offers:,}",
            f"{scope.quarantined:,}",
            *_age_cells(scope, answer),
            _asked(scope, answer),
        ]
        for scope in answer.scopes
    ]
    return [_heading(answer, style), *format_table(columns, rows, style)]


def _heading(answer: StatusAnswer, style: Style) -> str:
    offers = sum(scope.offers for scope in answer.scopes)
    names = {scope.provider for scope in answer.scopes}
    return format_heading("Live prices", f"{plural(offers, 'offer')} of {plural(len(names), 'provider')}", style)


def _age_cells(scope: ScopeStatus, answer: StatusAnswer) -> list[str]:
    if scope.age_s is None:
        return ["–", "no price"]
    if scope.last_success_at is not None and scope.last_success_at > answer.made_at + CLOCKS_DIFFER:
        return ["–", "after now"]  # `--now` in the past, or a clock that was wrong: not young
    return [_short_age(scope.age_s), scope.freshness or ""]


def _asked(scope: ScopeStatus, answer: StatusAnswer) -> str:
    """Return how long ago the source was last asked."""
    if scope.last_attempt_at is None:
        return "never"
    return _short_age((answer.made_at - scope.last_attempt_at).total_seconds())


def _short_age(seconds: float) -> str:
    return f"{seconds / DAY:.0f} d" if seconds >= 2 * DAY else format_age(seconds)


def _problems(answer: StatusAnswer, style: Style) -> list[str]:
    """Return what went wrong in the last attempts: once a source, and once a scope whose batch was refused."""
    lines = [
        f"{source.error or source.provider} ({OUTCOMES.get(source.outcome, 'failed')}, {_success(source, answer)})"
        for source in answer.sources
        if source.outcome and source.outcome not in GOOD_OUTCOMES and not source.missing
    ]
    lines += [source.broken for source in answer.sources if source.broken and not source.error]
    said = " ".join(lines)
    lines += [
        f"{scope.provider} {scope.region} {scope.pricing_model}: {scope.refused}"
        for scope in answer.scopes
        if scope.refused and scope.refused not in said
    ]
    more = len(lines) - MOST_PROBLEMS
    lines = [*lines[:MOST_PROBLEMS], f"{more:,} more (--json shows all)"] if more > 0 else lines
    title = "What failed; prices that were not renewed keep their age"
    return [style.paint(style.plain(title), Meaning.HEADING), *format_list(lines, style)] if lines else []


def _success(source: SourceStatus, answer: StatusAnswer) -> str:
    if source.last_success_at is None:
        return "never with success"
    return f"last success {_short_age((answer.made_at - source.last_success_at).total_seconds())} ago"


def _listed(answer: StatusAnswer, style: Style) -> list[str]:
    """Return the bundled list: a table where it is all there is, otherwise one sentence."""
    if not answer.listed:
        return []
    offers = sum(row.offers for row in answer.listed)
    names = sorted({row.provider for row in answer.listed})
    title = format_heading("List prices", f"bundled, dated: {plural(offers, 'offer')}", style)
    if answer.scopes:
        oldest = max(row.age_s for row in answer.listed)
        newest = (answer.made_at - max(row.newest_observed_at for row in answer.listed)).total_seconds()
        words = f"where there are no live ones: {', '.join(names)}; {format_age_range(newest, oldest)} old"
        return [title, *format_paragraph(words, style)]
    columns = [
        Column(title="provider", shrinks=True, smallest=6),
        Column(title="paid"),
        Column(title="regions", right=True),
        Column(title="offers", right=True),
        Column(title="oldest"),
        Column(title="newest", optional=True),
        Column(title="age", right=True),
        Column(title=""),
    ]
    return [title, *format_table(columns, [_listed_row(row) for row in answer.listed], style)]


def _listed_row(row: ListedStatus) -> list[str]:
    return [
        row.provider,
        row.pricing_model,
        f"{row.regions:,}",
        f"{row.offers:,}",
        format_day(row.oldest_observed_at),
        format_day(row.newest_observed_at),
        _short_age(row.age_s),
        row.freshness,
    ]


def _not_configured(answer: StatusAnswer, style: Style) -> list[str]:
    lines = [
        f"{source.provider}: set " + ", ".join(f"{item.name} ({item.help})" for item in source.missing)
        for source in answer.sources
        if source.missing
    ]
    return [style.paint("Not configured", Meaning.HEADING), *format_list(lines, style)] if lines else []


def _closing(answer: StatusAnswer, style: Style) -> list[str]:
    waiting = sum(scope.quarantined for scope in answer.scopes)
    never = [one.provider for one in answer.sources if not (one.outcome or one.missing or one.broken)]
    pairs: list[tuple[str, str]] = []
    if waiting:
        pairs.append(("Held", f"{plural(waiting, 'row')} in quarantine: tunefare prices quarantine list"))
    if answer.scopes and never:
        pairs.append(("Never asked", f"{', '.join(never)}: tunefare prices refresh"))
    if answer.place:
        pairs.append(("Store", answer.place))
    if answer.scopes:
        return format_pairs(pairs, style) if pairs else []
    words = "No live price is known yet: tunefare prices refresh asks the sources"
    words += f" (ready: {', '.join(never)})." if never else "."
    return [*format_paragraph(words, style), *(format_pairs(pairs, style) if pairs else [])]
