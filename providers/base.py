"""What a price source is to the rest: the protocol that every adapter fulfils, and what it is handed.

A source splits what was asked for into parts (a region, a catalogue) that are fetched side by side. Each part answers
with whole batches, one a scope. An adapter keeps the fetching thin (it returns what the source said) and the parsing
pure (what was said in, offers and dropped rows with reasons out), so that the parser can be tested with any input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .addresses import is_trusted, place_of
from .errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from .gpus import GpuTable
    from .http import HttpClient, Validator
    from .offer import Offer, PricingModel
    from .scope import DroppedRow, OfferKey, Scope, ScopeBatch

ENTRY_POINT_GROUP = "tunefare.providers"


class Account(StrEnum):
    """Whether a source answers strangers."""

    NONE = "none"
    OPTIONAL = "optional"
    NEEDED = "needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """An environment variable that an adapter reads. `help` is one line: what it is and where to get it."""

    name: str
    help: str
    secret: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """What is to be known of a source without asking it.

    `name` is the provider's name in offers; `variables` is everything that the adapter may read from the environment;
    `extra` the extra of this distribution that brings its client. At most `pool` parts are fetched at once, at most
    `requests_per_s` requests are sent. `volatile` sources list what can be had at the moment: a region that is empty or
    half gone tonight is news, not a fault. `live` says what is fetched, `unverified` what was not checked against the
    real service, `permissions` the least that the account needs.
    """

    name: str
    title: str
    account: Account
    pricing_models: tuple[PricingModel, ...]
    live: str
    unverified: str
    homepage: str
    variables: tuple[Variable, ...] = ()
    permissions: str = "none"
    extra: str | None = None
    pool: int = 4
    requests_per_s: float = 5.0
    volatile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a refresh asks a source for. Empty regions: all that it has; empty models: all that it prices."""

    regions: frozenset[str] = frozenset()
    pricing_models: frozenset[PricingModel] = frozenset()

    def takes(self, scope: Scope) -> bool:
        """Return whether the scope was asked for."""
        return (not self.regions or scope.region in self.regions) and self.takes_model(scope.pricing_model)

    def takes_model(self, model: PricingModel) -> bool:
        """Return whether the pricing model was asked for."""
        return not self.pricing_models or model in self.pricing_models


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPart:
    """One piece of a refresh. `name` is unique within its source and stable from night to night ("eastus spot")."""

    name: str
    region: str | None = None
    pricing_models: tuple[PricingModel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """What one part brought.

    `batches` holds every scope that the part covers, empty ones too. `dropped` are rows that belong to no scope.
    `validators` are what the source handed out for asking again (ETag, Last-Modified), by URL. With `unchanged` the
    source said that nothing changed since the validators that the context held: there are no batches, and the last
    ones are confirmed as of `observed_at`.
    """

    batches: tuple[ScopeBatch, ...] = ()
    dropped: tuple[DroppedRow, ...] = ()
    validators: Mapping[str, Validator] = field(default_factory=dict)
    unchanged: bool = False
    observed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchContext:
    """What an adapter is handed: tables, clock, client, the variables that it declared, and nothing else.

    `environment` raises LookupError for a variable that the adapter did not declare. `now` reads the clock (aware UTC,
    whole seconds). `validators` are those of the last successful fetch of this very part. `checkpoint` is called
    between requests: it raises `Interrupted` once the user wants to stop. `progress` takes
    a short line ("page 3") for whoever watches.
    """

    gpus: GpuTable
    environment: Mapping[str, str]
    now: Callable[[], datetime]
    http: HttpClient
    validators: Mapping[str, Validator] = field(default_factory=dict)
    checkpoint: Callable[[], None] = lambda: None
    progress: Callable[[str], None] = lambda _line: None


@runtime_checkable
class Provider(Protocol):
    """A price source. Constructed without arguments by the registry; holds no state between calls."""

    @property
    def info(self) -> ProviderInfo:
        """What is to be known of the source without asking it."""
        ...

    def parts(self, wanted: Wanted, context: FetchContext) -> Sequence[FetchPart]:
        """Return the parts that cover `wanted`; may ask the source for its regions.

        Raises CredentialsMissing where the source needs what is not there, JobError for a region that it does not have.
        """
        ...

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:
        """Return what one part holds now. Raises a ProviderError; never returns half a scope."""
        ...

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
        """Return the offer of exactly that key, asked for now; None when the source no longer has it.

        Raises a ProviderError where the source does not answer or is not understood.
        """
        ...


class DeclaredVariables(Mapping[str, str]):
    """The environment as one adapter may see it: the variables that its `ProviderInfo` declares."""

    def __init__(self, info: ProviderInfo, environment: Mapping[str, str]) -> None:
        """`environment` is the process's; empty values count as not set, blanks around a value are no part of it."""
        self._values = {item.name: environment.get(item.name, "").strip() for item in info.variables}
        self._provider = info.name

    def __getitem__(self, name: str) -> str:
        if not self._declared(name):
            raise KeyError(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, value in self._values.items() if value)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return self._declared(name)

    def _declared(self, name: object) -> bool:
        """Return whether the variable is set. Raises LookupError where the adapter did not declare it."""
        if name not in self._values:
            # Not a KeyError: `get` would turn that into its default.
            raise LookupError(f"{self._provider} reads {name}, which its ProviderInfo does not declare")
        return bool(self._values[str(name)])


def endpoint(context: FetchContext, variable: str, default: str) -> str:
    """Return the address that a source is asked at, without a trailing "/": `variable` names a mirror or a proxy.

    Raises JobError for one that is neither https nor on this machine: prices decide what is paid.
    """
    stated = context.environment.get(variable, "")
    if not stated:
        return default.rstrip("/")
    if not is_trusted(stated) or "?" in stated or "#" in stated:
        # The message does not repeat a user part or a query: they may hold a password.
        shown = place_of(stated)
        raise JobError(where="environment", key=variable, value=shown, allowed="an https:// address, nothing behind it")
    return stated.rstrip("/")
