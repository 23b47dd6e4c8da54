"""Whether approvals are enough: people are counted, not keys, names or files."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.approval.principals import key_token, name_token, os_user_principal
from optimizer.approval.quorum import Quorum, eligible, groups_of
from optimizer.approval.records import Assurance, GivenApproval, Need, Principal
from providers.errors import JobError
from tests.fixtures.approvals import NOW

GROUPS = {"leads": ("ann@x", "bob@x", "both@x"), "finops": ("fay@x", "both@x"), "legal": ("lee@x",)}
TWO = Need(approvals=2, groups=("leads", "finops"), assurance=Assurance.SSH_SIGNATURE)
ASKING = Principal(name="zoe@x", assurance=Assurance.SSH_SIGNATURE, key="SHA256:zoe")


def given_by(name: str, *, key: str | None = None, nonce: str | None = None, **changes: object) -> GivenApproval:
    assurance = changes.pop("assurance", Assurance.SSH_SIGNATURE)
    made = GivenApproval(
        statement_sha256=f"sha-{nonce or name}",
        nonce=nonce or f"nonce-{name}",
        approver=Principal(name=name, assurance=assurance, key=f"SHA256:{name}" if key is None else key),  # type: ignore[arg-type]
        group="",
        given_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def judged(*approvals: GivenApproval, need: Need = TWO, requester: Principal = ASKING, **more: object) -> Quorum:
    return eligible(need, GROUPS, requester=requester, approvals=approvals, now=NOW, **more)  # type: ignore[arg-type]


def missing(*names: str, need: Need = TWO) -> tuple[int, tuple[str, ...]]:
    found = judged(*map(given_by, names), need=need)
    return found.missing, found.groups


def test_each_group_gives_one_where_as_many_are_needed() -> None:
    assert missing() == (2, ("leads", "finops"))
    assert missing("ann@x") == (1, ("finops",))
    assert missing("ann@x", "bob@x") == (1, ("finops",))
    assert missing("ann@x", "fay@x") == (0, ())


def test_a_member_of_two_groups_counts_for_the_one_that_helps_and_for_one_only() -> None:
    assert missing("both@x") == (1, ("leads", "finops"))
    assert missing("both@x", "ann@x") == (0, ())
    assert missing("both@x", "fay@x") == (0, ())
    placed = {one.approval.approver.name: one.group for one in judged(given_by("both@x"), given_by("fay@x")).counted}
    assert placed == {"both@x": "leads", "fay@x": "finops"}


def test_who_is_in_two_groups_makes_room_for_who_is_in_one() -> None:
    reordered = replace(TWO, groups=("finops", "leads"))
    assert missing("both@x", "fay@x", need=reordered) == (0, ())


def test_fewer_than_groups_come_from_different_ones_and_more_from_any() -> None:
    one = replace(TWO, approvals=1)
    assert missing("fay@x", need=one) == (0, ())
    three = replace(TWO, approvals=3)
    assert missing("ann@x", "bob@x", need=three) == (1, ("finops",))
    assert missing("ann@x", "bob@x", "fay@x", need=three) == (0, ())
    two_of_three = replace(TWO, groups=("leads", "finops", "legal"))
    assert missing("ann@x", "bob@x", need=two_of_three) == (1, ("finops", "legal"))
    assert missing(need=replace(TWO, approvals=0)) == (0, ())


def test_a_group_that_the_policy_does_not_know_gives_nothing() -> None:
    need = replace(TWO, approvals=1, groups=("ghosts",))
    assert missing("ann@x", need=need) == (1, ("ghosts",))


def test_without_groups_anybody_who_is_sure_enough_approves() -> None:
    need = replace(TWO, groups=())
    assert missing("x@y", need=need) == (1, ("",))
    assert missing("x@y", "y@y", need=need) == (0, ())
    assert judged(given_by("x@y"), need=need).reasons == ("1 of 2 approval is missing",)


def test_one_person_with_two_names_or_two_keys_is_one() -> None:
    same_key = judged(given_by("ann@x", key="K"), given_by("fay@x", key="K"))
    assert same_key.missing == 1
    assert [one.reason for one in same_key.not_counted] == ["the same person's approval counts already"]
    assert (
        judged(
            given_by("ann@x", key="K"), given_by("ann@x", key="L", nonce="n2"), need=replace(TWO, groups=("leads",))
        ).missing
        == 1
    )
    link = frozenset({key_token("SHA256:other"), name_token("ann@x"), name_token("fay@x")})
    assert judged(given_by("ann@x"), given_by("fay@x"), links=[link]).missing == 1


def test_a_statement_counts_once_however_often_it_is_shown() -> None:
    again = given_by("ann@x")
    assert judged(again, again, need=replace(TWO, groups=("leads",), distinct=False)).missing == 1
    assert (
        judged(again, given_by("ann@x", nonce="n2"), need=replace(TWO, groups=("leads",), distinct=False)).missing == 0
    )


@pytest.mark.parametrize(
    ("requester", "approver"),
    [
        (ASKING, given_by("zoe@x")),
        (ASKING, given_by("ZOE@X")),
        (ASKING, given_by("ann@x", key="SHA256:zoe")),
        (os_user_principal(name="ann", uid=1000, host="desk"), given_by("ann@x")),
        (
            Principal(name="ann@x", assurance=Assurance.SSH_SIGNATURE, key="K"),
            given_by("ann", assurance=Assurance.OS_USER),
        ),
    ],
)
def test_the_requester_does_not_approve_under_any_name_or_key(requester: Principal, approver: GivenApproval) -> None:
    need = replace(TWO, approvals=1, groups=(), assurance=Assurance.OS_USER)
    found = judged(approver, need=need, requester=requester)
    assert (found.missing, found.not_counted[0].reason) == (1, "the requester does not approve")
    allowed = judged(approver, need=replace(need, requester_may_approve=True), requester=requester)
    assert allowed.complete


def test_further_names_of_the_requester_and_their_other_keys_do_not_approve_either() -> None:
    link = frozenset({name_token("ann@x"), name_token("bob@x"), key_token("K9")})
    need = replace(TWO, approvals=1)
    assert judged(given_by("bob@x"), need=need, requester_names=["ann@x"], links=[link]).missing == 1
    assert judged(given_by("bob@x"), need=need, requester_names=["ann@x"]).missing == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expires_at": NOW}, "expired"),
        ({"given_at": NOW + timedelta(seconds=301)}, "future"),
        ({"assurance": Assurance.CI_OIDC}, "ci-oidc is not enough"),
        ({"assurance": Assurance.OS_USER}, "os-user is not enough"),
    ],
)
def test_what_does_not_count_says_why(changes: dict[str, object], reason: str) -> None:
    found = judged(given_by("ann@x", **changes), given_by("fay@x"))
    assert (found.missing, found.groups) == (1, ("leads",))
    assert reason in found.not_counted[0].reason
    assert any(reason in one for one in found.reasons)
    assert "not a member" in judged(given_by("stranger@x")).reasons[-1]


def test_one_rejection_ends_it() -> None:
    found = judged(
        given_by("ann@x"), given_by("fay@x"), rejections=[Principal(name="lee@x", assurance=Assurance.OS_USER)]
    )
    assert found.missing == 0
    assert not found.complete
    assert found.reasons == ("lee@x rejected it",)


def test_whom_a_principal_may_approve_for() -> None:
    assert groups_of(TWO, GROUPS, "both@x") == ("leads", "finops")
    assert groups_of(TWO, GROUPS, "lee@x") == ()
    assert groups_of(replace(TWO, groups=()), GROUPS, "lee@x") == ("",)


def test_a_login_is_a_name_that_may_stand_in_a_policy() -> None:
    made = os_user_principal(name="DOM\\ann é", uid=7, host="a b")
    assert (made.name, made.key) == ("DOM%5Cann%20%C3%A9", "os-user:a%20b:7")
    for name, uid in (("", 1), ("-x", 1), ("ann", -1), ("a" * 201, 1)):
        with pytest.raises(JobError):
            os_user_principal(name=name, uid=uid)


names = st.sampled_from(["ann@x", "bob@x", "both@x", "fay@x", "lee@x", "zoe@x", "stranger@x"])
approvals_given = st.lists(
    st.builds(
        given_by,
        names,
        assurance=st.sampled_from(list(Assurance)),
        expires_at=st.sampled_from([NOW, NOW + timedelta(hours=1)]),
        given_at=st.sampled_from([NOW, NOW - timedelta(hours=1)]),
        nonce=st.uuids().map(str),
    ),
    max_size=6,
)
needs = st.builds(
    Need,
    approvals=st.integers(0, 4),
    groups=st.lists(st.sampled_from(list(GROUPS)), max_size=3).map(tuple),
    assurance=st.sampled_from(list(Assurance)),
    distinct=st.booleans(),
    requester_may_approve=st.booleans(),
)


@given(need=needs, approvals=approvals_given, data=st.data())
def test_the_order_of_approvals_does_not_matter(
    need: Need, approvals: list[GivenApproval], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(approvals))
    assert judged(*approvals, need=need) == judged(*shuffled, need=need)


@given(need=needs, approvals=approvals_given, more=approvals_given)
def test_more_approvals_never_leave_more_missing(
    need: Need, approvals: list[GivenApproval], more: list[GivenApproval]
) -> None:
    before, after = judged(*approvals, need=need), judged(*approvals, *more, need=need)
    assert after.missing <= before.missing
    assert len(before.counted) + before.missing == need.approvals
    assert len({one.approval.nonce for one in before.counted}) == len(before.counted)


@given(need=needs, approvals=approvals_given)
def test_missing_is_what_trying_all_assignments_finds(need: Need, approvals: list[GivenApproval]) -> None:
    """An oracle by brute force: every person in at most one group, seats for different groups, the rest for any."""
    wanted = tuple(dict.fromkeys(need.groups)) or ("",)
    good = [
        one
        for one in approvals
        if one.expires_at > NOW
        and one.approver.assurance.rank >= need.assurance.rank
        and (need.requester_may_approve or one.approver.name != "zoe@x")
        and groups_of(need, GROUPS, one.approver.name)
    ]
    units = sorted({one.approver.name if need.distinct else one.nonce: one.approver.name for one in good}.items())
    seats = min(need.approvals, len(wanted))
    best = 0
    for choice in itertools.product(*[groups_of(need, GROUPS, name) for _, name in units]):
        different = min(len(set(choice)), seats)
        best = max(best, different + min(len(choice) - different, need.approvals - seats))
    assert judged(*approvals, need=need).missing == need.approvals - best
