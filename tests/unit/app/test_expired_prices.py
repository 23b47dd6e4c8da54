"""Live prices that are too old are left out of every answer that chooses by price, and the answer says so."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from cache.freshness import Limits
from optimizer.app.estimating import RecipeChoice, estimate_recipe
from optimizer.app.explaining import explain_job
from optimizer.app.planning import plan_job
from optimizer.app.preparing import prepare
from optimizer.app.price_store import publishing_store
from optimizer.app.pricing import list_prices
from optimizer.app.settings import Settings
from optimizer.workload.job_input import JobInput
from providers.errors import PricesUnavailable
from providers.gpus import load_gpus
from providers.offer import PriceClass, PricingModel
from tests.fixtures.nights import put_night

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from cache.store import PriceStore
    from providers.gpus import GpuTable
    from providers.offer import Offer

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SMALL = {"model": "llama-3.1-8b", "tokens": 1_000_000, "seq_len": 512, "method": "lora", "quantization": 16}


def said(**values: object) -> JobInput:
    return JobInput.from_mapping({**SMALL, **values}, where="test")


@pytest.fixture
def live(offer_of: Callable[..., Offer], now: datetime) -> Callable[..., Offer]:
    def build(age: timedelta, **changes: object) -> Offer:
        return offer_of(**{"price_class": PriceClass.LIVE, "observed_at": now - age, **changes})

    return build


@pytest.fixture
def ask(store_of: Callable[..., PriceStore], now: datetime) -> Callable[..., dict[str, object]]:
    def build(*offers: Offer, **settings: object) -> dict[str, object]:
        return {"store": store_of(*offers), "settings": Settings(**settings), "now": now}  # type: ignore[arg-type]

    return build


def test_an_expired_price_is_left_out_and_the_plan_says_so(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    cheap, dear = live(15 * DAY, unit_price_nano=1_000_000_000, zone="a"), live(HOUR, zone="b")
    plan = plan_job(said(), **ask(cheap, dear))  # type: ignore[arg-type]
    assert plan.choices[0].offer == dear
    assert plan.snapshot.offers == 1
    assert plan.notes[0] == (
        "1 live price was left out for being 15 days old (used are on-demand up to 14d):"
        " tunefare prices refresh renews it, --max-price-age 16d accepts it."
    )
    only = plan_job(said(), **ask(dear))  # type: ignore[arg-type]
    assert plan.snapshot.sha256 == only.snapshot.sha256  # the digest names what was chosen from
    assert not any("left out" in note for note in only.notes)


def test_what_the_note_proposes_works(live: Callable[..., Offer], ask: Callable[..., dict[str, object]]) -> None:
    cheap, dear = live(15 * DAY, unit_price_nano=1_000_000_000, zone="a"), live(HOUR, zone="b")
    plan = plan_job(said(max_price_age="16d"), **ask(cheap, dear))  # type: ignore[arg-type]
    assert plan.choices[0].offer == cheap
    assert not any("left out" in note for note in plan.notes)
    in_file = plan_job(said(), **ask(cheap, dear, max_price_age="16d"))  # type: ignore[arg-type]
    assert in_file.choices[0].offer == cheap


def test_the_stated_age_is_the_limit_also_where_it_is_the_shorter(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    cheap, dear = live(5 * DAY, unit_price_nano=1_000_000_000, zone="a"), live(HOUR, zone="b")
    assert plan_job(said(), **ask(cheap, dear)).choices[0].offer == cheap  # type: ignore[arg-type]
    assert plan_job(said(max_price_age="1d"), **ask(cheap, dear)).choices[0].offer == dear  # type: ignore[arg-type]


def test_bundled_and_own_prices_are_used_at_any_age(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    for price_class in (PriceClass.LIST, PriceClass.OWN):
        old = live(900 * DAY, price_class=price_class)
        plan = plan_job(said(), **ask(old))  # type: ignore[arg-type]
        assert plan.choices[0].offer == old
        assert not any("left out" in note for note in plan.notes)


def test_nothing_left_ends_with_exit_9_and_says_why(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    old = [live(age, zone=str(age.days)) for age in (20 * DAY, 30 * DAY)]
    message = (
        r"no price is left that this job could use: 2 live prices were left out for being 20 days to 30 days old"
        r" \(used are on-demand up to 14d\): tunefare prices refresh renews them, --max-price-age 31d accepts them"
    )
    for run in (
        lambda: plan_job(said(), **ask(*old)),  # type: ignore[arg-type]
        lambda: explain_job(said(), why_not="T4", **ask(*old)),  # type: ignore[arg-type]
    ):
        with pytest.raises(PricesUnavailable, match=message) as caught:
            run()
        assert caught.value.exit_code == 9
        assert "\n" not in str(caught.value)


def test_nothing_left_for_this_job_is_nothing_left(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    here = ask(live(20 * DAY), live(HOUR, provider="cirrus", region="venus-2", gpu="T4-16GB"))
    for limits in ({"provider": "nimbus"}, {"region": "mars-1"}, {"gpu": "H100-SXM-80GB"}, {"exclude_gpu": "T4-16GB"}):
        with pytest.raises(PricesUnavailable, match="1 live price was left out"):
            plan_job(said(**limits), **here)  # type: ignore[arg-type]
    # Without a limit another provider answers; a job that could not have used the old price does not hear of it.
    assert any("left out" in note for note in plan_job(said(), **here).notes)  # type: ignore[arg-type]
    unmoved = plan_job(said(provider="cirrus"), **here)  # type: ignore[arg-type]
    assert not any("left out" in note for note in unmoved.notes)


def test_old_spot_prices_matter_only_to_who_asks_for_spot(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    steady = live(HOUR)
    spot = live(4 * DAY, pricing_model=PricingModel.SPOT, unit_price_nano=500_000_000)
    here = ask(steady, spot)
    assert not any("left out" in note for note in plan_job(said(), **here).notes)  # type: ignore[arg-type]
    both = plan_job(said(pricing_model=["spot", "on_demand"]), **here)  # type: ignore[arg-type]
    assert both.choices[0].offer == steady
    assert both.notes[0].startswith("1 live price was left out for being 4 days old (used are spot up to 3d)")
    with pytest.raises(PricesUnavailable, match="spot up to 3d"):
        plan_job(said(pricing_model="spot"), **here)  # type: ignore[arg-type]
    older = live(15 * DAY, zone="old")
    mixed = plan_job(said(pricing_model=["spot", "on_demand"]), **ask(steady, spot, older))  # type: ignore[arg-type]
    assert "2 live prices were left out for being 4 days to 15 days old" in mixed.notes[0]
    assert "(used are on-demand up to 14d, spot up to 3d)" in mixed.notes[0]


def test_an_estimate_prices_with_what_is_left(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    recipe = RecipeChoice(gpu="H100-SXM-80GB", gpus=1)
    cheap, dear = live(15 * DAY, unit_price_nano=1_000_000_000, zone="a"), live(HOUR, zone="b")
    answer = estimate_recipe(said(), recipe=recipe, **ask(cheap, dear))  # type: ignore[arg-type]
    assert answer.offer == dear
    assert any(note.startswith("1 live price was left out") for note in answer.notes)
    unknown = estimate_recipe(said(), recipe=recipe, **ask(cheap))  # type: ignore[arg-type]
    assert unknown.price_from == "unknown"
    assert any(note.startswith("1 live price was left out") for note in unknown.notes)
    given = estimate_recipe(
        said(),
        recipe=RecipeChoice(gpu="H100-SXM-80GB", gpus=1, usd_per_gpu_hour="2"),
        **ask(cheap),  # type: ignore[arg-type]
    )
    assert not any("left out" in note for note in given.notes)
    accepted = estimate_recipe(said(max_price_age="16d"), recipe=recipe, **ask(cheap, dear))  # type: ignore[arg-type]
    assert accepted.offer == cheap


def test_an_explanation_names_what_it_did_not_look_at(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    here = ask(live(15 * DAY, zone="a"), live(HOUR, zone="b"))
    answer = explain_job(said(), why_not="lora", **here)  # type: ignore[arg-type]
    assert answer.notes[0].startswith("1 live price was left out")


def test_other_limits_of_age_hold_when_they_are_set(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    kind = (PriceClass.LIVE, PricingModel.ON_DEMAND)
    cheap, dear = live(15 * DAY, unit_price_nano=1_000_000_000, zone="a"), live(2 * HOUR, zone="b")
    longer = ask(cheap, dear, freshness={kind: Limits(fresh=DAY, stale=30 * DAY, reason="set")})
    assert plan_job(said(), **longer).choices[0].offer == cheap  # type: ignore[arg-type]
    shorter = ask(cheap, dear, freshness={kind: Limits(fresh=HOUR, stale=HOUR, reason="set")})
    with pytest.raises(PricesUnavailable, match=r"2 live prices .* 2 h to 15 days old \(used are on-demand up to 1h\)"):
        plan_job(said(), **shorter)  # type: ignore[arg-type]


def test_spot_is_offered_unasked_as_long_as_it_is_set_to_be_fresh(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    steady = live(HOUR)
    spot = live(10 * HOUR, pricing_model=PricingModel.SPOT, unit_price_nano=500_000_000)
    assert plan_job(said(), **ask(steady, spot)).choices[0].offer == steady  # type: ignore[arg-type]
    limits = Limits(fresh=12 * HOUR, stale=3 * DAY, reason="set")
    longer = ask(steady, spot, freshness={(PriceClass.LIVE, PricingModel.SPOT): limits})
    assert plan_job(said(), **longer).choices[0].offer == spot  # type: ignore[arg-type]


def test_without_settings_of_age_the_tables_are_the_very_same(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]]
) -> None:
    from optimizer.app.tables import load_tables

    assert prepare(said(), **ask(live(HOUR))).tables is load_tables()  # type: ignore[arg-type]


def test_a_list_shows_expired_prices_and_marks_them(
    live: Callable[..., Offer], ask: Callable[..., dict[str, object]], gpus: GpuTable
) -> None:
    kind = (PriceClass.LIVE, PricingModel.ON_DEMAND)
    offers = [live(age, zone=str(age)) for age in (HOUR, 2 * DAY, 15 * DAY)]
    listed = list_prices(gpus=gpus, **ask(*offers))  # type: ignore[arg-type]
    assert sorted(row.freshness for row in listed.offers) == ["expired", "fresh", "stale"]
    limits = {kind: Limits(fresh=30 * DAY, stale=30 * DAY, reason="set")}
    longer = list_prices(gpus=gpus, **ask(*offers, freshness=limits))  # type: ignore[arg-type]
    assert {row.freshness for row in longer.offers} == {"fresh"}


def test_a_plan_reads_the_configured_store(live: Callable[..., Offer], now: datetime, tmp_path: Path) -> None:
    stated = Settings(cache_url=str(tmp_path / "live.sqlite3"))
    with publishing_store(stated, load_gpus(), dry_run=False) as store:
        put_night(store, live(HOUR, unit_price_nano=1_000_000), at=now - HOUR)
    seen = plan_job(said(provider="nimbus"), settings=stated, now=now)
    assert seen.choices[0].offer.unit_price_nano == 1_000_000
    assert seen.choices[0].offer.price_class is PriceClass.LIVE
    later = plan_job(said(), settings=stated, now=now + 15 * DAY)
    assert later.choices[0].offer.provider != "nimbus"
    assert any(note.startswith("1 live price was left out for being 15 days old") for note in later.notes)
    with pytest.raises(PricesUnavailable, match="--max-price-age 16d accepts it"):
        plan_job(said(provider="nimbus"), settings=stated, now=now + 15 * DAY)
    accepted = plan_job(said(provider="nimbus", max_price_age="16d"), settings=stated, now=now + 15 * DAY)
    assert accepted.choices[0].offer.provider == "nimbus"
