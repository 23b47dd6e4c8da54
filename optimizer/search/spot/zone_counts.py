"""Availability that ships with the product: hazards counted in four published zone traces, calm to scarce.

`data/zone_hazards.csv` holds, per zone, state and bucket of ages, how many stretches ended and how many hours were
watched: public V100 spot traces of AWS, sampled every 195 s, 2023-02-15..2023-04-01, overlapping windows joined first.
One kind of machine, one provider, one season: for anything else these hazards are assumed.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from providers.basis import Basis

from .availability import AGE_FROM_H, AvailabilityModel, Stretches, model_of, pooled

FILE = "zone_hazards.csv"
HISTORY = "hazards counted on four AWS V100 zones, 2023-02-15..2023-04-01"
Counts = tuple[Stretches, Stretches]
"""Being up and being down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneModels:
    """What the counted zones say: each alone, calm first, and all of them together."""

    zones: tuple[AvailabilityModel, ...]
    """Ordered by the share of time in which machines could be had, the largest first."""
    pooled: AvailabilityModel
    names: tuple[str, ...]
    """The zones that were watched, in the same order."""
    counts: tuple[Counts, ...]
    """The counts behind `zones`, in the same order: kinds between two zones are pooled from them."""

    def between(self, *kinds: int, name: str) -> AvailabilityModel:
        """Return the model of several kinds together, counted from the calmest (0)."""
        return model_of(*pooled([self.counts[kind] for kind in kinds]), name=name, basis=Basis.ASSUMED)


@cache
def load_zone_models() -> ZoneModels:
    """Return the shipped models: the ladder of kinds from calm to scarce, and their pool. Basis assumed: see above."""
    counts = _read(files(__package__).joinpath("data", FILE).read_text(encoding="utf-8"))
    found = [
        (model_of(*one, name=f"hazards of {zone}, AWS V100, 2023", basis=Basis.ASSUMED), one, zone)
        for zone, one in counts.items()
    ]
    ladder = sorted(found, key=lambda pair: -pair[0].available_fraction)
    return ZoneModels(
        zones=tuple(model for model, _, _ in ladder),
        names=tuple(zone for _, _, zone in ladder),
        pooled=model_of(*pooled(list(counts.values())), name=HISTORY, basis=Basis.ASSUMED),
        counts=tuple(one for _, one, _ in ladder),
    )


def _read(text: str) -> dict[str, Counts]:
    ended: dict[tuple[str, str], list[float]] = {}
    hours: dict[tuple[str, str], list[float]] = {}
    for row in csv.DictReader(text.splitlines()):
        key = (row["zone"], row["state"])
        expected = AGE_FROM_H[len(ended.setdefault(key, []))]
        if float(row["age_from_h"]) != expected:
            raise ValueError(f"{FILE}: {key}: the bucket from {row['age_from_h']} h stands where {expected} h belongs")
        ended[key].append(float(row["ended"]))
        hours.setdefault(key, []).append(float(row["hours"]))
    zones = dict.fromkeys(zone for zone, _ in ended)
    return {zone: (_stretches(ended, hours, zone, "up"), _stretches(ended, hours, zone, "down")) for zone in zones}


def _stretches(
    ended: dict[tuple[str, str], list[float]], hours: dict[tuple[str, str], list[float]], zone: str, state: str
) -> Stretches:
    return Stretches(ended=np.array(ended[zone, state]), hours=np.array(hours[zone, state]))
