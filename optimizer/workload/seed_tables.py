"""The published cost and size tables that the project must reproduce, with what they get wrong."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .calculator import gpu_hours

if TYPE_CHECKING:
    from .model_spec import ModelSpec

_FILE = Path(__file__).parent / "data" / "seed_tables.toml"
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCost:
    """One row of the cost table. `hours` is wall-clock; None is not stated. `printed_usd` is what the document says."""

    name: str
    printed_usd: Decimal
    hours: float | None = None
    gpus: int | None = None
    gpu: str | None = None
    note: str = ""

    @property
    def gpu_hours(self) -> float | None:
        """GPU-hours, None where hours or GPUs are not stated."""
        return None if self.hours is None or self.gpus is None else gpu_hours(self.hours, self.gpus)

    def usd(self, usd_per_gpu_hour: Decimal) -> Decimal | None:
        """Return what the stated hours cost at a price, to the cent; None where hours or GPUs are not stated."""
        spent = self.gpu_hours
        if spent is None:
            return None
        return (Decimal(str(spent)) * usd_per_gpu_hour).quantize(_CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSize:
    """One row of the memory table. Memory in GiB by batch size (the document says GB); sizes in decimal GB."""

    row: str
    rank: int
    bits: int
    size_gb: str
    trainable: int | None = None
    memory_gib: dict[str, float] | None = None
    percentage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A sentence of the document: reproduced, or errs with a note that says how."""

    key: str
    printed: str
    verdict: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedTables:
    """Both tables and the statements beside them."""

    source: str
    usd_per_gpu_hour: Decimal
    gpu: str
    costs: tuple[PublishedCost, ...]
    sizes: tuple[PublishedSize, ...]
    statements: tuple[Statement, ...]

    def cost(self, name: str) -> PublishedCost:
        """Return the row of the cost table with this name. Raises KeyError if there is none."""
        return {row.name: row for row in self.costs}[name]


def load_seed_tables(path: Path | None = None) -> SeedTables:
    """Return the published tables that ship with the project."""
    raw: dict[str, Any] = tomllib.loads((path or _FILE).read_text(encoding="utf-8"))
    return SeedTables(
        source=raw["source"],
        usd_per_gpu_hour=Decimal(raw["usd_per_gpu_hour"]),
        gpu=raw["gpu"],
        costs=tuple(PublishedCost(**{**row, "printed_usd": Decimal(row["printed_usd"])}) for row in raw["cost"]),
        sizes=tuple(PublishedSize(**row) for row in raw["model"]),
        statements=tuple(Statement(**row) for row in raw["statement"]),
    )


def published_size_bytes(model: ModelSpec, *, trainable: int, bits: int) -> float:
    """Return a model size by the document's rule: (2 B per parameter + 4 B per adapter parameter) x bits / 16.

    It reproduces every printed size and percentage, and errs for 8 and 4 bits: k-bit loading leaves embeddings, head
    and norms at 16 bits and never touches the adapter. `physics.memory` has what a load really holds.
    """
    return (2.0 * model.total_params + 4.0 * trainable) * bits / 16
