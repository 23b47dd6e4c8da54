"""Which sources are asked for what, and what becomes of their answers: with invented sources and a store in a file."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import cache.refresh
from cache.errors import StoreBusy
from cache.sql_store import open_store
from optimizer.app.interruption import Interruption
from optimizer.app.refreshing import RefreshWish, refresh_prices
from optimizer.app.settings import Settings
from providers import registry
from providers.errors import CredentialsMissing, JobError, ProviderError, ProviderUnavailable
from providers.scope import DroppedRow, ScopeBatch
from tests.fixtures.offers import NIGHT, Nimbus, NoList, make_batch, make_offer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optimizer.report.refresh_answers import RefreshAnswer
    from providers.base import FetchContext, FetchPart, Provider, Wanted
    from providers.gpus import GpuTable

NOW = "2026-11-24T03:00Z"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make these the only sources; an error in place of one is raised when it is loaded."""

    def install(*providers: Provider, **broken: Exception) -> None:
        found: dict[str, Any] = {one.info.name: one for one in providers} | broken

        def load(name: str) -> Provider:
            if name not in found:
                raise JobError(where="command line", key="provider", value=name, allowed=", ".join(sorted(found)))
            if isinstance(found[name], Exception):
                raise found[name]
            return found[name]  # type: ignore[no-any-return]

        monkeypatch.setattr(registry, "provider_names", lambda: tuple(sorted(found)))
        monkeypatch.setattr(registry, "load_provider", load)

    return install


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_url=str(tmp_path / "store" / "prices.sqlite3"))


@pytest.fixture
def run(settings: Settings, gpus: GpuTable) -> Callable[..., RefreshAnswer]:
    def refresh(now: str = NOW, interruption: Interruption | None = None, **wish: Any) -> RefreshAnswer:
        return refresh_prices(
            RefreshWish(**wish), now=now, settings=settings, environment={}, interruption=interruption, gpus=gpus
        )

    return refresh


def fine(name: str = "nimbus", price: float = 2.0, regions: tuple[str, ...] = ("north",)) -> Nimbus:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        return [make_batch(make_offer("a", price=price, provider=name, region=part.name), at=context.now())]

    return Nimbus(rows, name=name, regions=regions)


def failing(error: Exception, name: str = "cirrus") -> Nimbus:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        raise error

    return Nimbus(rows, name=name)


def stored(settings: Settings) -> dict[str, float]:
    store = open_store(str(settings.cache_url), NoList(), create=False)
    try:
        return {f"{offer.provider} {offer.region}": offer.unit_price_nano / 1e9 for offer in store.live_offers()}
    finally:
        store.close()


def test_the_answer_says_what_was_stored_and_where(
    installed: Callable[..., None], run: Callable[..., RefreshAnswer], settings: Settings
) -> None:
    installed(fine(), fine("cirrus", 3.0))
    answer = run()
    assert [(one.provider, one.outcome, one.added) for one in answer.sources] == [
        ("cirrus", "refreshed", 1), ("nimbus", "refreshed", 1),
    ]  # fmt: skip
    assert (answer.exit_code, answer.place, answer.waiting) == (0, settings.cache_url, 0)
    assert answer.started_at == answer.finished_at == NIGHT
    assert stored(settings) == {"nimbus north": 2.0, "cirrus north": 3.0}
    # Ten times the price waits in quarantine.
    installed(fine(price=20.0))
    assert run("2026-11-25T03:00Z").waiting == 1


def test_only_the_sources_that_are_named_are_asked(
    installed: Callable[..., None], run: Callable[..., RefreshAnswer]
) -> None:
    installed(fine(), fine("cirrus"))
    assert [one.provider for one in run(providers=(" Nimbus", "nimbus")).sources] == ["nimbus"]
    with pytest.raises(JobError, match="provider = 'stratus': cirrus, nimbus"):
        run(providers=("stratus",))


def test_a_source_without_its_account_is_an_error_only_by_name(
    installed: Callable[..., None], run: Callable[..., RefreshAnswer]
) -> None:
    installed(fine(), failing(CredentialsMissing("cirrus: set CIRRUS_KEY")))
    answer = run()
    assert answer.exit_code == 0
    assert answer.sources[0].outcome == "no_credentials"
    assert answer.sources[0].errors == ("cirrus: set CIRRUS_KEY",)
    assert run(providers=("nimbus", "cirrus")).exit_code == 9
    installed(failing(CredentialsMissing("cirrus: set CIRRUS_KEY")))
    assert run().exit_code == 9


def test_partial_success_can_be_enough(installed: Callable[..., None], run: Callable[..., RefreshAnswer]) -> None:
    installed(fine(), failing(ProviderUnavailable("cirrus: HTTP 500")))
    assert run().exit_code == 9
    assert run(allow_partial=True).exit_code == 0


def test_an_adapter_that_cannot_be_loaded_harms_no_other(
    installed: Callable[..., None], run: Callable[..., RefreshAnswer], settings: Settings
) -> None:
    installed(fine(), stratus=ProviderError("stratus: its adapter cannot be loaded (ImportError: x)"))
    answer = run()
    assert answer.exit_code == 9
    assert answer.sources[1].outcome == "failed"
    assert answer.sources[1].errors == ("stratus: its adapter cannot be loaded (ImportError: x)",)
    assert stored(settings) == {"nimbus north": 2.0}


def test_another_refresh_makes_it_busy(
    installed: Callable[..., None], run: Callable[..., RefreshAnswer], settings: Settings
) -> None:
    installed(fine())
    run()
    store = open_store(str(settings.cache_url), NoList(), create=False)
    with store.lock(), pytest.raises(StoreBusy):
        run()
    store.close()


@pytest.mark.parametrize(
    ("wish", "key"),
    [
        ({"max_age": "soon"}, "max_age"),
        ({"timeout": "20"}, "timeout"),
        ({"pricing_models": ("free",)}, "pricing_model"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    wish: dict[str, Any], key: str, installed: Callable[..., None], run: Callable[..., RefreshAnswer]
) -> None:
    source = fine()
    installed(source)
    with pytest.raises(JobError, match=key):
        run(**wish)
    assert source.asked == []


def test_a_region_that_nobody_has_is_refused(
    installed: Callable[..., None], run: Callable[..., RefreshAnswer], settings: Settings
) -> None:
    def parts(wanted: Wanted, context: FetchContext) -> list[FetchPart]:
        raise JobError(where="command line", key="region", value="nroth", allowed="north")

    knows, quiet = fine(), fine("cirrus")
    knows.parts = parts  # type: ignore[method-assign]
    installed(knows, quiet)
    with pytest.raises(JobError, match="region = 'nroth': no source that was asked has prices there"):
        run(regions=("nroth",))
    with pytest.raises(JobError, match="region = 'nroth': nimbus: it has no nroth; allowed is north"):
        run(regions=("nroth",), providers=("nimbus",))
    assert stored(settings) == {}


def test_a_pricing_model_that_nobody_has_is_refused(
    installed: Callable[..., None], run: Callable[..., RefreshAnswer]
) -> None:
    installed(fine())
    with pytest.raises(JobError, match="pricing_model = 'reserved': nimbus: it prices on_demand, spot alone"):
        run(pricing_models=("reserved",))


def test_a_region_that_one_has_and_one_that_nobody_has(
    installed: Callable[..., None], run: Callable[..., RefreshAnswer]
) -> None:
    installed(fine(), fine("cirrus", regions=("south",)))
    answer = run(regions=("north", "nroth"))
    assert {one.provider: one.outcome for one in answer.sources} == {"nimbus": "refreshed", "cirrus": "not_offered"}
    assert (answer.exit_code, answer.unserved_regions) == (0, ("nroth",))
    # Where a source failed nobody knows whether it has the region.
    installed(fine(), replace(failing(ProviderUnavailable("cirrus: down")), regions=("north", "nroth")))
    assert run(regions=("north", "nroth")).unserved_regions == ()


def test_the_time_of_a_source_is_bounded(installed: Callable[..., None], run: Callable[..., RefreshAnswer]) -> None:
    waiting = threading.Event()

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        waiting.wait(10)
        return []

    installed(fine(), Nimbus(rows, name="cirrus"))
    answer = run(timeout="0.1s")
    waiting.set()
    assert [one.outcome for one in answer.sources] == ["failed", "refreshed"]
    assert "took longer" in answer.sources[0].errors[0]


def test_what_is_young_is_not_asked(installed: Callable[..., None], run: Callable[..., RefreshAnswer]) -> None:
    source = fine()
    installed(source)
    run()
    source.asked.clear()
    young = run("2026-11-24T08:00Z", max_age="6h")
    assert (young.sources[0].outcome, young.exit_code, source.asked) == ("fresh", 0, [])
    assert run("2026-11-24T10:00Z", max_age="6h").sources[0].outcome == "refreshed"


def test_a_dry_run_judges_and_leaves_no_file(
    installed: Callable[..., None], run: Callable[..., RefreshAnswer], settings: Settings, tmp_path: Path
) -> None:
    installed(fine())
    answer = run(dry_run=True)
    assert (answer.dry_run, answer.place, answer.exit_code) == (True, "", 0)
    assert (answer.sources[0].added, answer.sources[0].last_success_at) == (1, None)
    assert list(tmp_path.iterdir()) == []
    run()
    installed(fine(price=2.5))
    dry = run("2026-11-25T03:00Z", dry_run=True)
    assert (dry.sources[0].changed, dry.sources[0].last_success_at) == (1, NIGHT)
    assert stored(settings) == {"nimbus north": 2.0}


def test_counts_and_names_reach_the_answer(installed: Callable[..., None], run: Callable[..., RefreshAnswer]) -> None:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        odd = make_offer("b", gpu=None, gpu_name="Omega", flags=("gpu_unknown",))
        batch = make_batch(make_offer("a"), odd, at=context.now())
        return [replace(batch, dropped=(DroppedRow(reason="zero_price", item="x"),))]

    installed(Nimbus(rows))
    (source,) = run().sources
    assert (source.offers, source.scopes, source.dropped_rows) == (2, 1, 1)
    assert source.unknown_gpus == {"Omega": 1}
    assert source.dropped == {"zero_price": 1}
    installed(Nimbus(lambda context, part: [ScopeBatch(scope=scope(), observed_at=context.now(), offers=())]))
    (source,) = run("2026-11-25T03:00Z").sources
    assert [(one.region, one.pricing_model, one.reason) for one in source.refused] == [("north", "on_demand", "empty")]


def scope() -> Any:
    from tests.fixtures.offers import scope_of

    return scope_of(make_offer("a"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_fetching_stores_nothing(
    number: signal.Signals, installed: Callable[..., None], run: Callable[..., RefreshAnswer], settings: Settings
) -> None:
    waiting = threading.Event()

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        os.kill(os.getpid(), number)
        waiting.wait(10)
        return []

    installed(fine(), Nimbus(rows, name="cirrus"))
    stop, before = Interruption(), signal.getsignal(number)
    with stop.watching(), pytest.raises(KeyboardInterrupt):
        run(interruption=stop)
    waiting.set()
    assert signal.getsignal(number) is before
    assert (stop.stored, stop.late) == (False, False)
    assert stored(settings) == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_publishing_waits_for_the_commit(
    number: signal.Signals,
    installed: Callable[..., None],
    run: Callable[..., RefreshAnswer],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish = cache.refresh.publish

    def interrupted(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), number)
        return publish(*arguments, **named)

    monkeypatch.setattr(cache.refresh, "publish", interrupted)
    installed(fine(), fine("cirrus"))
    stop = Interruption()
    with stop.watching():
        answer = run(interruption=stop)
    assert answer.exit_code == 0
    assert (stop.stored, stop.late) == (True, True)
    assert set(stored(settings)) == {"nimbus north", "cirrus north"}


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption().watching():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_signals_are_the_main_threads_alone() -> None:
    seen: list[Any] = []
    before = signal.getsignal(signal.SIGTERM)

    def elsewhere() -> None:
        with Interruption().watching():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]
