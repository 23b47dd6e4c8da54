from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.app.budgeting import parse_exact_usd, parse_month, parse_share, set_budget, show_budgets
from optimizer.app.ledger_place import ledger_url, this_user
from optimizer.app.settings import Settings
from optimizer.approval.errors import LedgerMissing
from optimizer.approval.records import Assurance, Budget, Period
from providers.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path

NOW = "2026-11-24T09:00Z"


@given(st.integers(min_value=0, max_value=10**15))
def test_an_amount_is_read_exactly(micro: int) -> None:
    text = f"{Decimal(micro).scaleb(-6):f}"
    assert parse_exact_usd(text, key="limit") == micro
    whole, _, rest = f"{Decimal(micro).scaleb(-6):,f}".partition(".")
    assert parse_exact_usd(f"${whole}{'.' + rest if rest else ''}", key="limit") == micro


@pytest.mark.parametrize(
    "text",
    [
        "-1", "-0", "+1", "nan", "NaN", "Infinity", "1e3", "1E-3", "1.0000001", "", " ", ".", "1.", ".5", "1,00",
        "1_000", "0x10", "1000000000.000001", "10000000000", "1 000", "１", "9" * 400, "1\n2", "$", "1.00 EUR",
    ],
)  # fmt: skip
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(JobError, match="at most six decimals"):
        parse_exact_usd(text, key="limit")


def test_amounts_shares_and_months() -> None:
    assert parse_exact_usd("1.50000000", key="limit") == 1_500_000
    assert [parse_share(text) for text in ("0", "0.8", "80%", "12.5%", "1", "100%")] == [
        0, 800_000, 800_000, 125_000, 10**6, 10**6,
    ]  # fmt: skip
    for text in ("1.1", "101%", "-1", "nan", "80", "0.8%%", ""):
        with pytest.raises(JobError, match="a share of the limit"):
            parse_share(text)
    for text in ("2026-13", "2026-1", "26-01", "november", "2026-11-24"):
        with pytest.raises(JobError, match="a month such as"):
            parse_month(text)


def stated(tmp_path: Path) -> Settings:
    return Settings(ledger_url=str(tmp_path / "state" / "ledger.db"))


def test_budgets_are_made_changed_and_shown_as_a_tree(tmp_path: Path) -> None:
    here = stated(tmp_path)
    with pytest.raises(LedgerMissing):
        show_budgets(now=NOW, settings=here)
    with pytest.raises(LedgerMissing):
        set_budget("org", limit="1000", now=NOW, settings=here)
    with pytest.raises(JobError, match="limit"):
        set_budget("org", new_ledger="team-ledger", now=NOW, settings=here)
    assert not (tmp_path / "state").exists()
    made = set_budget("org", limit="1000", period="total", new_ledger="team-ledger", now=NOW, settings=here)
    assert (made.done, made.before, made.ledger_id) == ("made", None, "team-ledger")
    with pytest.raises(JobError, match="b is new"):
        set_budget("b", parent="org", now=NOW, settings=here)
    set_budget("b", limit="10", parent="org", soft="80%", now=NOW, settings=here)
    set_budget("a-child", limit="5", parent="b", now=NOW, settings=here)
    set_budget("alone", limit="7", now=NOW, settings=here)
    shown = show_budgets(now=NOW, settings=here)
    assert [(one.id, depth) for one, depth in zip(shown.budgets, shown.depths, strict=True)] == [
        ("alone", 0), ("org", 0), ("b", 1), ("a-child", 2),
    ]  # fmt: skip
    assert [state.period_key for state in shown.states] == ["2026-11", "2026-11", "2026-11", "total"]
    assert [one.id for one in show_budgets(["b"], now=NOW, settings=here).budgets] == ["org", "b", "a-child"]
    assert [one.id for one in show_budgets(["a-child"], now=NOW, settings=here).budgets] == ["org", "b", "a-child"]
    assert [one.id for one in show_budgets(["alone"], now=NOW, settings=here).budgets] == ["alone"]
    with pytest.raises(JobError, match=r"nix.*a budget of the ledger: a-child, alone, b, org"):
        show_budgets(["nix"], now=NOW, settings=here)
    # What is not said stays.
    changed = set_budget("b", limit="11.50", now=NOW, settings=here)
    assert changed.done == "changed"
    assert changed.budgets[-1] == Budget(
        id="b", period=Period.MONTH, limit_usd_micro=11_500_000, soft_ppm=800_000, parent="org"
    )
    assert set_budget("b", now=NOW, settings=here).done == "unchanged"
    bare = set_budget("b", no_soft=True, no_parent=True, now=NOW, settings=here).budgets[0]
    assert (bare.soft_ppm, bare.parent) == (None, None)
    with pytest.raises(JobError, match="month or total"):
        set_budget("b", period="week", now=NOW, settings=here)
    with pytest.raises(LedgerMissing, match="is the ledger 'team-ledger', not 'other'"):
        set_budget("b", limit="1", new_ledger="other", now=NOW, settings=here)


def test_where_the_ledger_is(tmp_path: Path) -> None:
    assert ledger_url(Settings(ledger_url="x.db"), {}) == "x.db"
    assert ledger_url(Settings(), {"XDG_STATE_HOME": "/state"}) == "/state/tunefare/ledger.db"
    assert ledger_url(Settings(), {"XDG_STATE_HOME": "relative"}).endswith("/.local/state/tunefare/ledger.db")


def test_who_writes_is_not_asked_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = this_user()
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    assert this_user() == before
    assert before.assurance is Assurance.OS_USER
    assert before.name != "mallory"
