"""What is assumed of a machine that nobody has watched: its published interruption class picks a kind of zone.

AWS publishes, per instance type and region, how often spot machines were taken back in the last month, in five classes
(below 5 %, 5-10, 10-15, 15-20, above 20). `data/interruption_classes.csv` holds the copy of June 2025. A class is an
ordinal prior only: its percentages are shares of machines per month without a statement about age, about waiting, or
about a run that asks again at once, and they are far below what watched zones do (the calmest of ours loses one machine
in seven hours of availability). So a class orders kinds of zones and gives no rate of its own:

    class                    low                          expected                  high
    0  below 5 % a month     calmest, half the losses     calmest                   second
    1  5-10 %                calmest                      calmest with second       second with third
    2  10-15 %               calmest                      second                    third
    3  15-20 %               second                       third                     scarcest
    4  above 20 %            second with third            third with scarcest       scarcest
    none known               calmest                      all together              scarcest

Whatever comes out is assumed: the zones are of one provider, one GPU and one season.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from providers.basis import Basis

from .zone_counts import HISTORY, load_zone_models

if TYPE_CHECKING:
    from .availability import AvailabilityModel

FILE = "interruption_classes.csv"
PROVIDER = "aws"
CLASSES = ("below 5 %", "5-10 %", "10-15 %", "15-20 %", "above 20 %")
"""Machines taken back per month, by class."""
CALMER_LOSS = 0.5
"""What stands below the calmest zone: its waits, and this share of its losses. Assumed."""

# Zones pooled for low, expected and high of each class, counted from the calmest; a class's own row in the docstring.
_KINDS: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...] = (
    ((), (0,), (1,)),
    ((0,), (0, 1), (1, 2)),
    ((0,), (1,), (2,)),
    ((1,), (2,), (3,)),
    ((1, 2), (2, 3), (3,)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotPrior:
    """Availability assumed of a place: calmer than expected, expected, rougher; and where it comes from, in words."""

    low: AvailabilityModel
    """Fewest losses."""
    expected: AvailabilityModel
    high: AvailabilityModel
    """Most losses, least available."""
    history: str
    basis: Basis
    interruption_class: int | None
    """0 (fewest interruptions) to 4; None where none is published."""


def class_of(*, provider: str, instance_type: str, region: str) -> int | None:
    """Return the published interruption class, 0 to 4; None where none is published."""
    return _classes().get((instance_type, region)) if provider == PROVIDER else None


def availability_for(*, provider: str, region: str, instance_type: str) -> SpotPrior:
    """Return what is assumed of spot machines of a type in a region; basis always assumed."""
    return _prior(class_of(provider=provider, instance_type=instance_type, region=region))


@cache
def _prior(interruption_class: int | None) -> SpotPrior:
    models = load_zone_models()
    if interruption_class is None:
        return SpotPrior(
            low=models.zones[0],
            expected=models.pooled,
            high=models.zones[-1],
            history=f"no history of this place; {HISTORY}",
            basis=Basis.ASSUMED,
            interruption_class=None,
        )
    label = f"interruption class {CLASSES[interruption_class]} a month"
    low, expected, high = (
        models.between(*kinds, name=label) if kinds else models.zones[0].scaled(loss=CALMER_LOSS)
        for kinds in _KINDS[interruption_class]
    )
    return SpotPrior(
        low=low,
        expected=expected,
        high=high,
        history=f"{label} (AWS, June 2025) picks among {HISTORY}",
        basis=Basis.ASSUMED,
        interruption_class=interruption_class,
    )


@cache
def _classes() -> dict[tuple[str, str], int]:
    text = files(__package__).joinpath("data", FILE).read_text(encoding="utf-8")
    return {
        (row["instance_type"], region): int(row["class"])
        for row in csv.DictReader(text.splitlines())
        for region in row["regions"].split()
    }
