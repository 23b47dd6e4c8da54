"""From one point of a frontier to the next: what changes, what it costs, what it buys; and which points tell most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.money import format_usd
from providers.offer import PricingModel

from .wording import method_name, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .frontier import FrontierPoint
    from .results import Candidate

SHOWN = 12
"""Points of a frontier that are shown unless all are asked for."""
PAID = {PricingModel.ON_DEMAND: "on demand", PricingModel.SPOT: "spot", PricingModel.RESERVED: "reserved"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What changes from one point to the next; differences are after minus before, per run."""

    usd_micro: int
    finish_s: float
    """Of the finish times at the confidence asked for: negative where the next point ends earlier."""
    quality: tuple[str, str] | None
    """Quality before and after, None where it stays."""
    sentence: str
    """ "+$3.10 buys 5h: 2x L40S-48GB instead of 1x"."""


def step_between(before: Candidate, after: Candidate) -> Step:
    """Return what going from one candidate to another costs, what it buys, and in words what differs."""
    usd_micro = after.quote.expected_usd_micro - before.quote.expected_usd_micro
    finish_s = after.finish_s_at_confidence - before.finish_s_at_confidence
    quality = None if before.quality == after.quality else (before.quality, after.quality)
    changes = differences(before, after)
    return Step(
        usd_micro=usd_micro,
        finish_s=finish_s,
        quality=quality,
        sentence=f"{_bought(usd_micro, finish_s, quality)}: {', '.join(changes)}",
    )


def steps_along(points: Sequence[FrontierPoint]) -> list[Step | None]:
    """Return the step to each point: from the point before, to the first of a quality level from the first of all.

    None for the first of all, which nothing precedes. The points are in the order of a frontier.
    """
    found: list[Step | None] = []
    for at, point in enumerate(points):
        if at == 0:
            found.append(None)
            continue
        same = points[at - 1].candidate.quality == point.candidate.quality
        found.append(step_between(points[at - 1 if same else 0].candidate, point.candidate))
    return found


def _bought(usd_micro: int, finish_s: float, quality: tuple[str, str] | None) -> str:
    """Return "+$3.10 buys 5h"; between quality levels "+$0.57 buys quality med-high instead of medium, 12m later"."""
    sign = "+" if usd_micro >= 0 else "-"
    money = f"{sign}{format_usd(abs(usd_micro))}"
    time = _roughly(abs(finish_s))
    if quality is None:
        return f"{money} buys {time}" if finish_s < 0 else f"{money}, {time} later"
    when = f"{time} {'earlier' if finish_s < 0 else 'later'}"
    return f"{money} buys quality {quality[1]} instead of {quality[0]}, {when}"


def _roughly(seconds: float) -> str:
    """Return a span without the seconds that nobody counts: whole minutes from ten minutes on."""
    return span(round(seconds / 60.0) * 60.0 if seconds >= 600.0 else seconds)


def differences(before: Candidate, after: Candidate) -> list[str]:
    """Return what differs between two candidates, each with what it replaces; how the run is done only where no more
    does."""
    found = [
        *_machine(before, after),
        *_pair(method_name(before), method_name(after)),
        *_pair(PAID[before.offer.pricing_model], PAID[after.offer.pricing_model]),
        *_place(before, after),
    ]
    return found or _recipe(before, after)


def _machine(before: Candidate, after: Candidate) -> list[str]:
    old, new = _count(before), _count(after)
    if before.gpu.id != after.gpu.id:
        return [f"{new} {after.gpu.id} instead of {old} {before.gpu.id}"]
    return [f"{new} {after.gpu.id} instead of {old}"] if old != new else []


def _count(candidate: Candidate) -> str:
    """Return "2x", for several nodes "2 x 8x"."""
    nodes = f"{candidate.nodes} x " if candidate.nodes > 1 else ""
    return f"{nodes}{candidate.offer.gpu_count}x"


def _place(before: Candidate, after: Candidate) -> list[str]:
    """Return another provider, else another region or zone, else another type or variant of it."""
    old, new = before.offer, after.offer
    if old.provider != new.provider:
        return [f"at {new.provider} instead of {old.provider}"]
    if (old.region, old.zone) != (new.region, new.zone):
        zones = old.region == new.region
        ends = ((new.zone if zones else new.region) or "another zone", (old.zone if zones else old.region) or "another")
        return [f"in {ends[0]} instead of {ends[1]}"]
    if (old.instance_type, before.gpu.id, old.gpu_count) == (new.instance_type, after.gpu.id, new.gpu_count):
        return _pair(old.variant or "no variant", new.variant or "no variant")
    same_machine = (before.gpu.id, old.gpu_count) == (after.gpu.id, new.gpu_count)
    return _pair(old.instance_type, new.instance_type) if same_machine else []


def _recipe(before: Candidate, after: Candidate) -> list[str]:
    old, new = before.recipe, after.recipe
    found = [
        *_pair(f"micro-batch {old.micro_batch}", f"micro-batch {new.micro_batch}"),
        *_pair(f"checkpointing {old.checkpointing}", f"checkpointing {new.checkpointing}"),
        *_pair(f"sharding {old.sharding}", f"sharding {new.sharding}"),
        *_pair(f"offload {old.offload}", f"offload {new.offload}"),
    ]
    return found or ["the same machine and recipe"]


def _pair(old: str, new: str) -> list[str]:
    return [] if old == new else [f"{new} instead of {old}"]


def telling_points(points: Sequence[FrontierPoint], most: int = SHOWN) -> list[int]:
    """Return the positions of at most `most` points that tell most of a frontier, ascending.

    Both ends of each quality level and the choice are always there, even where they are more than `most`. The rest go
    one by one to the point whose absence would cost a reader most: the product
    of what is paid too much and waited too long between its shown neighbours, in logarithms.
    """
    shown = _always(points)
    while len(shown) < min(most, len(points)):
        at = max((at for at in range(len(points)) if at not in shown), key=lambda at: (_hidden(points, shown, at), -at))
        shown.add(at)
    return sorted(shown)


def _always(points: Sequence[FrontierPoint]) -> set[int]:
    levels = [point.candidate.quality for point in points]
    ends = {at for at in range(len(points)) if at == 0 or levels[at] != levels[at - 1]}
    ends |= {at for at in range(len(points)) if at == len(points) - 1 or levels[at] != levels[at + 1]}
    return ends | {at for at, point in enumerate(points) if point.chosen}


def _hidden(points: Sequence[FrontierPoint], shown: set[int], at: int) -> float:
    """Return how much of a frontier between its shown neighbours (of its level, which has its ends) a point covers."""
    before = max(one for one in shown if one < at)
    after = min(one for one in shown if one > at)
    slower, dearer, here = points[before].candidate, points[after].candidate, points[at].candidate
    saved = math.log(_cost(dearer) / _cost(here))
    earlier = math.log(slower.finish_s_at_confidence / here.finish_s_at_confidence)
    return saved * earlier


def _cost(candidate: Candidate) -> int:
    return max(candidate.quote.expected_usd_micro, 1)
