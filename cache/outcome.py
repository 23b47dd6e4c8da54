"""What a refresh did, source by source: data for the table, the JSON, the metrics and the exit code."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from providers.scope import Scope

ALL_FINE, INCOMPLETE = 0, 9


class Outcome(StrEnum):
    """How one source fared."""

    REFRESHED = "refreshed"
    FRESH = "fresh"
    """Young enough already: not asked."""
    PARTIAL = "partial"
    """A part failed or a scope was refused; the rest is published."""
    FAILED = "failed"
    NO_CREDENTIALS = "no_credentials"
    """Skipped, because its account is not configured."""
    NOT_OFFERED = "not_offered"
    """Not asked, or without an answer, because it has none of the regions and pricing models that were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedScope:
    """A batch that was refused as a whole, and why, in words."""

    scope: Scope
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What one source brought. Counts are offers; `dropped` counts rows that became no offer, by reason.

    `regions` are those for which something was published.
    `unknown_gpus` counts offers by the name of a chip that the GPU table does not know. `errors` has one line for each
    part that failed, without secrets; of a source that does not have what was asked for, why.
    """

    provider: str
    outcome: Outcome
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
    refused: tuple[RefusedScope, ...] = ()
    errors: tuple[str, ...] = ()
    last_success_at: datetime | None = None
    regions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshReport:
    """What a refresh did. `named` are the sources that were asked for by name."""

    started_at: datetime
    finished_at: datetime
    dry_run: bool
    sources: tuple[SourceReport, ...]
    named: frozenset[str] = frozenset()

    def exit_code(self, *, allow_partial: bool) -> int:
        """Return 0 when every source that can be asked was refreshed (or is fresh), otherwise 9.

        With `allow_partial` one good source is enough. A source without its account counts only when it was named, one
        that does not have what was asked for never does.
        """
        good = {Outcome.REFRESHED, Outcome.FRESH}
        asked = [
            one
            for one in self.sources
            if one.outcome is not Outcome.NOT_OFFERED
            and (one.outcome is not Outcome.NO_CREDENTIALS or one.provider in self.named)
        ]
        if allow_partial:
            return ALL_FINE if any(one.outcome in {*good, Outcome.PARTIAL} for one in asked) else INCOMPLETE
        return ALL_FINE if asked and all(one.outcome in good for one in asked) else INCOMPLETE
