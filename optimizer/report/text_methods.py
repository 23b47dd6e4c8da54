"""The trade-off matrices and the decision flow as a person reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .colour import Meaning
from .table import Column, format_heading, format_list, format_paragraph, format_table, join_sections

if TYPE_CHECKING:
    from optimizer.workload.decision import Decision
    from optimizer.workload.matrices import Matrices, Matrix

    from .style import Style


def format_methods(matrices: Matrices, decision: Decision | None, style: Style) -> str:
    """Return the decision (when questions were answered), both matrices, and the rules of thumb beside them."""
    sections = [
        _decision(decision, style) if decision else [],
        _matrix(matrices, matrices.tradeoffs, style),
        _matrix(matrices, matrices.costs, style),
        _rules(matrices, "quantization", "Width of the weights", style),
        _rules(matrices, "sizing", "Sizing", style),
        _rules(matrices, "lever", "Levers", style),
        _hidden_costs(matrices, style),
        [] if decision else _hint(style),
    ]
    return join_sections(sections)


def _matrix(matrices: Matrices, matrix: Matrix, style: Style) -> list[str]:
    columns = [Column(title=matrix.axis.lower()), *(Column(title=matrices.titles[key]) for key in matrices.methods)]
    rows = [[row.name, *(row.cells[key] for key in matrices.methods)] for row in matrix.rows]
    return [
        format_heading(matrix.title, "", style),
        *format_table(columns, rows, style),
        *format_list(matrix.reading, style),
    ]


def _decision(decision: Decision, style: Style) -> list[str]:
    words = [f"{decision.method} {decision.bits}-bit"]
    if decision.sharding != "none":
        words.append(f"sharding {decision.sharding}")
    words.append(f"objective {decision.objectives[0]}")
    if len(decision.objectives) > 1:
        words.append(f"then {' or '.join(decision.objectives[1:])}")
    title = (
        f"{style.paint('Recommended', Meaning.HEADING)}  {style.paint(style.plain(' · '.join(words)), Meaning.CHOICE)}"
    )
    return [title, *format_list(decision.path, style)]


def _rules(matrices: Matrices, kind: str, title: str, style: Style) -> list[str]:
    statements = [rule.statement for rule in matrices.rules_of(kind)]
    return [format_heading(title, "", style), *format_list(statements, style)] if statements else []


def _hidden_costs(matrices: Matrices, style: Style) -> list[str]:
    items = [f"{cost.statement}: {cost.flag}" for cost in matrices.hidden_costs]
    return [format_heading("Hidden costs", "line items of a plan when given", style), *format_list(items, style)]


def _hint(style: Style) -> list[str]:
    usage = "$ tunefare methods [--budget-tight] [--low-vram] [--domain-shift] [--alignment]"
    return [
        format_heading("Which one?", "answer what holds", style),
        *format_paragraph(usage, style, indent="      ", first="  "),
    ]
