"""Asking sources: within their time, without harm to each other, and only for what they have."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from cache.fetching import Asking, Fetched, fetch_everything
from cache.workers import Workers
from providers.base import FetchContext, FetchPart, ProviderInfo, Wanted
from providers.errors import Interrupted, JobError, ProviderUnavailable
from providers.gpus import load_gpus
from tests.fixtures.offers import NIGHT, ON_DEMAND, SPOT, Nimbus, make_batch, make_offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from providers.base import Provider

GPUS = load_gpus()


@dataclass
class Heard:
    """Writes down what it is told."""

    lines: list[tuple[str, ...]] = field(default_factory=list)

    def started(self, provider: str, parts: int) -> None:
        self.lines.append(("started", provider, str(parts)))

    def progress(self, provider: str, line: str) -> None:
        self.lines.append(("progress", provider, line))

    def part_done(self, provider: str, part: str, error: str) -> None:
        self.lines.append(("part", provider, part, error))

    def finished(self, provider: str, error: str) -> None:
        self.lines.append(("finished", provider, error))


def ask(*providers: Provider, stop: threading.Event | None = None, **changes: Any) -> list[Fetched]:
    asking = Asking(
        gpus=GPUS,
        environment=changes.pop("environment", {}),
        now=lambda: NIGHT,
        wanted=changes.pop("wanted", Wanted()),
        **changes,
    )
    return fetch_everything(providers, asking, stop or threading.Event())


def good(context: FetchContext, part: FetchPart) -> list[Any]:
    context.progress("page 1")
    return [make_batch(make_offer("a", region=part.name), at=context.now())]


def with_parts(parts: Callable[[Wanted, FetchContext], list[FetchPart]]) -> Nimbus:
    source = Nimbus(good)
    source.parts = parts  # type: ignore[method-assign]
    return source


@pytest.fixture
def forever() -> Iterator[threading.Event]:
    """An event that is set when the test is over: threads that wait for it were left behind."""
    event = threading.Event()
    yield event
    event.set()


def test_a_watcher_is_told_what_happens() -> None:
    def rows(context: FetchContext, part: FetchPart) -> list[Any]:
        if part.name == "south":
            raise ProviderUnavailable("nimbus: south is down")
        return good(context, part)

    heard = Heard()
    ask(Nimbus(rows, regions=("north", "south")), watcher=heard)
    assert heard.lines[0] == ("started", "nimbus", "2")
    assert heard.lines[-1] == ("finished", "nimbus", "nimbus: south is down")
    assert ("progress", "nimbus", "page 1") in heard.lines
    assert ("part", "nimbus", "north", "") in heard.lines
    assert ("part", "nimbus", "south", "nimbus: south is down") in heard.lines


def test_a_source_that_cannot_be_split_says_why_and_harms_no_other() -> None:
    def parts(wanted: Wanted, context: FetchContext) -> list[FetchPart]:
        raise ProviderUnavailable("nimbus: no list of regions")

    heard = Heard()
    broken, fine = ask(with_parts(parts), Nimbus(good, name="cirrus"), watcher=heard)
    assert (broken.split.error, broken.parts) == ("nimbus: no list of regions", ())
    assert ("finished", "nimbus", "nimbus: no list of regions") in heard.lines
    # The invented source names its batches for nimbus, whatever it is called: that is found out.
    assert fine.parts[0].error == "cirrus: ValueError: a batch of nimbus; this is a bug in its adapter"


def test_the_list_of_parts_counts_towards_the_time_of_a_source(forever: threading.Event) -> None:
    def parts(wanted: Wanted, context: FetchContext) -> list[FetchPart]:
        forever.wait(10)
        return []

    began = time.monotonic()
    (late,) = ask(with_parts(parts), provider_s=0.05)
    assert time.monotonic() - began < 5
    assert late.split.error == "nimbus: what it has took longer than 0 s"


def test_what_is_there_in_time_is_kept(forever: threading.Event) -> None:
    def rows(context: FetchContext, part: FetchPart) -> list[Any]:
        if part.name == "south":
            forever.wait(10)
        return good(context, part)

    (source,) = ask(Nimbus(rows, regions=("north", "south")), provider_s=0.3)
    north, south = source.parts
    assert north.result is not None
    assert (south.result, south.error) == (None, "nimbus: south took longer than 0 s")


def test_a_source_out_of_time_is_told_to_stop(forever: threading.Event) -> None:
    told = threading.Event()

    def rows(context: FetchContext, part: FetchPart) -> list[Any]:
        while not forever.is_set():
            try:
                context.checkpoint()
            except Interrupted:
                told.set()
                raise
            forever.wait(0.01)
        return []

    (source,) = ask(Nimbus(rows), provider_s=0.05)
    assert source.parts[0].error == "nimbus: north took longer than 0 s"
    assert told.wait(5)


def test_a_thread_that_is_left_behind_does_not_hold_up_the_exit(forever: threading.Event) -> None:
    def rows(context: FetchContext, part: FetchPart) -> list[Any]:
        forever.wait(10)
        return []

    ask(Nimbus(rows), provider_s=0.05)
    left = [thread for thread in threading.enumerate() if thread.name.startswith("tunefare-")]
    assert left
    assert all(thread.daemon for thread in left)


def test_regions_of_another_source_are_left_out() -> None:
    asked: list[frozenset[str]] = []

    def parts(wanted: Wanted, context: FetchContext) -> list[FetchPart]:
        asked.append(wanted.regions)
        for region in sorted(wanted.regions - {"north"}):
            raise JobError(where="command line", key="region", value=region, allowed="north")
        return [FetchPart(name="north", region="north")]

    regions = frozenset({"north", "us-east-1", "eastus"})
    (source,) = ask(with_parts(parts), wanted=Wanted(regions=regions))
    assert [part.part.name for part in source.parts] == ["north"]
    assert source.split.elsewhere == ""
    assert asked[-1] == {"north"}


@pytest.mark.parametrize("value", ["eastus", "eastus, us-east-1", "whatever"])
def test_a_source_with_none_of_the_regions_is_not_asked(value: str) -> None:
    def parts(wanted: Wanted, context: FetchContext) -> list[FetchPart]:
        raise JobError(where="command line", key="region", value=value, allowed="north or south")

    regions = frozenset(value.split(", "))
    (source,) = ask(with_parts(parts), wanted=Wanted(regions=regions))
    assert source.split.elsewhere == f"nimbus: it has no {value}; allowed is north or south"
    assert (source.split.error, source.parts) == ("", ())


def test_a_wrong_setting_is_a_failure_of_its_source() -> None:
    def parts(wanted: Wanted, context: FetchContext) -> list[FetchPart]:
        raise JobError(where="environment", key="TUNEFARE_NIMBUS_ENDPOINT", value="x", allowed="an https:// address")

    (source,) = ask(with_parts(parts))
    assert source.split.error.startswith("environment: TUNEFARE_NIMBUS_ENDPOINT = 'x'")
    assert source.split.elsewhere == ""


def test_a_source_that_does_not_price_a_model_is_not_asked() -> None:
    info = replace(Nimbus(good).info, pricing_models=(ON_DEMAND,))

    class OnDemandAlone(Nimbus):
        @property
        def info(self) -> ProviderInfo:
            return info

    source = OnDemandAlone(good)
    (fetched,) = ask(source, wanted=Wanted(pricing_models=frozenset({SPOT})))
    assert fetched.split.elsewhere == "nimbus: it prices on_demand alone"
    assert source.asked == []


def test_what_is_no_result_is_a_bug_of_the_adapter() -> None:
    source = Nimbus(good)
    source.fetch = lambda part, context: None  # type: ignore[method-assign,assignment,return-value]
    (fetched,) = ask(source)
    assert fetched.parts[0].error == "nimbus: TypeError: fetch returned NoneType; this is a bug in its adapter"


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    class NeedsPackage(Nimbus):
        @property
        def info(self) -> ProviderInfo:
            return replace(super().info, extra="nimbus")

    def rows(context: FetchContext, part: FetchPart) -> list[Any]:
        import nimbus_sdk  # type: ignore[import-not-found]  # noqa: F401

        return []

    (fetched,) = ask(NeedsPackage(rows))
    assert fetched.parts[0].error == "nimbus: No module named 'nimbus_sdk': pip install 'tunefare[nimbus]'"


def test_words_from_outside_do_not_steer_the_terminal() -> None:
    def rows(context: FetchContext, part: FetchPart) -> list[Any]:
        raise ProviderUnavailable("nimbus: said \x1b[2J\x07 and\nmore")

    (fetched,) = ask(Nimbus(rows))
    assert fetched.parts[0].error == "nimbus: said [2J and more"


def test_the_user_may_stop_before_anything_is_asked() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        ask(Nimbus(good), stop=stop)
    assert ask() == []


def test_workers_take_call_after_call_and_forget_what_has_not_begun(forever: threading.Event) -> None:
    workers = Workers(2, name="test")
    begun = threading.Barrier(3, timeout=5)

    def wait() -> str:
        begun.wait()
        forever.wait(10)
        return "late"

    futures = [workers.submit(wait), workers.submit(wait), workers.submit(lambda: "never")]
    begun.wait()
    workers.abandon()
    assert futures[2].cancelled()
    forever.set()
    assert [future.result(5) for future in futures[:2]] == ["late", "late"]
    assert workers.submit(lambda: "again").result(5) == "again"
    with pytest.raises(ZeroDivisionError):
        workers.submit(lambda: 1 // 0).result(5)
