from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cache.freshness import LIMITS, in_force
from optimizer.app.freshness_settings import KINDS, read_freshness, spot_fresh_s
from providers.errors import JobError
from providers.offer import PriceClass, PricingModel

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LIVE_SPOT = (PriceClass.LIVE, PricingModel.SPOT)


def test_no_table_states_nothing() -> None:
    assert read_freshness(None, where="here") == read_freshness({}, where="here") == {}


def test_every_kind_of_price_has_a_key() -> None:
    assert set(KINDS.values()) == set(LIMITS)
    assert set(KINDS) == {
        f"{one}_{model}" for one in ("live", "list", "own") for model in ("on_demand", "spot", "reserved")
    }


def test_an_entry_is_read() -> None:
    read = read_freshness({"live_spot": {"fresh": "90m", "stale": "1d12h"}}, where="tunefare.toml")
    assert set(read) == {LIVE_SPOT}
    assert (read[LIVE_SPOT].fresh, read[LIVE_SPOT].stale) == (1.5 * HOUR, 1.5 * DAY)
    assert read[LIVE_SPOT].reason == "set in tunefare.toml"


def test_what_an_entry_leaves_out_is_the_default_s() -> None:
    assert read_freshness({"live_spot": {"fresh": "1h"}}, where="x")[LIVE_SPOT].stale == LIMITS[LIVE_SPOT].stale
    assert read_freshness({"live_spot": {"stale": "9d"}}, where="x")[LIVE_SPOT].fresh == LIMITS[LIVE_SPOT].fresh
    assert read_freshness({"live_spot": {}}, where="x")[LIVE_SPOT].stale == LIMITS[LIVE_SPOT].stale
    list_spot = (PriceClass.LIST, PricingModel.SPOT)
    assert read_freshness({"list_spot": {"stale": "9d"}}, where="x")[list_spot].stale == 9 * DAY


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("6h", r"t\.toml: freshness = '6h': a table of kinds, live_spot = \{ fresh"),
        ([], r"t\.toml: freshness = \[\]: a table of kinds"),
        ({"spot": {}}, r"freshness = 'spot': one of live_on_demand, live_spot, live_reserved, list_on_demand"),
        ({"live_spot": "6h"}, r"freshness\.live_spot = '6h': a table like \{ fresh = "),
        ({"live_spot": {"frseh": "6h"}}, r"freshness\.live_spot\.frseh = '6h': fresh or stale"),
        ({"live_spot": {"fresh": 6}}, r"freshness\.live_spot\.fresh = 6: days, hours, minutes and seconds"),
        ({"live_spot": {"fresh": True}}, r"freshness\.live_spot\.fresh = true: days"),
        ({"live_spot": {"fresh": "6"}}, r"freshness\.live_spot\.fresh = '6': days"),
        ({"live_spot": {"fresh": "0h"}}, r"freshness\.live_spot\.fresh = '0h': .*more than zero"),
        ({"live_spot": {"stale": "-1d"}}, r"freshness\.live_spot\.stale = '-1d': days"),
        ({"live_spot": {"stale": "30000d"}}, r"freshness\.live_spot\.stale = '30000d': .*at most 20 years"),
        ({"live_spot": {"fresh": "4d"}}, r"freshness\.live_spot\.fresh = '4d': at most 3d, the limit of stale"),
        ({"live_spot": {"fresh": "4d", "stale": "2d"}}, r"live_spot\.fresh = '4d': at most 2d, the limit of stale"),
        ({"live_on_demand": {"stale": "1d"}}, r"live_on_demand\.stale = '1d': at least 1d12h, the limit of fresh"),
        ({"list_spot": {"fresh": "1d"}}, r"list_spot\.fresh = '1d': stale alone: a listed spot price is history"),
    ],
)
def test_what_is_no_limit_names_file_key_and_what_is_allowed(table: object, message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        read_freshness(table, where="t.toml")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_the_search_is_handed_what_it_may_use_unasked() -> None:
    assert spot_fresh_s(LIMITS) == {PriceClass.LIVE: 21_600.0, PriceClass.OWN: 86_400.0}
    stated = read_freshness({"live_spot": {"fresh": "1h"}, "live_on_demand": {"fresh": "2h"}}, where="x")
    assert spot_fresh_s(in_force(stated)) == {PriceClass.LIVE: 3_600.0, PriceClass.OWN: 86_400.0}


def test_the_example_of_the_documentation_is_read() -> None:
    import tomllib

    page = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text(encoding="utf-8")
    example = page.split("[freshness]\n")[1].split("```")[0]
    read = read_freshness(tomllib.loads(example), where="docs")
    assert LIVE_SPOT in read
