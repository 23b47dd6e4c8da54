"""Releases a price jump that many series of a family make together: a new price list, not a slip of one row.

In 2026 one provider doubled the spot price of one GPU family in 85 series at once, which a limit per series would hold
back for ever; and in 2025 one machine type in one region stood at a sixth of its price for three weeks, alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from .gate import Judged, Known, with_warnings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from providers.scope import OfferKey


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumPolicy:
    """What counts as a family moving together.

    At least `least` series, and at least `share` of those of the family that can be compared, whose moves lie within
    `spread` of their median. A move beyond `largest_move` is never released by itself: a whole provider can change its
    unit.
    """

    least: int = 5
    share: float = 0.5
    spread: float = 1.25
    largest_move: float = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingMove:
    """A jump of the last days in a scope that tonight's run does not hold: held back, or released by its crowd."""

    key: OfferKey
    family: str
    move: float


def release_by_quorum(
    judged: Sequence[Judged],
    known: Mapping[int, Known],
    *,
    pending: Iterable[PendingMove] = (),
    elsewhere: Mapping[str, int] | None = None,
    policy: QuorumPolicy | None = None,
) -> list[Judged]:
    """Return the judgements of one provider with the jumps released that their family makes together.

    `known` is what each judgement was held against, by its place in `judged`; `pending` jumps of earlier nights count
    as members of the crowd, and are not released here (their scope was not asked tonight). `elsewhere` is how many
    series of a family have a price in scopes that were not asked: a refresh of one region is no majority of the family.
    What a person rejected stays rejected.
    """
    policy = policy or QuorumPolicy()
    moves: dict[str, dict[OfferKey, float]] = defaultdict(dict)
    for item in pending:
        moves[item.family][item.key] = item.move
    compared: dict[str, int] = defaultdict(int, elsewhere or {})
    for one in judged:
        for family, count in (one.compared or {}).items():
            compared[family] += count
        for row in one.quarantined:
            if row.reason == "price_jump" and row.previous_nano:
                moves[row.family][row.key] = row.offer.unit_price_nano / row.previous_nano
    crowds = {
        family: crowd
        for family, found in moves.items()
        if (crowd := _crowd(found, max(compared[family], len(found)), policy))
    }
    return [_released(one, known[place], crowds) for place, one in enumerate(judged)]


def _crowd(moves: Mapping[OfferKey, float], compared: int, policy: QuorumPolicy) -> frozenset[OfferKey]:
    """Return the series that move together, empty where they are too few or move too far."""
    best: frozenset[OfferKey] = frozenset()
    for up in (True, False):
        same_way = {key: move for key, move in moves.items() if (move > 1) == up}
        if not same_way:
            continue
        centre = median(same_way.values())
        together = frozenset(
            key for key, move in same_way.items() if centre / policy.spread <= move <= centre * policy.spread
        )
        if max(centre, 1 / centre) <= policy.largest_move and len(together) > len(best):
            best = together
    enough = len(best) >= policy.least and len(best) >= policy.share * compared
    return best if enough else frozenset()


def _released(one: Judged, known: Known, crowds: Mapping[str, frozenset[OfferKey]]) -> Judged:
    free = [
        row
        for row in one.quarantined
        if row.reason == "price_jump" and not row.rejected and row.key in crowds.get(row.family, frozenset())
    ]
    if not free:
        return one
    held = tuple(row for row in one.quarantined if row not in free)
    published = (*one.published, *(with_warnings(row.offer, known) for row in free))
    return replace(
        one, published=tuple(sorted(published, key=lambda offer: offer.key)), quarantined=held, released=tuple(free)
    )
