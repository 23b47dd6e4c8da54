"""What the textfile collector of Prometheus' node_exporter reads: how the sources fare, and how a refresh ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .writing import write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cache.sql_store import SqlStore

UP, SKIPPED = "refreshed", "no_credentials"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFigures:
    """What is exported of one source; moments in seconds since 1970. `success_at` None: never refreshed in full."""

    provider: str
    up: bool
    attempt_at: int
    success_at: int | None
    duration_ms: int
    offers: int
    quarantined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metric:
    name: str
    help: str
    value: Callable[[SourceFigures], str | None]


METRICS: tuple[_Metric, ...] = (
    _Metric(
        name="tunefare_prices_last_success_timestamp_seconds",
        help="When the source was last refreshed in full, seconds since 1970.",
        value=lambda source: None if source.success_at is None else str(source.success_at),
    ),
    _Metric(
        name="tunefare_prices_last_attempt_timestamp_seconds",
        help="When the source was last asked, seconds since 1970.",
        value=lambda source: str(source.attempt_at),
    ),
    _Metric(
        name="tunefare_prices_refresh_duration_seconds",
        help="How long the last attempt to ask the source took.",
        value=lambda source: f"{source.duration_ms // 1000}.{source.duration_ms % 1000:03d}",
    ),
    _Metric(
        name="tunefare_prices_offers",
        help="Offers of the source with a live price.",
        value=lambda source: str(source.offers),
    ),
    _Metric(
        name="tunefare_prices_quarantined",
        help="Rows of the source that wait in quarantine.",
        value=lambda source: str(source.quarantined),
    ),
    _Metric(
        name="tunefare_prices_up",
        help="1 when the last attempt brought everything, otherwise 0.",
        value=lambda source: str(int(source.up)),
    ),
)
EXIT_CODE = "tunefare_prices_refresh_exit_code"


def write_metrics(path: Path, sources: Sequence[SourceFigures], *, exit_code: int) -> None:
    """Write the file, whole or not at all, readable by the collector. Raises JobError where it cannot be written."""
    write_file(path, format_metrics(sources, exit_code=exit_code), key="metrics_textfile")


def format_metrics(sources: Sequence[SourceFigures], *, exit_code: int) -> str:
    """Return the text exposition format: gauges, each with its help and type, labels escaped."""
    lines: list[str] = []
    for metric in METRICS:
        samples = [(source.provider, metric.value(source)) for source in sources]
        found = [
            f'{metric.name}{{provider="{_escaped(name)}"}} {value}' for name, value in samples if value is not None
        ]
        if found:
            lines += [*_head(metric.name, metric.help), *found]
    lines += [*_head(EXIT_CODE, "Exit code of the last refresh; 0 is fine."), f"{EXIT_CODE} {exit_code}"]
    return "\n".join(lines) + "\n"


def read_figures(store: SqlStore) -> list[SourceFigures]:
    """Return the figures of every source that was ever asked; of one without an account only if it once had one."""
    offers: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for state in store.scope_states():
        offers[state.scope.provider] += state.offers
        waiting[state.scope.provider] += state.quarantined
    return [
        SourceFigures(
            provider=name,
            up=record.outcome == UP,
            attempt_at=int(record.attempt_at.timestamp()),
            success_at=None if record.success_at is None else int(record.success_at.timestamp()),
            duration_ms=record.duration_ms,
            offers=offers[name],
            quarantined=waiting[name],
        )
        for name, record in sorted(store.sources().items())
        if record.outcome != SKIPPED or record.success_at is not None
    ]


def _head(name: str, words: str) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} gauge"]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
