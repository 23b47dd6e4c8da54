"""Whether the approvals of a request are enough, and whose are missing.

People are counted, not approvals: principals that share a name or a key are one person, and that person counts for one
group. Where as many approvals are needed as there are groups, every group gives one; where fewer are needed, they come
from different groups; where more, the rest may come from any of them. A rejection ends it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from .principals import People, name_token, same_login, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from .records import GivenApproval, Need, Principal

LEEWAY = timedelta(seconds=300)
"""How far the clock that recorded an approval may be ahead of this one."""
ANYBODY = ""
"""The group of everybody, where a policy names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """An approval that counts, and the group that it counts for."""

    approval: GivenApproval
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCounted:
    """An approval that does not count, and why."""

    approval: GivenApproval
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """How far the approvals of a request have come."""

    needed: int
    missing: int
    """People whose approvals are still needed, at best."""
    groups: tuple[str, ...]
    """From any of which the next approval would help; empty when none is missing."""
    counted: tuple[Counted, ...]
    not_counted: tuple[NotCounted, ...]
    rejected_by: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether the request may go on."""
        return not self.missing and not self.rejected_by

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why it may not go on, a sentence each: rejections, what is missing, what did not count."""
        found = [f"{name} rejected it" for name in self.rejected_by]
        if self.missing:
            noun = "approval is" if self.missing == 1 else "approvals are"
            groups = "" if self.groups in {(), (ANYBODY,)} else f", the next from {' or '.join(self.groups)}"
            found.append(f"{self.missing} of {self.needed} {noun} missing{groups}")
        if not self.complete:
            found += [
                f"the approval of {one.approval.approver.name} does not count: {one.reason}" for one in self.not_counted
            ]
        return tuple(found)


def eligible(
    need: Need,
    groups: Mapping[str, Sequence[str]],
    *,
    requester: Principal,
    approvals: Iterable[GivenApproval],
    now: datetime,
    rejections: Iterable[Principal] = (),
    links: Iterable[frozenset[str]] = (),
    requester_names: Iterable[str] = (),
) -> Quorum:
    """Return what is still missing; the order of the approvals does not matter.

    `groups` are the policy's, by name; `links` come from `AllowedSigners.links()`: one key under two names is one
    person. `requester_names` are further names of the requester, such as who pushed the change that a workflow is on.
    """
    # Sorted, so that equal approvals have one answer; each statement once.
    given = sorted({one.nonce: one for one in sorted(approvals, key=_order)}.values(), key=_order)
    wanted = tuple(dict.fromkeys(need.groups)) or (ANYBODY,)
    people = _people(requester, given, links, requester_names)
    asking = people.person(name_token(requester.name))
    counting: list[GivenApproval] = []
    left_out: list[NotCounted] = []
    for one in given:
        its_own = not need.requester_may_approve and people.person(name_token(one.approver.name)) == asking
        reason = "the requester does not approve" if its_own else _objection(one, need, groups, wanted, now)
        if reason:
            left_out.append(NotCounted(approval=one, reason=reason))
        else:
            counting.append(one)
    by_person: dict[str, list[GivenApproval]] = defaultdict(list)
    for one in counting:
        by_person[people.person(name_token(one.approver.name)) if need.distinct else one.nonce].append(one)
    seats = {person: _seats(theirs, groups, wanted) for person, theirs in by_person.items()}
    missing = _missing(need, wanted, seats)
    counted = _counted(need, wanted, seats, by_person)
    used = {one.approval.nonce for one in counted}
    left_out += [
        NotCounted(approval=one, reason="the same person's approval counts already")
        for theirs in by_person.values()
        if any(one.nonce in used for one in theirs)
        for one in theirs
        if one.nonce not in used
    ]
    helping = (group for group in wanted if _missing(need, wanted, {**seats, "": frozenset({group})}) < missing)
    return Quorum(
        needed=need.approvals,
        missing=missing,
        groups=tuple(helping) if missing else (),
        counted=counted,
        not_counted=tuple(sorted(left_out, key=lambda one: _order(one.approval))),
        rejected_by=tuple(sorted({one.name for one in rejections})),
    )


def groups_of(need: Need, groups: Mapping[str, Sequence[str]], name: str) -> tuple[str, ...]:
    """Return the groups that a principal may approve for, in the order of the need; ANYBODY where none is named."""
    wanted = tuple(dict.fromkeys(need.groups)) or (ANYBODY,)
    return tuple(group for group in wanted if _belongs(name, group, groups))


def _people(
    requester: Principal,
    given: Sequence[GivenApproval],
    links: Iterable[frozenset[str]],
    requester_names: Iterable[str],
) -> People:
    """Return who is who, the requester's logins and further names included."""
    people = People([*links, tokens_of(requester), *(tokens_of(one.approver) for one in given)])
    asking = name_token(requester.name)
    for name in requester_names:
        people.unite((asking, name_token(name)))
    for name in people.names():
        if same_login(requester, name):
            people.unite((asking, name_token(name)))
    for one in given:
        if same_login(one.approver, requester.name):
            people.unite((asking, name_token(one.approver.name)))
    return people


def _objection(
    one: GivenApproval, need: Need, groups: Mapping[str, Sequence[str]], wanted: Sequence[str], now: datetime
) -> str | None:
    """Return why an approval cannot count, whoever else approves; None when it can."""
    if now >= one.expires_at:
        return f"it expired at {one.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    if now + LEEWAY < one.given_at:
        return f"it is from the future ({one.given_at:%Y-%m-%dT%H:%M:%SZ}): is a clock wrong?"
    if one.approver.assurance.rank < need.assurance.rank:
        return f"{one.approver.assurance.value} is not enough, {need.assurance.value} is asked for"
    if not any(_belongs(one.approver.name, group, groups) for group in wanted):
        return f"not a member of {' or '.join(wanted)}"
    return None


def _belongs(name: str, group: str, groups: Mapping[str, Sequence[str]]) -> bool:
    return group == ANYBODY or name in groups.get(group, ())


def _seats(
    theirs: Sequence[GivenApproval], groups: Mapping[str, Sequence[str]], wanted: Sequence[str]
) -> frozenset[str]:
    """Return the groups that a person may count for."""
    return frozenset(group for group in wanted if any(_belongs(one.approver.name, group, groups) for one in theirs))


def _missing(need: Need, wanted: Sequence[str], seats: Mapping[str, frozenset[str]]) -> int:
    """Return how many people are missing: too few at all, or too few groups among them."""
    covered = len(_matching(wanted, seats))
    return max(need.approvals - len(seats), min(need.approvals, len(wanted)) - covered, 0)


def _matching(wanted: Sequence[str], seats: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """Return a person for as many groups as possible, nobody for two (augmenting paths, Kuhn 1955)."""
    person_of: dict[str, str] = {}

    def place(person: str, tried: set[str]) -> bool:
        for group in wanted:
            if group in seats[person] and group not in tried:
                tried.add(group)
                if group not in person_of or place(person_of[group], tried):
                    person_of[group] = person
                    return True
        return False

    for person in sorted(seats):
        place(person, set())
    return person_of


def _counted(
    need: Need,
    wanted: Sequence[str],
    seats: Mapping[str, frozenset[str]],
    by_person: Mapping[str, Sequence[GivenApproval]],
) -> tuple[Counted, ...]:
    """Return the approvals that fill the need, one a person: first those that stand for a group each, then the rest."""
    placed = {person: group for group, person in _matching(wanted, seats).items()}
    rest = sorted((one for one in by_person if one not in placed), key=lambda one: _order(by_person[one][0]))
    several = need.approvals - min(need.approvals, len(wanted))
    chosen = [*sorted(placed, key=lambda one: _order(by_person[one][0]))[: need.approvals], *rest[:several]]
    found = []
    for person in chosen[: need.approvals]:
        group = placed.get(person) or next(one for one in wanted if one in seats[person])
        found.append(Counted(approval=by_person[person][0], group=group))
    return tuple(sorted(found, key=lambda one: _order(one.approval)))


def _order(one: GivenApproval) -> tuple[datetime, str, str]:
    return one.given_at, one.statement_sha256, one.nonce
