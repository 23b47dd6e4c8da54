from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from optimizer.approval.records import Budget, BudgetState, Period
from optimizer.report.style import Style
from optimizer.report.text_budget import CELLS, format_bar

AMOUNTS = st.integers(min_value=0, max_value=10**12)


def state(limit: int, posted: int, pending: int) -> BudgetState:
    budget = Budget(id="b", period=Period.TOTAL, limit_usd_micro=limit)
    return BudgetState(budget=budget, period_key="total", pending_usd_micro=pending, posted_usd_micro=posted)


@given(limit=AMOUNTS, posted=AMOUNTS, pending=AMOUNTS, unicode=st.booleans())
def test_a_bar_is_as_wide_as_every_other_and_hides_nothing(
    limit: int, posted: int, pending: int, unicode: bool
) -> None:
    bar = format_bar(state(limit, posted, pending), Style(unicode=unicode))
    full, held, empty = "█▒░" if unicode else "#=."
    assert len(bar) == CELLS
    assert bar == "".join(sorted(bar, key=(full + held + empty).index))
    assert (posted > 0) == (full in bar)
    assert (pending > 0) == (held in bar)
    if posted + pending >= limit > 0:
        assert empty not in bar


def test_bars() -> None:
    style = Style(unicode=False)
    assert format_bar(state(100, 50, 25), style, 8) == "####==.."
    assert format_bar(state(100, 0, 0), style, 8) == "........"
    assert format_bar(state(0, 0, 0), style, 8) == "........"
    assert format_bar(state(100, 300, 100), style, 8) == "######=="
