"""The published cost table, to the cent where its printed hours allow it, and its comparisons."""

from __future__ import annotations

from decimal import Decimal

import pytest

from optimizer.workload.calculator import estimate_cost, gpu_hours
from optimizer.workload.seed_tables import SeedTables, load_seed_tables

TOKENS_PER_S = 1_000
PRICE = 0.26


@pytest.fixture(scope="module")
def tables() -> SeedTables:
    return load_seed_tables()


def calculated(hours: float, gpus: int, price: float) -> dict[str, float]:
    """Run the public calculator on as many tokens as `gpus` GPUs at 1,000 tokens/s get through in `hours`."""
    tokens = hours * 3600 * TOKENS_PER_S * gpus
    return estimate_cost(tokens, 1, 1, TOKENS_PER_S, gpus, 1.0, price)


@pytest.mark.parametrize(
    ("name", "hours", "usd"),
    [("LoRA", 14.9, "15.50"), ("QLoRA", 14.1, "14.66"), ("DoRA", 15.9, "16.54")],
)
def test_self_hosted_rows_to_the_cent(tables: SeedTables, name: str, hours: float, usd: str) -> None:
    row = tables.cost(name)
    assert (row.hours, row.gpus, row.gpu) == (hours, 4, "RTX A5000")
    assert tables.usd_per_gpu_hour == Decimal("0.26")
    assert row.printed_usd == Decimal(usd)
    assert row.usd(tables.usd_per_gpu_hour) == Decimal(usd)
    answer = calculated(hours, 4, PRICE)
    assert answer["train_hours"] == pytest.approx(hours, rel=1e-12)
    assert f"{answer['cost_usd']:.2f}" == usd


def test_rslora_is_15_08_from_the_printed_hours_and_the_table_rounded_them(tables: SeedTables) -> None:
    row = tables.cost("rsLoRA")
    assert row.printed_usd == Decimal("15.11")
    assert row.usd(tables.usd_per_gpu_hour) == Decimal("15.08")
    assert f"{calculated(14.5, 4, PRICE)['cost_usd']:.2f}" == "15.08"
    assert f"{calculated(14.529, 4, PRICE)['cost_usd']:.2f}" == "15.11"
    assert round(14.529, 1) == 14.5
    assert "14.529" in row.note


def test_bloomberg_gpu_hours_and_the_price_that_its_cost_implies(tables: SeedTables) -> None:
    row = tables.cost("BloombergGPT")
    assert row.gpu_hours == gpu_hours(53 * 24, 512) == 651_264
    assert float(row.printed_usd) / 651_264 == pytest.approx(4.15, abs=0.005)
    assert calculated(53 * 24, 512, 4.15)["cost_usd"] == pytest.approx(2.7e6, rel=2e-3)


def test_the_reduction_is_99_999_percent_and_not_99_5(tables: SeedTables) -> None:
    reduction = 100 * (1 - 15 / float(tables.cost("BloombergGPT").printed_usd))
    assert f"{reduction:.3f}" == "99.999"
    statement = next(item for item in tables.statements if item.key == "reduction")
    assert statement.verdict == "errs"
    assert "99.5" in statement.printed
    assert "99.999" in statement.note


@pytest.mark.parametrize(("name", "usd", "times"), [("Gemini 2.0 FL", "162.02", 10), ("GPT-4o-mini", "312.00", 20)])
def test_managed_services_cost_the_printed_multiple_of_lora(
    tables: SeedTables, name: str, usd: str, times: int
) -> None:
    row = tables.cost(name)
    assert row.printed_usd == Decimal(usd)
    assert row.gpus is None
    assert row.usd(tables.usd_per_gpu_hour) is None
    assert round(row.printed_usd / tables.cost("LoRA").printed_usd) == times


def test_managed_services_are_tokens_times_price_and_no_gpu_hours() -> None:
    # 104 million tokens over four epochs at $3 per million are the table's $312 (26 million tokens an epoch).
    nano_per_token = 3_000
    assert 26_000_000 * 4 * nano_per_token / 1e9 == pytest.approx(312.00)


def test_gpu_hours_and_cost_ranges_of_the_self_hosted_rows(tables: SeedTables) -> None:
    rows = [tables.cost(name) for name in ("LoRA", "QLoRA", "DoRA", "rsLoRA")]
    spent = sorted(row.gpu_hours for row in rows if row.gpu_hours is not None)
    assert spent[0] == pytest.approx(56.4)
    assert spent[-1] == pytest.approx(63.6)
    costs = sorted(row.usd(tables.usd_per_gpu_hour) or Decimal(0) for row in rows)
    assert (costs[0], costs[-1]) == (Decimal("14.66"), Decimal("16.54"))


def test_every_row_of_the_document_is_there(tables: SeedTables) -> None:
    assert [row.name for row in tables.costs] == [
        "BloombergGPT", "LoRA", "QLoRA", "DoRA", "rsLoRA", "Gemini 2.0 FL", "GPT-4o-mini",
    ]  # fmt: skip
    assert len(tables.sizes) == 7
    with pytest.raises(KeyError):
        tables.cost("GPT-4o")


def test_a_statement_that_errs_says_how(tables: SeedTables) -> None:
    assert {statement.verdict for statement in tables.statements} == {"reproduced", "errs"}
    assert all(statement.note for statement in tables.statements if statement.verdict == "errs")
    keys = [statement.key for statement in tables.statements]
    assert len(keys) == len(set(keys))
