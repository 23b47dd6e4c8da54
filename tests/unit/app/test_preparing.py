from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from optimizer.app.preparing import BESIDE_THE_JOB, Prepared, prepare
from optimizer.app.settings import Settings
from optimizer.workload.job_input import JobInput
from providers.errors import JobError, KnowledgeMissing, PricesUnavailable
from providers.offer import PriceClass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from providers.offer import Offer

SMALL = {"model": "llama-3.1-8b", "tokens": 1_000_000, "seq_len": 512}


def said(**values: object) -> JobInput:
    return JobInput.from_mapping({**SMALL, **values}, where="test")


@pytest.fixture
def ready(market_csv: Path, now: datetime) -> Callable[..., Prepared]:
    return partial(prepare, settings=Settings(offers=market_csv, only_offers=True), now=now)


def test_flags_win_over_the_file(ready: Callable[..., Prepared], tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text('model = "llama-3.1-8b"\ntokens = 5\nseq_len = 256\nbudget = 7\n')
    result = ready(file, flags=JobInput(tokens=9, lora_rank=4))
    assert (result.job.tokens, result.job.seq_len, result.job.lora_rank) == (9, 256, 4)
    assert result.job.budget_usd == Decimal(7)
    assert result.where == str(file)
    assert ready(str(file)).job.tokens == 5


def test_an_error_names_the_file_or_the_caller(ready: Callable[..., Prepared], tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('model = "llama-3.1-8b"\ntokens = 5\nseq_len = 256\nregion = "mars-11"\n')
    with pytest.raises(JobError, match=r"job\.toml: region = 'mars-11': no prices .* did you mean mars-1\?"):
        ready(tmp_path / "job.toml")
    with pytest.raises(JobError, match=r"plan\(\): provider = 'nimbos'"):
        ready(said(provider="nimbos"), where="plan()")
    with pytest.raises(KnowledgeMissing):
        ready(said(model="llama-9-8b"))


def test_own_offers_of_the_job_win_over_those_of_the_settings(
    ready: Callable[..., Prepared], tmp_path: Path, market_csv: Path
) -> None:
    own = tmp_path / "own.csv"
    own.write_text("provider,instance_type,gpu,gpu_count,price_usd_per_hour\nown,desk,RTX-4090-24GB,1,0\n")
    assert [offer.instance_type for offer in ready(said(offers=str(own))).snapshot.offers] == ["desk"]
    beside = ready(said(offers=str(own), only_offers=False))
    assert len(beside.snapshot.offers) > 1_000


def test_discounts_of_job_and_settings_are_joined(
    store_of: Callable[..., object], offer_of: Callable[..., Offer], now: datetime
) -> None:
    result = prepare(
        said(discounts={"cirrus": "0.1"}),
        store=store_of(offer_of(), offer_of(provider="cirrus")),  # type: ignore[arg-type]
        settings=Settings(discounts={"nimbus": Decimal("0.5"), "cirrus": Decimal("0.5")}),
        now=now,
    )
    assert [offer.unit_price_nano for offer in result.snapshot.offers] == [1_000_000_000, 1_800_000_000]
    assert {offer.price_class for offer in result.snapshot.offers} == {PriceClass.LIST}


def test_the_oldest_price_allowed_comes_from_the_job_or_else_from_the_settings(market_csv: Path, now: datetime) -> None:
    settings = Settings(offers=market_csv, only_offers=True, max_price_age="30d")
    assert prepare(said(), settings=settings, now=now).job.max_price_age_s == 30 * 86_400
    assert prepare(said(max_price_age="2h"), settings=settings, now=now).job.max_price_age_s == 7_200
    wrong = Settings(offers=market_csv, only_offers=True, max_price_age="soon")
    with pytest.raises(JobError, match="max_price_age = 'soon'"):
        prepare(said(), settings=wrong, now=now)


def test_now_is_the_argument_the_job_s_the_environment_s_or_the_clock_s(
    store_of: Callable[..., object], offer_of: Callable[..., Offer]
) -> None:
    run = partial(prepare, store=store_of(offer_of()))  # type: ignore[arg-type]
    stated = Settings(now="2033-01-01T00:00Z")
    argument = datetime(2031, 6, 1, tzinfo=UTC)
    own = said(now="2032-01-01T00:00Z", deadline="1h")
    assert run(own, settings=stated, now=argument).now == argument
    result = run(own, settings=stated)
    assert result.now == datetime(2032, 1, 1, tzinfo=UTC)
    assert result.job.deadline_at == datetime(2032, 1, 1, 1, tzinfo=UTC)
    assert run(said(), settings=stated).now == datetime(2033, 1, 1, tzinfo=UTC)
    assert abs(run(said(), settings=Settings()).now - datetime.now(UTC)) < timedelta(minutes=1)
    with pytest.raises(JobError, match="environment: TUNEFARE_NOW = 'soon'"):
        run(said(), settings=Settings(now="soon"))


def test_a_complete_job_is_taken_as_it_is(ready: Callable[..., Prepared], now: datetime) -> None:
    job = ready(said(deadline="5h")).job
    again = ready(job, flags=JobInput(top=3), now=now + timedelta(hours=1))
    assert again.job is job
    assert again.inputs.top == 3
    with pytest.raises(JobError, match="tokens = 7: not beside a complete Job"):
        ready(job, flags=JobInput(tokens=7))


def test_what_may_stand_beside_a_complete_job_are_fields_of_the_input() -> None:
    assert set(JobInput.model_fields) >= BESIDE_THE_JOB


def test_an_empty_store_ends_with_exit_9(store_of: Callable[..., object], now: datetime) -> None:
    with pytest.raises(PricesUnavailable):
        prepare(said(), store=store_of(), settings=Settings(), now=now)  # type: ignore[arg-type]


def test_settings_of_the_process_are_the_default(
    market_csv: Path, now: datetime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tunefare.toml").write_text(f'offers = "{market_csv}"\nonly_offers = true\n')
    assert len(prepare(said(), now=now).snapshot.offers) == 10


def test_a_search_refuses_what_only_an_estimate_acts_on(ready: Callable[..., Prepared]) -> None:
    with pytest.raises(JobError, match=r"recipe = \['gpu', 'gpus'\]: only with `tunefare estimate`"):
        ready(said(recipe={"gpus": 2, "gpu": "T4"}))
    with pytest.raises(JobError, match=r"usd_per_gpu_hour = 0\.1: only with `tunefare estimate`"):
        ready(said(usd_per_gpu_hour=0.1))
    assert ready(said(recipe={"gpu": "T4"}, usd_per_gpu_hour=1), searching=False).job.gpus == ()


def test_places_are_found_in_any_case(ready: Callable[..., Prepared]) -> None:
    job = ready(said(provider="NIMBUS", region="Mars-1")).job
    assert (job.providers, job.regions) == (("nimbus",), ("mars-1",))
