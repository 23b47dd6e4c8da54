"""The use case `prices refresh`: which sources are asked for what, into which store, and what came of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from cache.fetching import PROVIDER_S, Asking
from cache.outcome import Outcome
from cache.refresh import RefreshOrder, refresh
from cache.store import BundledStore
from optimizer.report.refresh_answers import RefreshAnswer, RefreshedSource, RefusedBatch
from providers import registry
from providers.base import Account, ProviderInfo, Wanted
from providers.errors import JobError, ProviderError
from providers.offer import PricingModel
from providers.units import parse_duration

from .clock import current_time, moment_in_force
from .gpu_table import load_gpu_table
from .interruption import Interruption
from .price_store import publishing_store
from .pricing import parse_pricing_model
from .settings import load_settings
from .watching import Watchers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from cache.fetching import Watcher
    from cache.outcome import RefreshReport, SourceReport
    from providers.base import FetchContext, FetchPart, FetchResult, Provider
    from providers.gpus import GpuTable
    from providers.offer import Offer
    from providers.scope import OfferKey

    from .settings import Settings

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshWish:
    """What a refresh is asked to do; an empty tuple is no restriction.

    `max_age` ("6h") leaves alone what is younger, `timeout` ("20m") is how long one source may take. `dry_run` stores
    nothing; with `allow_partial` one good source is enough for exit code 0.
    """

    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    pricing_models: tuple[str, ...] = ()
    max_age: str | None = None
    timeout: str | None = None
    dry_run: bool = False
    allow_partial: bool = False


def refresh_prices(
    wish: RefreshWish | None = None,
    *,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    environment: Mapping[str, str] | None = None,
    watchers: Iterable[Watcher] = (),
    interruption: Interruption | None = None,
    gpus: GpuTable | None = None,
) -> RefreshAnswer:
    """Ask the sources, store what passes the gate, and return what happened to each.

    Raises JobError (exit 2) for an unknown source or pricing model, and for regions that no source asked has;
    StoreBusy (exit 10) where another refresh runs; KeyboardInterrupt where the user stops it before anything is stored.
    """
    wish = wish or RefreshWish()
    in_force = load_settings() if settings is None else settings
    table = load_gpu_table() if gpus is None else gpus
    stop = interruption or Interruption()
    clock = reading_clock(now, in_force)
    providers = _chosen(wish.providers)
    team = Watchers(*watchers)
    order = _order(wish, clock=clock, gpus=table, environment=environment, watcher=team)
    began = monotonic()
    with publishing_store(in_force, table, dry_run=wish.dry_run) as store:
        try:
            report = refresh(
                store,
                providers,
                order,
                listed=BundledStore(table).snapshot(now=clock()).offers,
                undisturbed=lambda: stop.publishing(keep=not wish.dry_run),
            )
        finally:
            team.close()
        _refuse_nonsense(wish, report)
        return RefreshAnswer(
            started_at=report.started_at,
            finished_at=report.finished_at,
            duration_ms=int((monotonic() - began) * 1000),
            dry_run=wish.dry_run,
            exit_code=report.exit_code(allow_partial=wish.allow_partial),
            place="" if wish.dry_run else store.database.place,
            waiting=sum(state.quarantined for state in store.scope_states()),
            sources=tuple(_source(one) for one in report.sources),
            unserved_regions=_unserved(wish, report),
        )


def reading_clock(now: datetime | str | None, settings: Settings) -> Callable[[], datetime]:
    """Return the clock: it stands still at `now` (`--now`, `TUNEFARE_NOW`). Raises JobError for what is no moment."""
    if now is None and settings.now is None:
        return current_time
    fixed = moment_in_force(now, settings.now)
    return lambda: fixed


def load_or_stand_in(name: str) -> Provider:
    """Return the source of that name; where it cannot be loaded, one that fails with the reason.

    Raises JobError (exit 2) for a name that is not installed.
    """
    try:
        return registry.load_provider(name)
    except ProviderError as err:
        return Unloadable(name, str(err))


class Unloadable:
    """A source whose adapter cannot be loaded: it fails like one that does not answer, and harms no other."""

    def __init__(self, name: str, reason: str) -> None:
        """`reason` is the message of every attempt."""
        self.name = name
        self.reason = reason

    @property
    def info(self) -> ProviderInfo:
        """Next to nothing is known of it."""
        return ProviderInfo(
            name=self.name,
            title=self.name,
            account=Account.NONE,
            pricing_models=tuple(PricingModel),
            live="nothing",
            unverified="everything",
            homepage="",
        )

    def parts(self, wanted: Wanted, context: FetchContext) -> Sequence[FetchPart]:  # noqa: ARG002 - the protocol's
        """Raise ProviderError with the reason."""
        raise ProviderError(self.reason)

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:  # noqa: ARG002 - likewise
        """Raise ProviderError with the reason."""
        raise ProviderError(self.reason)

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:  # noqa: ARG002 - likewise
        """Raise ProviderError with the reason."""
        raise ProviderError(self.reason)


def _chosen(names: Iterable[str]) -> list[Provider]:
    wanted = tuple(dict.fromkeys(name.strip().lower() for name in names)) or registry.provider_names()
    return [load_or_stand_in(name) for name in sorted(wanted)]


def _order(
    wish: RefreshWish,
    *,
    clock: Callable[[], datetime],
    gpus: GpuTable,
    environment: Mapping[str, str] | None,
    watcher: Watcher,
) -> RefreshOrder:
    provider_s = PROVIDER_S if wish.timeout is None else _parse_span("timeout", wish.timeout)
    wanted = Wanted(
        regions=frozenset(name.strip() for name in wish.regions),
        pricing_models=frozenset(parse_pricing_model(name) for name in wish.pricing_models),
    )
    asking = Asking(
        gpus=gpus,
        environment=dict(os.environ) if environment is None else environment,
        now=clock,
        wanted=wanted,
        watcher=watcher,
        provider_s=provider_s,
    )
    return RefreshOrder(
        asking=asking,
        max_age=None if wish.max_age is None else timedelta(seconds=_parse_span("max_age", wish.max_age)),
        dry_run=wish.dry_run,
        named=frozenset(name.strip().lower() for name in wish.providers),
    )


def _parse_span(key: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as err:
        raise JobError(where=COMMAND_LINE, key=key, value=text, allowed=str(err)) from err


def _refuse_nonsense(wish: RefreshWish, report: RefreshReport) -> None:
    """Raise JobError where no source that was asked has what was asked for: as a rule a name is written wrong."""
    elsewhere = [one for one in report.sources if one.outcome is Outcome.NOT_OFFERED]
    unasked = {Outcome.NOT_OFFERED, Outcome.NO_CREDENTIALS}
    if not elsewhere or not all(one.outcome in unasked for one in report.sources):
        return
    reasons = [error for one in elsewhere for error in one.errors]
    key, names = ("region", wish.regions) if wish.regions else ("pricing_model", wish.pricing_models)
    allowed = reasons[0] if len(report.sources) == 1 and reasons else "no source that was asked has prices there"
    raise JobError(where=COMMAND_LINE, key=key, value=", ".join(names), allowed=allowed)


def _unserved(wish: RefreshWish, report: RefreshReport) -> tuple[str, ...]:
    """Return the regions for which nobody has a price; of a source that was not asked, or failed, that is unknown."""
    if any(one.outcome in {Outcome.FRESH, Outcome.FAILED, Outcome.PARTIAL} for one in report.sources):
        return ()
    served = {region for one in report.sources for region in one.regions}
    return tuple(sorted({name.strip() for name in wish.regions} - served))


def _source(report: SourceReport) -> RefreshedSource:
    return RefreshedSource(
        provider=report.provider,
        outcome=report.outcome.value,
        duration_ms=report.duration_ms,
        scopes=report.scopes,
        offers=report.offers,
        added=report.added,
        changed=report.changed,
        gone=report.gone,
        quarantined=report.quarantined,
        released=report.released,
        dropped=report.dropped,
        unknown_gpus=report.unknown_gpus,
        refused=tuple(
            RefusedBatch(
                region=one.scope.region,
                pricing_model=one.scope.pricing_model.value,
                reason=one.reason,
                detail=one.detail,
            )
            for one in report.refused
        ),
        errors=report.errors,
        last_success_at=report.last_success_at,
    )
