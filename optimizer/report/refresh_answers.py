"""What the use cases `prices refresh` and `prices status` hand to reports. Data only, no formatting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

GOOD_OUTCOMES = frozenset({"refreshed", "fresh"})
"""Outcomes of a source that need nobody's attention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedBatch:
    """A batch that was refused as a whole: `reason` is a code, `detail` says it in words."""

    region: str
    pricing_model: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshedSource:
    """What one source brought. Counts are offers; `dropped` counts rows that became no offer, by reason.

    `outcome` is refreshed, fresh (young enough: not asked), partial, failed, no_credentials (skipped) or not_offered
    (it has nothing of what was asked for). `errors` are lines without secrets. `last_success_at` is what the store
    knows: a failure does not renew it.
    """

    provider: str
    outcome: str
    duration_ms: int
    scopes: int = 0
    offers: int = 0
    added: int = 0
    changed: int = 0
    gone: int = 0
    quarantined: int = 0
    released: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    unknown_gpus: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[RefusedBatch, ...] = ()
    errors: tuple[str, ...] = ()
    last_success_at: datetime | None = None

    @property
    def dropped_rows(self) -> int:
        """Rows that became no offer, for whatever reason."""
        return sum(self.dropped.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshAnswer:
    """What a refresh did. `place` is where the store is, without a password; `waiting` rows are in its quarantine.

    `unserved_regions` were asked for, and no source has a price there.
    """

    started_at: datetime
    finished_at: datetime
    duration_ms: int
    dry_run: bool
    exit_code: int
    place: str
    waiting: int
    sources: tuple[RefreshedSource, ...]
    unserved_regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeStatus:
    """One provider, region and pricing model: its newest good batch, and what has gone wrong since.

    `age_s` and `freshness` are those of `last_success_at`; None where nothing was ever published. `refused` says why
    its last batch was refused as a whole; `error` also what failed for the source, where that left this scope behind.
    """

    provider: str
    region: str
    pricing_model: str
    last_attempt_at: datetime | None
    last_success_at: datetime | None
    age_s: int | None
    freshness: str | None
    offers: int
    quarantined: int
    refused: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingVariable:
    """An environment variable to set; `help` says what it is and where to get it."""

    name: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """One installed price source. `outcome` is that of the last attempt, "" where there was none.

    `missing` are the variables without which it cannot be asked; `broken` says why its adapter cannot be loaded.
    """

    provider: str
    title: str
    missing: tuple[MissingVariable, ...] = ()
    broken: str = ""
    last_attempt_at: datetime | None = None
    last_success_at: datetime | None = None
    outcome: str = ""
    error: str = ""
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedStatus:
    """Offers of the bundled list that count, because there are no live ones in their place."""

    provider: str
    pricing_model: str
    offers: int
    regions: int
    oldest_observed_at: datetime
    newest_observed_at: datetime
    age_s: int
    freshness: str
    """Age and freshness of the oldest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAnswer:
    """What is known of prices. `place` is the store, without a password; "" where nothing was ever refreshed."""

    made_at: datetime
    place: str
    sources: tuple[SourceStatus, ...]
    scopes: tuple[ScopeStatus, ...]
    listed: tuple[ListedStatus, ...]
