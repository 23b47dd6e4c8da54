"""Statements: made, written, read strictly, and judged against a request."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.approval.records import Assurance
from optimizer.approval.statements import (
    Approval,
    Proof,
    approval_bytes,
    check_statement,
    make_statement,
    read_approval,
    statement_bytes,
)
from providers.errors import ApprovalError, JobError
from tests.fixtures.approvals import DAY, NOW, REQUEST, statement_of

GOLDEN = Path(__file__).parents[2] / "golden" / "expected" / "approval-signed.json"
PROOF = Proof(kind=Assurance.OS_USER, user="lead", uid=1000, host="desk")
APPROVAL = Approval(statement=statement_of(), proof=PROOF)


def written(**changes: object) -> bytes:
    document = json.loads(approval_bytes(APPROVAL))
    document["statement"].update(changes)
    return json.dumps(document).encode()


def test_a_statement_is_valid_from_now_in_whole_seconds_and_not_longer_than_its_request() -> None:
    made = make_statement(
        REQUEST, approver="x@y", decision="reject", now=NOW + timedelta(microseconds=7), ttl=30 * DAY, nonce="f" * 32
    )
    assert (made.not_before, made.expires_at) == (NOW, REQUEST.expires_at)


def test_no_statement_on_a_request_that_is_over_or_by_a_name_that_no_policy_can_hold() -> None:
    with pytest.raises(ApprovalError, match="r-1 expired"):
        make_statement(REQUEST, approver="x", decision="approve", now=REQUEST.expires_at, ttl=DAY, nonce="f" * 32)
    with pytest.raises(JobError, match="approver"):
        make_statement(REQUEST, approver="-oops", decision="approve", now=NOW, ttl=DAY, nonce="f" * 32)
    with pytest.raises(ValueError, match="nonce"):
        make_statement(REQUEST, approver="x", decision="approve", now=NOW, ttl=DAY, nonce="short")


def test_written_and_read_is_the_same_in_canonical_form() -> None:
    assert read_approval(approval_bytes(APPROVAL), where="a.json") == APPROVAL
    signed = Approval(statement=statement_of(), proof=Proof(kind=Assurance.SSH_SIGNATURE, signature="x\ny\n"))
    assert read_approval(approval_bytes(signed), where="a.json") == signed


def test_the_golden_approval_is_read_and_written_byte_by_byte() -> None:
    data = GOLDEN.read_bytes()
    approval = read_approval(data, where="golden")
    assert approval_bytes(approval) == data
    assert approval.statement_sha256 == "ddca89ecf086b65a00fcf9d6c4d1ce9c3f7f39af1fd6f84fc1fb3d5a4f1c80fe"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"action_sha256": "A" * 64}, "action_sha256"),
        ({"action_sha256": "a" * 63}, "action_sha256"),
        ({"cap_usd_micro": -1}, "cap_usd_micro"),
        ({"cap_usd_micro": True}, "cap_usd_micro"),
        ({"cap_usd_micro": "1"}, "cap_usd_micro"),
        ({"currency": "EUR"}, "currency"),
        ({"budgets": ["team-nlp", "org"]}, "budgets"),
        ({"budgets": ["org", "org"]}, "budgets"),
        ({"budgets": ["org'; DROP TABLE ledger; --"]}, "budgets"),
        ({"decision": "maybe"}, "decision"),
        ({"approver": "lead\u001b[2J"}, "approver"),
        ({"approver": "l\u0435ad@example.com"}, "approver"),
        ({"not_before": "2026-11-24T09:00:00"}, "not_before"),
        ({"not_before": "2026-11-24T09:00:00.500000Z"}, "canonical"),
        ({"expires_at": "2026-11-24T09:00:00Z"}, "expires_at"),
        ({"expires_at": "2026-02-30T09:00:00Z"}, "expires_at"),
        ({"nonce": "0" * 33}, "nonce"),
        ({"request_id": "../../etc"}, "request_id"),
        ({"note": "x"}, "note"),
        ({"schema": "tunefare.approval/v2"}, "schema"),
    ],
)
def test_what_is_no_such_statement_is_refused_by_name_in_one_line(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ApprovalError, match=named) as caught:
        read_approval(written(**changes), where="a.json")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"schema":"tunefare.approval/v1"}',
        approval_bytes(APPROVAL).replace(b'"decision":', b'"decision":"reject","decision":'),
        approval_bytes(APPROVAL).replace(b"310000000", b"310000000.0"),
        approval_bytes(APPROVAL).replace(b"310000000", b"NaN"),
        approval_bytes(APPROVAL).replace(b'"uid"', b'"gid"'),
        approval_bytes(APPROVAL).replace(b'"os-user"', b'"trust-me"'),
        approval_bytes(APPROVAL).replace(b'"os-user"', b'"ssh-signature"'),
        approval_bytes(APPROVAL) + b" " * 70_000,
    ],
)
def test_tricks_of_json_are_refused(data: bytes) -> None:
    with pytest.raises(ApprovalError):
        read_approval(data, where="a.json")


def test_a_token_is_in_no_message() -> None:
    document = {"schema": "tunefare.approval/v1", "statement": statement_of().document()}
    canary = "canary-" + "é" * 10
    for proof in ({"kind": "ci-oidc", "token": canary}, {"kind": "ci-oidc", "token": canary * 4000}):
        data = json.dumps({**document, "proof": proof}).encode()
        with pytest.raises(ApprovalError) as caught:
            read_approval(data, where="a.json")
        assert "canary" not in str(caught.value)
    assert "canary" not in repr(Proof(kind=Assurance.CI_OIDC, token="canary"))  # noqa: S106


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"request_id": "r-2"}, "another request"),
        ({"action_sha256": "9" * 64}, "another action"),
        ({"cap_usd_micro": 309_999_999}, "another cap"),
        ({"budgets": ("org",)}, "another budgets"),
        ({"policy_sha256": "9" * 64}, "another policy"),
        ({"not_before": NOW + timedelta(seconds=61)}, "not yet valid"),
        ({"not_before": NOW - DAY, "expires_at": NOW}, "expired"),
        ({"expires_at": NOW + timedelta(days=1, seconds=1)}, "longer than the policy"),
    ],
)
def test_what_differs_from_the_request_is_named(changes: dict[str, object], named: str) -> None:
    check_statement(statement_of(), request=REQUEST, now=NOW, longest=DAY)
    with pytest.raises(ApprovalError, match=named):
        check_statement(statement_of(**changes), request=REQUEST, now=NOW, longest=DAY)


def test_a_clock_that_is_a_little_ahead_is_forgiven_and_expiry_is_not() -> None:
    early = statement_of(not_before=NOW + timedelta(seconds=60))
    check_statement(early, request=REQUEST, now=NOW, longest=DAY)
    check_statement(statement_of(), request=REQUEST, now=NOW + DAY - timedelta(seconds=1), longest=DAY)


@given(at=st.integers(0, len(statement_bytes(statement_of())) - 1), to=st.integers(0, 255))
def test_changing_any_byte_makes_another_statement_or_none(at: int, to: int) -> None:
    data = bytearray(approval_bytes(APPROVAL))
    begin = data.index(statement_bytes(statement_of()))
    before = data[begin + at]
    data[begin + at] = to
    try:
        read = read_approval(bytes(data), where="a.json")
    except ApprovalError:
        assert to != before
        return
    assert (statement_bytes(read.statement) == statement_bytes(statement_of())) == (to == before)


@given(junk=st.binary(max_size=300))
def test_no_bytes_crash_the_reader(junk: bytes) -> None:
    with pytest.raises(ApprovalError):
        read_approval(junk, where="a.json")


def test_a_statement_for_other_money_is_not_for_the_request() -> None:
    with pytest.raises(ApprovalError, match="another currency"):
        check_statement(replace(statement_of(), currency="EUR"), request=REQUEST, now=NOW, longest=DAY)
