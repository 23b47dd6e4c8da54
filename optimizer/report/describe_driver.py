"""Phrases for the drivers of a cost that the table and the chart of a sensitivity share."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from optimizer.search.wording import span

from .describe import describe_machine_briefly, describe_method_briefly, describe_place
from .figures import CENT, MICRO, format_count, format_dollars, format_gib, format_hourly, format_rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.search.sensitivity_results import BestThere, Driver, DriverPoint

NAMES: Mapping[str, str] = MappingProxyType({
    "sequence_length": "sequence length",
    "global_batch": "global batch",
    "gradient_accumulation": "accumulation",
    "precision": "precision",
    "checkpoint_every": "checkpoints",
    "price": "price",
    "throughput": "throughput",
    "interruptions": "interruptions",
})  # fmt: skip
"""Names of drivers that are not their own."""
UNITS: Mapping[str, str] = MappingProxyType({
    "bits": "bits", "tokens_per_s": "tokens/s", "per_hour": "an hour", "usd_micro_per_hour": "an hour", "s": "apart",
})  # fmt: skip


def name_driver(driver: Driver) -> str:
    """Return the name of a driver in words."""
    return NAMES.get(driver.name, driver.name.replace("_", " "))


def format_input(driver: Driver, point: DriverPoint, *, unit: bool = True) -> str:
    """Return the value of a driver at a point: "1,024 tokens", "$0.16 an hour", "30m apart"."""
    if driver.unit == "s":
        text = span(point.value) if point.value else "none"
    elif driver.unit == "usd_micro_per_hour":
        text = format_hourly(point.value / MICRO)
    elif driver.unit == "tokens_per_s":
        text = format_rate(point.value)
    elif driver.unit == "per_hour":
        text = f"{point.value:.2g}"
    else:
        text = format_count(point.value)
    return f"{text} {UNITS.get(driver.unit, driver.unit)}" if unit else text


def format_interval(driver: Driver) -> str:
    """Return "256 – 1,024 tokens", the one value where the driver cannot be moved."""
    low, high = format_input(driver, driver.low, unit=False), format_input(driver, driver.high)
    return high if driver.low == driver.high else f"{low} – {high}"


def has_effect(driver: Driver) -> bool:
    """Return whether a driver moves the cost by half a cent and by a thousandth, or breaks a limit at an end."""
    base = driver.base.usd_micro or 0
    moved = driver.swing_usd_micro >= max(CENT // 2, base // 1000)
    return moved or any(describe_trouble(point) for point in driver.points)


def describe_trouble_briefly(point: DriverPoint) -> str:
    """Return the same in a word or two: "does not fit", "late", "over budget"."""
    words = (
        ("makes no sense", bool(point.senseless)),
        ("does not fit", point.fits is False),
        ("late", point.in_time is False),
        ("over budget", point.in_budget is False),
    )
    return ", ".join(word for word, true in words if true)


def describe_trouble(point: DriverPoint) -> str:
    """Return what stands in the way of the choice at a point: "needs 27.1 GiB of 23.7 GiB, late"; mostly empty."""
    rest = describe_trouble_briefly(point).replace("makes no sense", "").replace("does not fit", "").strip(", ")
    return ", ".join(words for words in (describe_misfit(point), rest) if words)


def describe_misfit(point: DriverPoint) -> str:
    """Return why the recipe cannot run at a point: "needs 27.1 GiB of 23.7 GiB", or why it makes no sense."""
    if point.senseless:
        return point.senseless
    if point.fits is not False or point.needed_bytes is None or point.usable_bytes is None:
        return ""
    if point.needed_bytes <= point.usable_bytes:
        return "needs more host memory than the node has"
    return f"needs {format_gib(point.needed_bytes)} of {format_gib(point.usable_bytes)}"


def describe_best(point: DriverPoint) -> str:
    """Return what the best plan is at a point, where it was sought: "still the best plan"; else empty."""
    if not point.sought:
        return ""
    best = point.best
    if best is None:
        return "no plan keeps every limit then"
    if best.same and not describe_trouble(point) and _alike(best, point):
        return "still the best plan"
    cost = format_dollars(best.usd_micro)
    if best.same:
        return f"best then: the same machine with another batch or checkpointing, {cost}"
    one = best.candidate
    machine = f"{describe_method_briefly(one.recipe)} on {describe_machine_briefly(one)}"
    return f"best then: {machine} at {describe_place(one.offer)}, {cost}"


def _alike(best: BestThere, point: DriverPoint) -> bool:
    return point.usd_micro is not None and best.usd_micro >= 0.99 * point.usd_micro
