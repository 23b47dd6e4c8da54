"""What an export wrote and what an import did, as a person reads it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .figures import plural
from .table import Column, format_heading, format_paragraph, format_table, join_sections
from .text_history import format_minute

if TYPE_CHECKING:
    from .record_answers import ExportAnswer, ImportAnswer, ImportedScope
    from .style import Style

OUTCOMES: dict[str, str] = {
    "imported": "imported",
    "same": "there already",
    "older": "older",
    "partial": "in part",
    "refused": "refused",
}
"""What became of a scope: code and words."""

COLUMNS = (
    Column(title="provider"),
    Column(title="scopes", right=True),
    Column(title="offers", right=True),
    Column(title="new", right=True),
    Column(title="changed", right=True),
    Column(title="gone", right=True),
    Column(title="held", right=True),
    Column(title="left alone", shrinks=True),
)


def format_export(answer: ExportAnswer) -> list[str]:
    """Return what was written, in lines of talk."""
    live = plural(answer.scopes, "live scope")
    partly = f" ({answer.partial_scopes} in part)" if answer.partial_scopes else ""
    lines = [f"wrote {answer.file}: {plural(answer.offers, 'offer')} as {answer.format}, {live}{partly}"]
    if answer.sha256:
        lines.append(f"sha256 {answer.sha256}")
    return lines


def format_import(answer: ImportAnswer, style: Style) -> str:
    """Return what an import did: a line a provider, then what was passed over, and why."""
    done = answer.count("imported")
    would = "would be imported" if answer.dry_run else "imported"
    aside = f"{done} of {plural(len(answer.scopes), 'scope')} {would} into {answer.place}"
    if answer.dry_run:
        aside = f"{done} of {plural(len(answer.scopes), 'scope')} {would}; nothing was stored"
    heading = [format_heading("Import", aside, style)]
    providers = sorted({scope.provider for scope in answer.scopes})
    if providers:
        rows = [_row(name, [scope for scope in answer.scopes if scope.provider == name]) for name in providers]
        heading += format_table(COLUMNS, rows, style)
    notes = [line for note in _notes(answer) for line in format_paragraph(note, style)]
    return join_sections([heading, notes])


def _row(name: str, scopes: list[ImportedScope]) -> list[str]:
    done = [scope for scope in scopes if scope.outcome == "imported"]
    left = Counter(scope.outcome for scope in scopes if scope.outcome != "imported")
    return [
        name,
        str(len(done)),
        *(
            f"{sum(getattr(scope, field) for scope in done):,}"
            for field in ("offers", "added", "changed", "gone", "quarantined")
        ),
        ", ".join(f"{count} {OUTCOMES[outcome]}" for outcome, count in sorted(left.items())),
    ]


def _notes(answer: ImportAnswer) -> list[str]:
    notes = [f"File of {format_minute(answer.exported_at)} UTC · sha256 {answer.sha256[:12]}"]
    notes += [
        f"{scope.provider} {scope.region} {scope.pricing_model}: {scope.detail}"
        for scope in answer.scopes
        if scope.outcome == "refused"
    ]
    skipped = [
        f"{plural(count, 'row')} {words}"
        for count, words in ((answer.skipped_list, "of the bundled list"), (answer.skipped_own, "of somebody's own"))
        if count
    ]
    if skipped:
        notes.append(f"Passed over: {' and '.join(skipped)}")
    if answer.unknown_gpus:
        notes.append(f"{plural(answer.unknown_gpus, 'offer')} of GPUs that this version does not know")
    if any(scope.quarantined for scope in answer.scopes):
        notes.append("Held back rows: tunefare prices quarantine list")
    return notes
