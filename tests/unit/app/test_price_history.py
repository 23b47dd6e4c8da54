"""Histories as the store has seen them: filters, windows, what is gone, and what a person asks in Python."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

import optimizer
from cache.sql_store import SqlStore, open_store
from optimizer.app.price_history import HistoryFilter, read_price_history
from optimizer.app.settings import Settings
from providers.errors import JobError, PricesUnavailable
from providers.offer import NANO
from tests.fixtures.nights import held_row, put_night
from tests.fixtures.offers import DAY, NIGHT, SPOT, NoList, make_offer, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from optimizer.report.record_answers import PriceHistoryAnswer, PriceSeries

NOW = NIGHT + 10 * DAY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    here = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=True)
    yield here
    here.close()


@pytest.fixture
def history(store: SqlStore) -> Callable[..., PriceHistoryAnswer]:
    return partial(read_price_history, now=NOW, settings=Settings(), store=store)


def points(series: PriceSeries) -> list[tuple[int, float | None, int | None]]:
    return [
        ((point.at - NIGHT).days, None if point.price_nano is None else point.price_nano / NANO, point.change_ppm)
        for point in series.points
    ]


def fill(store: SqlStore) -> None:
    """`a` moves twice, `b` never, `c` goes and comes back, `d` goes for good."""
    d, c = make_offer("d", region="south"), make_offer("c")
    put_night(store, make_offer("a"), make_offer("b"), c, at=NIGHT)
    put_night(store, d, at=NIGHT)
    put_night(store, make_offer("a", price=2.5), make_offer("b"), at=NIGHT + DAY)
    put_night(store, scope=scope_of(d), at=NIGHT + DAY)
    put_night(store, make_offer("a", price=2.0), make_offer("b"), make_offer("c", price=3.0), at=NIGHT + 2 * DAY)


def test_every_change_is_there_with_its_size(store: SqlStore, history: Callable[..., PriceHistoryAnswer]) -> None:
    fill(store)
    answer = history()
    assert [series.instance_type for series in answer.series] == ["a", "c", "d", "b"]
    found = {series.instance_type: points(series) for series in answer.series}
    assert found["a"] == [(0, 2.0, None), (1, 2.5, 250_000), (2, 2.0, -200_000)]
    assert found["b"] == [(0, 2.0, None)]
    assert found["c"] == [(0, 2.0, None), (1, None, None), (2, 3.0, 500_000)]
    assert found["d"] == [(0, 2.0, None), (1, None, None)]
    seen = {series.instance_type: (series.last_seen_at - NIGHT).days for series in answer.series}
    assert seen == {"a": 2, "b": 2, "c": 2, "d": 1}


def test_a_window_begins_with_what_was_in_force(store: SqlStore, history: Callable[..., PriceHistoryAnswer]) -> None:
    fill(store)
    found = {series.instance_type: points(series) for series in history(since="2026-11-25T12:00Z").series}
    assert found == {"a": [(1, 2.5, None), (2, 2.0, -200_000)], "b": [(0, 2.0, None)], "c": [(2, 3.0, 500_000)]}
    assert history(since="9d").since == NOW - 9 * DAY
    assert history(since="1h", limit=1).matching == 3


def test_as_of_a_moment_nothing_later_is_known(store: SqlStore, history: Callable[..., PriceHistoryAnswer]) -> None:
    fill(store)
    answer = history(now=NIGHT + DAY / 2)
    assert {series.instance_type: points(series) for series in answer.series} == {
        name: [(0, 2.0, None)] for name in "abcd"
    }
    assert {series.last_seen_at for series in answer.series} == {NIGHT}
    with pytest.raises(PricesUnavailable, match="run tunefare prices refresh"):
        history(now=NIGHT - DAY)


def test_a_held_price_says_so(store: SqlStore, history: Callable[..., PriceHistoryAnswer]) -> None:
    put_night(store, make_offer("a"), make_offer("b"))
    put_night(store, make_offer("b"), held=(held_row(make_offer("a", price=50.0)),), at=NIGHT + DAY)
    found = {series.instance_type: (series.held, series.last_seen_at) for series in history().series}
    assert found == {"a": (True, NIGHT), "b": (False, NIGHT + DAY)}
    before = history(now=NIGHT + DAY / 2)
    assert {series.held for series in before.series} == {False}


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (HistoryFilter(key="nimbus/north/a/on_demand"), ["a"]),
        (HistoryFilter(key="NIMBUS/North/a/on_demand/"), ["a"]),
        (HistoryFilter(key="nimbus/north"), ["a", "z"]),
        (HistoryFilter(key="cirrus/west/h/spot/-/host-1"), ["h"]),
        (HistoryFilter(providers=("Cirrus",)), ["h"]),
        (HistoryFilter(regions=("north",), zones=("north-1a",)), ["z"]),
        (HistoryFilter(instance_types=("a", "h")), ["a", "h"]),
        (HistoryFilter(variants=("host-1",)), ["h"]),
        (HistoryFilter(pricing_models=("spot",)), ["h", "z"]),
        (HistoryFilter(gpus=("h100-sxm-80gb",)), ["z"]),
        (HistoryFilter(gpus=("H100-SXM-80GB",), providers=("cirrus",)), []),
    ],
)
def test_filters_narrow_it(
    store: SqlStore, history: Callable[..., PriceHistoryAnswer], wanted: HistoryFilter, keys: list[str]
) -> None:
    put_night(
        store,
        make_offer("a"),
        make_offer("z", zone="north-1a", gpu="H100-SXM-80GB", pricing_model=SPOT),
        make_offer("h", provider="cirrus", region="west", variant="host-1", pricing_model=SPOT),
    )
    assert sorted(series.instance_type for series in history(wanted).series) == keys


@pytest.mark.parametrize(
    ("wanted", "more", "message"),
    [
        (HistoryFilter(key="nimbus/nort"), {}, "prices history: KEY = 'nimbus/nort': no prices are known for it"),
        (HistoryFilter(key="nimbus/north/b/on_demand"), {}, r"did you mean nimbus/north/a/on_demand\?"),
        (HistoryFilter(providers=("nimbos",)), {}, r"provider = 'nimbos'.*did you mean nimbus\?"),
        (HistoryFilter(zones=("x",)), {}, "zone = 'x'"),
        (HistoryFilter(gpus=("H101",)), {}, "gpu = 'H101'"),
        (HistoryFilter(pricing_models=("free",)), {}, "pricing_model = 'free'"),
        (None, {"since": "soon"}, "since = 'soon': days, hours"),
        (None, {"since": "2027-01-01T00:00Z"}, "since = .*: a moment in the past"),
        (None, {"limit": -1}, "limit = -1"),
    ],
)
def test_what_means_nothing_is_refused(
    store: SqlStore,
    history: Callable[..., PriceHistoryAnswer],
    wanted: HistoryFilter | None,
    more: dict[str, object],
    message: str,
) -> None:
    put_night(store, make_offer("a"))
    with pytest.raises(JobError, match=message):
        history(wanted, **more)


def test_keys_with_slashes_in_their_names_are_found(
    store: SqlStore, history: Callable[..., PriceHistoryAnswer]
) -> None:
    put_night(store, make_offer("a/b", zone="c/d"), make_offer("a"))
    (series,) = history(HistoryFilter(key="nimbus/north/a/b/on_demand/c/d")).series
    assert series.instance_type == "a/b"
    assert series.key == "nimbus/north/a/b/on_demand/c/d"


def test_the_limit_counts_what_is_left_out(store: SqlStore, history: Callable[..., PriceHistoryAnswer]) -> None:
    put_night(store, *(make_offer(f"n{at:02}") for at in range(30)))
    answer = history()
    assert (len(answer.series), answer.matching, answer.more) == (20, 30, 10)
    assert (len(history(limit=3).series), history(limit=3).more) == (3, 27)
    assert (len(history(limit=0).series), history(limit=0).more) == (30, 0)


def test_without_a_refresh_there_is_no_history(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(PricesUnavailable, match="no live prices yet"):
        read_price_history(settings=Settings(cache_url=str(tmp_path / "none.sqlite3")))
    assert list(tmp_path.iterdir()) == []


def test_python_asks_as_the_command_does(store: SqlStore) -> None:
    fill(store)
    answer = optimizer.price_history(provider="nimbus", region=["north", "south"], now=NOW, store=store)
    frame = answer.to_pandas()
    assert list(frame["instance_type"]) == ["a", "a", "a", "c", "c", "c", "d", "d", "b"]
    assert list(frame["gone"])[:6] == [False, False, False, False, True, False]
    assert frame["price_per_hour"][1] == 2.5
    assert frame["change_fraction"][1] == 0.25
    assert frame["price_per_hour"].isna().sum() == 2
    assert str(frame["at"].dtype).startswith("datetime64")
    assert json.loads(answer.to_json()) == answer.to_dict()
    assert "nimbus/north/a/on_demand" in str(answer)
    assert answer._repr_html_().startswith("<svg ")
    (one,) = optimizer.price_history("nimbus/north/a/on_demand", now=NOW, store=store).series
    assert one.instance_type == "a"
    with pytest.raises(JobError, match=r"price_history\(\): gpus = 'x': one of the filters gpu, instance_type"):
        optimizer.price_history(gpus="x", store=store)  # type: ignore[call-arg]


def test_an_empty_frame_keeps_its_columns(store: SqlStore) -> None:
    put_night(store, make_offer("a"))
    frame = optimizer.price_history(gpu="H100-SXM-80GB", now=NOW, store=store).to_pandas()
    assert len(frame) == 0
    assert {"key", "at", "price_per_gpu_hour", "gone"} <= set(frame.columns)
