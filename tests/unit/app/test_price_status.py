"""What is known of prices, by scope and by source, with and without a refresh before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cache.freshness import Limits
from optimizer.app.price_status import price_status
from optimizer.app.refreshing import RefreshWish, refresh_prices
from optimizer.app.settings import Settings
from providers import registry
from providers.base import Account, ProviderInfo, Variable
from providers.errors import CredentialsMissing, JobError, PricesUnavailable, ProviderError, ProviderUnavailable
from providers.offer import PriceClass
from tests.fixtures.offers import DAY, NIGHT, ON_DEMAND, SPOT, Nimbus, make_batch, make_offer, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optimizer.report.refresh_answers import StatusAnswer
    from providers.base import FetchContext, FetchPart, Provider
    from providers.gpus import GpuTable
    from providers.scope import ScopeBatch

KEY = Variable(name="CIRRUS_KEY", help="from the console of Cirrus", required=True, secret=True)


class NeedsKey(Nimbus):
    @property
    def info(self) -> ProviderInfo:
        return replace(super().info, account=Account.NEEDED, variables=(KEY,))


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The installed sources: providers, or what loading them raises."""
    found: dict[str, Any] = {}

    def load(name: str) -> Provider:
        if isinstance(found[name], Exception):
            raise found[name]
        return found[name]  # type: ignore[no-any-return]

    monkeypatch.setattr(registry, "provider_names", lambda: tuple(sorted(found)))
    monkeypatch.setattr(registry, "load_provider", load)
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_url=str(tmp_path / "prices.sqlite3"))


@pytest.fixture
def refresh(settings: Settings, gpus: GpuTable) -> Callable[..., None]:
    def run(now: Any = NIGHT, **wish: Any) -> None:
        refresh_prices(RefreshWish(**wish), now=now, settings=settings, environment={}, gpus=gpus)

    return run


@pytest.fixture
def status(settings: Settings, gpus: GpuTable) -> Callable[..., StatusAnswer]:
    def ask(*providers: str, now: Any = NIGHT, environment: Any = None, **changes: Any) -> StatusAnswer:
        return price_status(
            providers, now=now, settings=replace(settings, **changes), environment=environment or {}, gpus=gpus
        )

    return ask


def nimbus(*offers: Any) -> Nimbus:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        scopes = sorted({scope_of(offer) for offer in offers})
        return [
            make_batch(*(offer for offer in offers if scope_of(offer) == scope), at=context.now()) for scope in scopes
        ]

    return Nimbus(rows)


def failing(error: Exception) -> Nimbus:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        raise error

    return Nimbus(rows)


def test_before_the_first_refresh_the_list_speaks(
    sources: dict[str, Any], status: Callable[..., StatusAnswer], tmp_path: Path
) -> None:
    sources["nimbus"] = nimbus(make_offer())
    answer = status()
    assert (answer.place, answer.scopes) == ("", ())
    assert [(one.provider, one.outcome, one.last_attempt_at) for one in answer.sources] == [("nimbus", "", None)]
    rows = {(row.provider, row.pricing_model): row for row in answer.listed}
    azure = rows["azure", "on_demand"]
    assert azure.offers > azure.regions > 1
    assert azure.oldest_observed_at <= azure.newest_observed_at < NIGHT
    assert azure.age_s == int((NIGHT - azure.oldest_observed_at).total_seconds())
    assert {row.freshness for row in answer.listed if row.pricing_model == "spot"} <= {"stale", "expired"}
    # To look is not to make.
    assert list(tmp_path.iterdir()) == []


def test_each_scope_with_its_age_and_how_far_it_can_be_believed(
    sources: dict[str, Any], refresh: Callable[..., None], status: Callable[..., StatusAnswer]
) -> None:
    sources["nimbus"] = nimbus(make_offer("a"), make_offer("b"), make_offer("a", pricing_model=SPOT, price=0.5))
    refresh()
    answer = status(now=NIGHT + DAY)
    assert [
        (one.region, one.pricing_model, one.offers, one.age_s, one.freshness, one.error) for one in answer.scopes
    ] == [("north", "on_demand", 2, 86_400, "fresh", ""), ("north", "spot", 1, 86_400, "stale", "")]
    (source,) = answer.sources
    assert (source.outcome, source.last_attempt_at, source.last_success_at) == ("refreshed", NIGHT, NIGHT)
    assert answer.place.endswith("prices.sqlite3")


def test_the_limits_of_the_settings_hold(
    sources: dict[str, Any], refresh: Callable[..., None], status: Callable[..., StatusAnswer]
) -> None:
    sources["nimbus"] = nimbus(make_offer())
    refresh()
    hour = timedelta(hours=1)
    limits = {(PriceClass.LIVE, ON_DEMAND): Limits(fresh=hour, stale=2 * hour, reason="test")}
    (scope,) = status(now=NIGHT + DAY, freshness=limits).scopes
    assert scope.freshness == "expired"


def test_what_failed_is_said_where_it_left_something_behind(
    sources: dict[str, Any], refresh: Callable[..., None], status: Callable[..., StatusAnswer]
) -> None:
    offers = [make_offer("a", region="north"), make_offer("a", region="south")]
    down: set[str] = set()

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        if part.name in down:
            raise ProviderUnavailable("nimbus: south is down")
        return [make_batch(offer, at=context.now()) for offer in offers if offer.region == part.name]

    sources["nimbus"] = Nimbus(rows, regions=("north", "south"))
    refresh()
    down.add("south")
    refresh(NIGHT + DAY)
    answer = status(now=NIGHT + DAY)
    assert [(one.region, one.age_s, one.error) for one in answer.scopes] == [
        ("north", 0, ""), ("south", 86_400, "nimbus: south is down"),
    ]  # fmt: skip
    (source,) = answer.sources
    assert (source.outcome, source.last_success_at, source.last_attempt_at) == ("partial", NIGHT, NIGHT + DAY)


def test_a_refused_batch_and_rows_in_quarantine(
    sources: dict[str, Any], refresh: Callable[..., None], status: Callable[..., StatusAnswer]
) -> None:
    sources["nimbus"] = nimbus(make_offer("a"), make_offer("b"))
    refresh()
    sources["nimbus"] = nimbus(make_offer("a", price=20.0), make_offer("b"))
    refresh(NIGHT + DAY)
    (scope,) = status().scopes
    assert (scope.offers, scope.quarantined, scope.refused) == (2, 1, "")
    sources["nimbus"] = Nimbus(
        lambda context, part: [make_batch(scope=scope_of(make_offer()), at=context.now())],
    )
    refresh(NIGHT + 2 * DAY)
    (scope,) = status(now=NIGHT + 2 * DAY).scopes
    assert scope.refused.startswith("the batch is empty")
    assert (scope.error, scope.last_success_at) == (scope.refused, NIGHT + DAY)


def test_what_is_not_configured_is_listed_with_what_to_set(
    sources: dict[str, Any], refresh: Callable[..., None], status: Callable[..., StatusAnswer]
) -> None:
    sources["cirrus"] = replace_name(failing(CredentialsMissing("cirrus: CIRRUS_KEY is not set")))
    (source,) = status().sources
    assert [(item.name, item.help) for item in source.missing] == [("CIRRUS_KEY", "from the console of Cirrus")]
    assert status(environment={"CIRRUS_KEY": "x"}).sources[0].missing == ()
    assert status(environment={"CIRRUS_KEY": "  "}).sources[0].missing
    refresh()
    (source,) = status().sources
    assert (source.outcome, source.error) == ("no_credentials", "cirrus: CIRRUS_KEY is not set")
    assert source.missing


def test_a_login_that_was_found_elsewhere_is_enough(
    sources: dict[str, Any], refresh: Callable[..., None], status: Callable[..., StatusAnswer]
) -> None:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        return [make_batch(make_offer(provider="cirrus"), at=context.now())]

    sources["cirrus"] = NeedsKey(rows, name="cirrus")
    refresh()
    assert status().sources[0].missing == ()


def replace_name(source: Nimbus) -> NeedsKey:
    return NeedsKey(source.rows, name="cirrus")


def test_an_adapter_that_cannot_be_loaded_and_one_that_is_gone(
    sources: dict[str, Any], refresh: Callable[..., None], status: Callable[..., StatusAnswer]
) -> None:
    sources["nimbus"] = nimbus(make_offer())
    refresh()
    del sources["nimbus"]
    sources["stratus"] = ProviderError("stratus: its adapter cannot be loaded (ImportError: x)")
    answer = status()
    assert [(one.provider, one.broken) for one in answer.sources] == [
        ("nimbus", "nimbus: no such source is installed any more"),
        ("stratus", "stratus: its adapter cannot be loaded (ImportError: x)"),
    ]
    assert [scope.provider for scope in answer.scopes] == ["nimbus"]


def test_one_provider_alone(
    sources: dict[str, Any], refresh: Callable[..., None], status: Callable[..., StatusAnswer]
) -> None:
    sources["nimbus"] = nimbus(make_offer())
    refresh()
    answer = status("Azure")
    assert (answer.sources, answer.scopes) == ((), ())
    assert {row.provider for row in answer.listed} == {"azure"}
    assert [one.provider for one in status("nimbus").scopes] == ["nimbus"]
    with pytest.raises(JobError, match="provider = 'nimbos'"):
        status("nimbos")


def test_live_scopes_stand_for_the_list(
    sources: dict[str, Any], refresh: Callable[..., None], status: Callable[..., StatusAnswer]
) -> None:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        return [make_batch(make_offer(provider="vultr", region="ams"), at=context.now())]

    assert [row.provider for row in price_list(status)] == ["vultr"]
    sources["vultr"] = Nimbus(rows, name="vultr")
    refresh()
    assert price_list(status) == []


def price_list(status: Callable[..., StatusAnswer]) -> list[Any]:
    return [row for row in status("vultr").listed if row.pricing_model == "on_demand"]


def test_a_store_that_was_named_and_is_not_there(status: Callable[..., StatusAnswer], tmp_path: Path) -> None:
    with pytest.raises(PricesUnavailable, match="its directory does not exist"):
        status(cache_url=str(tmp_path / "typo" / "prices.sqlite3"))


def test_a_directory_is_no_store_and_not_taken_for_none(status: Callable[..., StatusAnswer], tmp_path: Path) -> None:
    with pytest.raises(PricesUnavailable, match="that is no file; name one in TUNEFARE_CACHE_URL"):
        status(cache_url=str(tmp_path))
