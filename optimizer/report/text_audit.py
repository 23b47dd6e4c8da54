"""What a check of the audit chain found, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .colour import Meaning
from .figures import plural
from .table import format_heading, format_list, format_pairs, format_paragraph, join_sections

if TYPE_CHECKING:
    from .ledger_answers import AnchorAnswer, AuditAnswer
    from .style import Style


def format_audit(answer: AuditAnswer, style: Style) -> str:
    """Return the verdict as text: whole, or which row is the first that is wrong and how."""
    report = answer.report
    verdict = "whole" if report.wrong is None else "NOT WHOLE"
    heading = format_heading("Audit", f"ledger {report.ledger_id}, {plural(report.rows, 'row')}", style)
    painted = style.paint(verdict, Meaning.GOOD if report.wrong is None else Meaning.BROKEN)
    pairs = [("Chain", painted), ("Head", f"row {report.head.sequence}"), ("", report.head.hash)]
    if report.wrong is not None:
        pairs.insert(1, (f"Row {report.first_wrong}", report.wrong))
    if report.anchor is not None:
        pairs.append(("Anchor", f"row {report.anchor.sequence} of {report.anchor.ledger_id}"))
    said: list[str] = []
    if report.disagreements:
        first = style.paint("The tables do NOT hold what the rows say:", Meaning.BROKEN)
        said = [f"  {first}"]
        said += format_list(report.disagreements, style)
    advice: list[str] = []
    if not report.ok:
        advice = format_paragraph("Somebody wrote past the ledger: restore a copy, and compare.", style)
    elif report.anchor is None:
        advice = format_paragraph("Against a rewrite of the whole chain only an anchor helps: --anchor FILE", style)
    return join_sections([[heading, *format_pairs(pairs, style)], said, advice])


def format_anchor(answer: AnchorAnswer) -> str:
    """Return the head of the chain in one line, to be kept in an outside place."""
    return answer.anchor.text + "\n"
