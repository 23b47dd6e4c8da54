from __future__ import annotations

import pytest

from optimizer.approval.focus_ledger import read_bill
from providers.errors import JobError

HEAD = "BilledCost,EffectiveCost,BillingCurrency,ChargePeriodStart,ResourceId,Tags\n"
TAG = ("tunefare_request", "r1")
TAGGED = '"{""tunefare_request"": ""r1""}"'


def bill(*rows: str, head: str = HEAD, tag: tuple[str, str] | None = TAG, resource: str | None = None) -> object:
    return read_bill(head + "\n".join(rows), where="bill.csv", tag=tag, resource=resource)


def test_the_rows_of_a_run_are_summed_by_month() -> None:
    found = bill(
        f"1,10.0000001,USD,2026-11-30T23:00:00Z,i-1,{TAGGED}",
        f"1,0.2,USD,2026-11-30T23:30:00Z,i-1,{TAGGED}",
        f"1,5,USD,2026-12-01T00:00:00Z,i-1,{TAGGED}",
        '1,99,USD,2026-12-01T00:00:00Z,i-2,"{""tunefare_request"": ""r2""}"',
        "1,99,EUR,nothing,i-2,not JSON",
        "1,99,EUR,nothing,i-2,[1]",
    )
    assert found.by_month == {"2026-11": 10_200_001, "2026-12": 5_000_000}
    assert (found.usd_micro, found.rows, found.cost) == (15_200_001, 3, "EffectiveCost")
    # Without floats: a thousand times a tenth is a hundred.
    assert bill(*[f"0,0.1,USD,2026-11-01T00:00:00Z,i-1,{TAGGED}"] * 1000).usd_micro == 100_000_000


def test_a_resource_and_a_bill_without_effective_costs() -> None:
    head = "BilledCost,BillingCurrency,ChargePeriodStart,ResourceId\n"
    found = bill("1.5,USD,2026-11-24T00:00:00Z,i-1", "7,USD,2026-11-24T00:00:00Z,i-2", head=head, resource="i-1")
    assert (found.usd_micro, found.cost) == (1_500_000, "BilledCost")


def test_a_credit_counts_against_the_whole() -> None:
    rows = (f"0,10,USD,2026-11-24T00:00:00Z,i,{TAGGED}", f"0,-4,USD,2026-12-01T00:00:00Z,i,{TAGGED}")
    assert bill(*rows).by_month == {"2026-11": 6_000_000}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"1,1,EUR,2026-11-24T00:00:00Z,i,{TAGGED}", "line 2: BillingCurrency = 'EUR': USD"),
        (f"1,NaN,USD,2026-11-24T00:00:00Z,i,{TAGGED}", "EffectiveCost = 'NaN': a number of dollars"),
        (f"1,,USD,2026-11-24T00:00:00Z,i,{TAGGED}", "EffectiveCost = ''"),
        (f"1,1e99,USD,2026-11-24T00:00:00Z,i,{TAGGED}", "EffectiveCost"),
        (f"1,=1+1,USD,2026-11-24T00:00:00Z,i,{TAGGED}", "EffectiveCost"),
        (f"1,1,USD,24.11.2026,i,{TAGGED}", "ChargePeriodStart"),
        (f"1,-1,USD,2026-11-24T00:00:00Z,i,{TAGGED}", "a sum of at least 0"),
        (
            "1,1,USD,2026-11-24T00:00:00Z,i,{}",
            r"rows = 0: at least one row of this run \(Tags with tunefare_request=r1",
        ),
        ('1,1,USD,2026-11-24T00:00:00Z,i,"unclosed', "readable CSV"),
    ],
)
def test_a_bill_that_is_refused(row: str, said: str) -> None:
    with pytest.raises(JobError, match=said):
        bill(row)


@pytest.mark.parametrize("missing", ["BillingCurrency", "ChargePeriodStart", "Tags", "EffectiveCost"])
def test_a_bill_without_a_column(missing: str) -> None:
    head = HEAD.replace(missing, "Other").replace("BilledCost", "x" if missing == "EffectiveCost" else "BilledCost")
    with pytest.raises(JobError, match=f"{missing} = not given: a bill with the columns of FOCUS"):
        bill("1,1,USD,2026-11-24T00:00:00Z,i,{}", head=head)
