"""What commands beside `plan` answer where nothing fits: the answer of `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .output import deliver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.search.results import Plan

INFEASIBLE = 7
"""The exit code: nothing keeps every limit."""


def deliver_infeasible(plan: Plan, words: Sequence[str], *, as_json: bool, output: str | None) -> int:
    """Write an infeasible plan as `plan` does, its JSON a `tunefare.plan/v1`, and return the exit code."""
    from optimizer.report.json_plan import plan_text
    from optimizer.report.text_plan import format_plan

    deliver(
        text=lambda style: format_plan(plan, style, words=words),
        document=lambda: plan_text(plan),
        as_json=as_json,
        output=output,
    )
    return INFEASIBLE
