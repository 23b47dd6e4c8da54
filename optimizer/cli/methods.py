"""`tunefare methods`: the trade-off matrices and the decision flow."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Json, Output

QUESTIONS = "What holds (none given: matrices only)"


def _question(flag: str, help_text: str) -> object:
    return typer.Option(flag, help=help_text, rich_help_panel=QUESTIONS, show_default=False)


def methods(
    *,
    budget_tight: Annotated[bool | None, _question("--budget-tight/--no-budget-tight", "the budget is tight")] = None,
    low_vram: Annotated[bool | None, _question("--low-vram/--no-low-vram", "GPU memory is scarce")] = None,
    domain_shift: Annotated[
        bool | None, _question("--domain-shift/--no-domain-shift", "the data is far from what the model knows")
    ] = None,
    alignment: Annotated[
        bool | None, _question("--alignment/--no-alignment", "answers must follow people's preferences")
    ] = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """The trade-offs of the tuning methods, and which to pick for what holds."""
    from optimizer.report.json_methods import methods_text
    from optimizer.report.text_methods import format_methods
    from optimizer.workload.decision import decide
    from optimizer.workload.matrices import load_matrices

    from .output import deliver

    answers = (budget_tight, low_vram, domain_shift, alignment)
    decision = None
    if any(answer is not None for answer in answers):
        decision = decide(
            budget_tight=bool(budget_tight),
            low_vram=bool(low_vram),
            domain_shift=bool(domain_shift),
            alignment=bool(alignment),
        )
    matrices = load_matrices()
    deliver(
        text=lambda style: format_methods(matrices, decision, style),
        document=lambda: methods_text(matrices, decision),
        as_json=as_json,
        output=output,
    )
    return 0
