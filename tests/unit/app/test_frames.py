"""Answers as frames, and the public estimate."""

from __future__ import annotations

import builtins
import dataclasses
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from optimizer import estimate
from optimizer.app.frames import PLAN_COLUMNS, estimate_row, plan_rows, prices_frame, to_frame
from optimizer.app.planning import plan_job
from optimizer.app.pricing import list_prices
from optimizer.app.settings import Settings
from optimizer.workload.job_input import JobInput
from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from optimizer.app.flags import EstimateFlags
    from optimizer.search.results import Plan


@pytest.fixture
def planned(market_csv: Path, now: datetime) -> Plan:
    job = JobInput.from_mapping({"model": "llama-3.1-8b", "tokens": 20_000_000, "seq_len": 512}, where="test")
    return plan_job(job, settings=Settings(offers=market_csv, only_offers=True), now=now)


@pytest.fixture
def flags(market_csv: Path) -> EstimateFlags:
    return {
        "model": "llama-3.1-8b", "tokens": 20_000_000, "seq_len": 512, "gpu": "H100-SXM-80GB", "method": "qlora",
        "micro_batch": 4, "offers": market_csv, "only_offers": True, "now": "2031-05-06T07:08:09Z",
    }  # fmt: skip


def test_plan_rows_are_in_dollars_hours_and_gib(planned: Plan) -> None:
    row, choice = plan_rows(planned)[0], planned.choices[0]
    assert tuple(row) == PLAN_COLUMNS
    assert (row["role"], row["limit"]) == ("choice", None)
    assert row["cost_usd"] == Decimal(choice.quote.expected_usd_micro) / 1_000_000
    assert row["usd_per_hour"] == Decimal(choice.offer.unit_price_nano * choice.nodes) / 10**9
    assert row["hours"] == pytest.approx(choice.duration_s.expected / 3600)
    assert row["memory_needed_gib"] == pytest.approx(choice.memory.needed.high / 2**30)
    assert row["cost_usd_high"] == Decimal(choice.quote.high_usd_micro) / 1_000_000
    assert row["cost_usd_low"] == Decimal(choice.quote.low_usd_micro) / 1_000_000
    age = planned.made_at - choice.offer.observed_at
    assert row["price_age_days"] == pytest.approx(age.total_seconds() / 86_400)


def test_gpus_and_dollars_an_hour_are_those_of_all_nodes(planned: Plan) -> None:
    choice = dataclasses.replace(planned.choices[0], nodes=3)
    row = plan_rows(dataclasses.replace(planned, choices=(choice,)))[0]
    assert row["gpus"] == 3 * choice.offer.gpu_count
    assert row["usd_per_hour"] == 3 * Decimal(choice.offer.unit_price_nano) / 10**9


def test_a_frame_has_the_columns_and_types_one_counts_with(planned: Plan) -> None:
    frame = to_frame(planned)
    assert tuple(frame.columns) == PLAN_COLUMNS
    assert frame["cost_usd"].dtype == "float64"
    assert (frame["cost_usd_low"] <= frame["cost_usd"]).all()


def test_a_price_list_becomes_a_frame(market_csv: Path, now: datetime) -> None:
    answer = list_prices(offers=market_csv, only_offers=True, now=now, settings=Settings())
    frame = prices_frame(answer)
    assert len(frame) == 10
    assert frame["price_per_hour"][0] == 0.5
    assert frame["age_days"].between(1, 17).all()


def test_without_pandas_the_extra_is_named(planned: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(
        name: str,
        globals_: Mapping[str, object] | None = None,
        locals_: Mapping[str, object] | None = None,
        fromlist: tuple[str, ...] = (),
        level: int = 0,
    ) -> object:
        if name == "pandas":
            raise ImportError(name)
        return real(name, globals_, locals_, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install 'tunefare\[pandas\]'"):
        to_frame(planned)


def test_an_estimate_answers_what_one_asks_first(flags: EstimateFlags) -> None:
    answer = estimate(**flags)
    assert answer.fits
    assert answer.answer.recipe.micro_batch == 4
    assert answer.cost_usd is not None
    assert answer.answer.quote is not None
    assert answer.cost_usd.expected == Decimal(answer.answer.quote.expected_usd_micro) / 1_000_000
    assert answer.cost_usd.low <= answer.cost_usd.expected <= answer.cost_usd.high
    assert answer.hours.expected == pytest.approx(answer.answer.duration_s.expected / 3600)
    assert 0 < answer.memory_gib.low < answer.memory_gib.high < 79
    assert answer.memory_gib.high == pytest.approx(answer.answer.memory.needed.high / 2**30)
    assert answer.tokens_per_s.expected == pytest.approx(answer.answer.speed.tokens_per_s.expected)


def test_an_estimate_becomes_a_document_a_frame_and_a_table(flags: EstimateFlags) -> None:
    answer = estimate(**flags)
    assert json.loads(answer.to_json()) == answer.to_dict()
    assert answer.to_dict()["schema"] == "tunefare.estimate/v1"
    frame = answer.to_pandas()
    assert len(frame) == 1
    assert bool(frame["fits"][0])
    assert list(frame.columns) == list(estimate_row(answer.answer))
    assert answer._repr_html_().startswith("<table><caption>Llama-3.1-8B on H100-SXM-80GB</caption>")
    assert "Fits" in str(answer)


def test_an_estimate_without_a_price_has_no_cost(flags: EstimateFlags) -> None:
    answer = estimate(**{**flags, "gpus": 2})
    assert answer.cost_usd is None
    assert estimate_row(answer.answer)["cost_usd"] is None
    assert answer.to_pandas()["cost_usd"].isna().all()
    assert "None" not in answer._repr_html_()


def test_recipe_flags_and_job_flags_may_come_together(flags: EstimateFlags, tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text('model = "llama-3.1-8b"\ntokens = 20_000_000\nseq_len = 256\n')
    answer = estimate(file, gpu="A100-SXM-80GB", usd_per_gpu_hour=2, checkpointing=False, now="2031-05-06T07:08:09Z")
    assert answer.answer.recipe.seq_len == 256
    assert answer.answer.recipe.checkpointing == "none"
    assert answer.answer.usd_per_gpu_hour_nano == 2_000_000_000
    with pytest.raises(JobError, match=r"estimate\(\): microbatch = 4: unknown key"):
        estimate(**{**flags, "microbatch": 4})  # type: ignore[typeddict-item]
    with pytest.raises(JobError, match=r"estimate\(\): gpus = 'two'"):
        estimate(**{**flags, "gpus": "two"})  # type: ignore[typeddict-item]
