"""Asks all sources at once, each within its own bounds, and brings back what they said. Stores nothing.

Every source has a thread that watches over it, and a bounded pool that splits the work into parts and fetches them.
A source that fails, or takes too long, harms no other. The user's interruption reaches every request between two pieces
of its answer.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TypeVar

from providers.base import DeclaredVariables, FetchContext, FetchResult
from providers.errors import CredentialsMissing, Interrupted, JobError, ProviderError, TunefareError, one_line
from providers.http import HttpClient, Limits
from providers.redaction import Redactor

from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from providers.base import FetchPart, Provider, ProviderInfo, Wanted
    from providers.gpus import GpuTable
    from providers.http import Validator

SOURCES_AT_ONCE = 16
PROVIDER_S = 1200.0
"""How long one source may take in all, s: the bulk list of a large cloud is hundreds of megabytes a region."""
WATCH_S = 0.1

Value = TypeVar("Value")


class Watcher(Protocol):
    """Whoever is told how it goes; called from several threads."""

    def started(self, provider: str, parts: int) -> None:
        """A source was split into so many parts."""

    def progress(self, provider: str, line: str) -> None:
        """A line from a source, such as "eastus page 3"."""

    def part_done(self, provider: str, part: str, error: str) -> None:
        """A part is there, or failed with `error`."""

    def finished(self, provider: str, error: str) -> None:
        """A source is done; `error` is empty when all of it is there."""


class Silent:
    """Tells nobody."""

    def started(self, provider: str, parts: int) -> None:
        """Tell nobody."""

    def progress(self, provider: str, line: str) -> None:
        """Tell nobody."""

    def part_done(self, provider: str, part: str, error: str) -> None:
        """Tell nobody."""

    def finished(self, provider: str, error: str) -> None:
        """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedPart:
    """One part, and what it brought or why it failed. `skipped` parts were young enough not to be asked."""

    part: FetchPart
    result: FetchResult | None = None
    error: str = ""
    sample: str = ""
    no_credentials: bool = False
    skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The parts that a source splits what is wanted into. `error` is what kept it from that.

    `elsewhere` says in words why it has none of what is wanted: no such region, as a rule. Then nothing is asked.
    """

    parts: tuple[FetchPart, ...] = ()
    error: str = ""
    sample: str = ""
    no_credentials: bool = False
    elsewhere: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What one source brought: a part for each of `split.parts`, in that order."""

    provider: Provider
    split: Split = field(default_factory=Split)
    parts: tuple[FetchedPart, ...] = ()
    duration_ms: int = 0

    @property
    def no_credentials(self) -> bool:
        """Whether nothing could be asked, because the account is not configured."""
        return self.split.no_credentials or (bool(self.parts) and all(part.no_credentials for part in self.parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How sources are asked. `skips` says which parts of a provider are young enough to be left alone."""

    gpus: GpuTable
    environment: Mapping[str, str]
    now: Callable[[], datetime]
    wanted: Wanted
    watcher: Watcher = field(default_factory=Silent)
    limits: Limits = field(default_factory=Limits)
    provider_s: float = PROVIDER_S
    skips: Callable[[str, FetchPart], bool] = lambda _provider, _part: False
    validators: Callable[[str, FetchPart], Mapping[str, Validator]] = lambda _provider, _part: {}


def fetch_everything(providers: Sequence[Provider], asking: Asking, stop: threading.Event) -> list[Fetched]:
    """Return what each source brought, in the order given.

    Raises KeyboardInterrupt as soon as the user interrupts (or `stop` is set): threads that wait for an answer are left
    behind, and nothing of theirs is kept.
    """
    if not providers:
        return []
    workers = Workers(SOURCES_AT_ONCE, name="source")
    try:
        waiting = [workers.submit(_Source(provider, asking, stop).fetch) for provider in providers]
        while not (stop.is_set() or all(future.done() for future in waiting)):
            wait([future for future in waiting if not future.done()], timeout=WATCH_S, return_when=FIRST_COMPLETED)
    except KeyboardInterrupt:
        stop.set()
    finally:
        workers.abandon()
    if stop.is_set():
        raise KeyboardInterrupt
    return [future.result() for future in waiting]


def make_context(
    provider: Provider, asking: Asking, stop: threading.Event, *, validators: Mapping[str, Validator] | None = None
) -> FetchContext:
    """Return what an adapter is handed: the variables that it declared, a client within its bounds, a way to stop."""

    def checkpoint() -> None:
        if stop.is_set():
            raise Interrupted("interrupted")

    info = provider.info
    return FetchContext(
        gpus=asking.gpus,
        environment=DeclaredVariables(info, asking.environment),
        now=asking.now,
        http=HttpClient(source=info.name, requests_per_s=info.requests_per_s, limits=asking.limits, stop=stop),
        validators=validators or {},
        checkpoint=checkpoint,
        progress=lambda line: asking.watcher.progress(info.name, line),
    )


def bug_in_words(info: ProviderInfo, err: Exception, environment: Mapping[str, str]) -> str:
    """Return what to say of an error that no adapter should raise: one line, without secrets."""
    words = f"{info.name}: {type(err).__name__}: {err}; this is a bug in its adapter"
    if isinstance(err, ImportError) and info.extra:
        words = f"{info.name}: {err}: pip install 'tunefare[{info.extra}]'"
    return one_line(_redactor(info, environment)(words))[:500]


class _Source:
    """One source being asked."""

    def __init__(self, provider: Provider, asking: Asking, stop: threading.Event) -> None:
        self._provider = provider
        self._info = provider.info
        self._asking = asking
        self._user = stop
        self._stop = threading.Event()
        self._redact = _redactor(self._info, asking.environment)

    def fetch(self) -> Fetched:
        """Return what the source brought within its time."""
        started = monotonic()
        workers = Workers(self._info.pool, name=self._info.name)
        try:
            return self._fetch(workers, started)
        finally:
            workers.abandon()

    def _fetch(self, workers: Workers, started: float) -> Fetched:
        name, watcher = self._info.name, self._asking.watcher
        context = make_context(self._provider, self._asking, self._stop)
        late = started + self._asking.provider_s
        splitting = workers.submit(partial(self._split, context))
        self._wait_for([splitting], late)
        split = splitting.result() if splitting.done() else Split(error=self._late("what it has"))
        parts: list[FetchedPart] = []
        if split.parts:
            watcher.started(name, len(split.parts))
            fetching = [workers.submit(partial(self._fetch_part, part, context)) for part in split.parts]
            self._wait_for(fetching, late)
            parts = [
                future.result() if future.done() else FetchedPart(part=part, error=self._late(part.name))
                for part, future in zip(split.parts, fetching, strict=True)
            ]
        errors = [split.error, *(part.error for part in parts)]
        watcher.finished(name, next(filter(None, errors), ""))
        return Fetched(
            provider=self._provider, split=split, parts=tuple(parts), duration_ms=int((monotonic() - started) * 1000)
        )

    def _wait_for(self, futures: Sequence[Future[Value]], late: float) -> None:
        """Wait until all are done, the source's time is over, or the user wants to stop: then the rest is told to."""
        while waiting := [future for future in futures if not future.done()]:
            if self._user.is_set() or monotonic() > late:
                self._stop.set()
                return
            wait(waiting, timeout=min(WATCH_S, max(late - monotonic(), 0.0)), return_when=FIRST_COMPLETED)

    def _split(self, context: FetchContext) -> Split:
        """Return the parts of what is wanted and of what the source has: a region of another one is left out."""
        wanted = self._asking.wanted
        if not any(wanted.takes_model(model) for model in self._info.pricing_models):
            return Split(elsewhere=f"{self._info.name}: it prices {', '.join(self._info.pricing_models)} alone")
        while True:
            try:
                return Split(parts=tuple(self._provider.parts(wanted, context)))
            except Interrupted:
                return Split(error=self._late("what it has"))
            except JobError as err:
                unknown = {name.strip() for name in str(err.value).split(",")} & wanted.regions
                if err.key != "region" or not wanted.regions:
                    return Split(error=self._words(err)[0])
                if not unknown or unknown == wanted.regions:
                    words = f"{self._info.name}: it has no {err.value}; allowed is {err.allowed}"
                    return Split(elsewhere=one_line(self._redact(words)))
                wanted = replace(wanted, regions=wanted.regions - unknown)
            except TunefareError as err:
                error, sample = self._words(err)
                return Split(error=error, sample=sample, no_credentials=isinstance(err, CredentialsMissing))
            except Exception as err:  # noqa: BLE001 - a bug in one adapter, ours or not, harms no other source
                return Split(error=bug_in_words(self._info, err, self._asking.environment))

    def _fetch_part(self, part: FetchPart, context: FetchContext) -> FetchedPart:
        name = self._info.name
        if self._asking.skips(name, part):
            self._asking.watcher.part_done(name, part.name, "")
            return FetchedPart(part=part, skipped=True)
        own = replace(context, validators=self._asking.validators(name, part))
        try:
            fetched = FetchedPart(part=part, result=_checked(self._provider.fetch(part, own), name))
        except Interrupted:
            fetched = FetchedPart(part=part, error=self._late(part.name))
        except TunefareError as err:
            error, sample = self._words(err)
            missing = isinstance(err, CredentialsMissing)
            fetched = FetchedPart(part=part, error=error, sample=sample, no_credentials=missing)
        except Exception as err:  # noqa: BLE001 - as above
            fetched = FetchedPart(part=part, error=bug_in_words(self._info, err, self._asking.environment))
        self._asking.watcher.part_done(name, part.name, fetched.error)
        return fetched

    def _late(self, what: str) -> str:
        return f"{self._info.name}: {what} took longer than {self._asking.provider_s:,.0f} s"

    def _words(self, err: TunefareError) -> tuple[str, str]:
        """Return the message as one line and the sample, both without secrets."""
        sample = getattr(err, "sample", "") if isinstance(err, ProviderError) else ""
        return one_line(self._redact(str(err))), self._redact(sample)


def _checked(result: FetchResult, name: str) -> FetchResult:
    """Return the result. Raises TypeError, ValueError where it is none, or names prices of another source."""
    if not isinstance(result, FetchResult):
        raise TypeError(f"fetch returned {type(result).__name__}")
    for batch in result.batches:
        if batch.scope.provider != name:
            raise ValueError(f"a batch of {batch.scope.provider}")
    return result


def _redactor(info: ProviderInfo, environment: Mapping[str, str]) -> Redactor:
    return Redactor.of([item.name for item in info.variables if item.secret], environment)
