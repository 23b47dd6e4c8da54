"""Approvals as documents: a statement, its canonical bytes, and the file that carries it with its proof.

A statement binds what runs, what it may cost, which budgets pay, the policy, the request, the approver and a time. What
is signed is its canonical form; a file that holds anything else, or the same in another form, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from providers.errors import ApprovalError, JobError
from providers.strict_json import Reader

from .action import LARGEST_MICRO, MOST_BUDGETS
from .canonical import canonical_bytes, load_document, sha256_of
from .principals import LARGEST_UID, NAME, NAME_IN_WORDS
from .records import Assurance, Statement

if TYPE_CHECKING:
    from datetime import datetime

    from .records import Request

SCHEMA = "tunefare.approval/v1"
LARGEST_BYTES = 65_536
LONGEST_SIGNATURE, LONGEST_TOKEN = 16_384, 16_384
LEEWAY = timedelta(seconds=60)
"""How far the clock of an approver may be ahead. Nothing is accepted after its expiry, not by a second."""
DECISIONS = ("approve", "reject")
_HEX = r"[0-9a-f]{64}"
_NONCE = r"[0-9a-f]{32}"
_ID = r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}"
_FIELDS = (
    "schema", "action_sha256", "cap_usd_micro", "currency", "budgets", "policy_sha256", "decision", "approver",
    "not_before", "expires_at", "nonce", "request_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What says that the approver made the statement: a signature, a token of a CI job, or no more than a login."""

    kind: Assurance
    signature: str | None = None
    """Armored, as `ssh-keygen -Y sign` writes it."""
    token: str | None = field(default=None, repr=False)
    """An id token: for as long as it is valid it opens doors, so it is never shown."""
    user: str | None = None
    uid: int | None = None
    host: str | None = None

    def document(self) -> dict[str, object]:
        """Return the proof as the file holds it."""
        if self.kind is Assurance.SSH_SIGNATURE:
            return {"kind": self.kind.value, "signature": self.signature}
        if self.kind is Assurance.CI_OIDC:
            return {"kind": self.kind.value, "token": self.token}
        return {"kind": self.kind.value, "user": self.user, "uid": self.uid, "host": self.host}


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A statement and its proof, read and not yet verified."""

    statement: Statement
    proof: Proof

    @property
    def statement_sha256(self) -> str:
        """The digest of what is signed."""
        return sha256_of(self.statement.document())


def make_statement(
    request: Request, *, approver: str, decision: str, now: datetime, ttl: timedelta, nonce: str
) -> Statement:
    """Return the statement that `approver` would sign on a request, valid from now for `ttl`, whole seconds.

    `nonce` is 32 hexadecimal digits from a source of secrets. It never outlives the request. Raises ApprovalError for
    a request that is over, ValueError for a nonce or a decision that is none.
    """
    if decision not in DECISIONS or not re.fullmatch(_NONCE, nonce):
        raise ValueError(f"a decision is one of {', '.join(DECISIONS)}, and a nonce 32 hexadecimal digits")
    if not re.fullmatch(NAME, approver):
        raise JobError(where="command line", key="approver", value=approver, allowed=NAME_IN_WORDS)
    begins = now.replace(microsecond=0)
    ends = min(now + ttl, request.expires_at).replace(microsecond=0)
    if ends <= begins:
        raise ApprovalError(f"request {request.id} expired at {_shown(request.expires_at)}: make a new one")
    return Statement(
        action_sha256=request.action_sha256,
        cap_usd_micro=request.cap_usd_micro,
        currency="USD",
        budgets=tuple(sorted(request.budgets)),
        policy_sha256=request.policy_sha256,
        decision=decision,
        approver=approver,
        not_before=begins,
        expires_at=ends,
        nonce=nonce,
        request_id=request.id,
    )


def statement_bytes(statement: Statement) -> bytes:
    """Return the canonical form of a statement: exactly what is signed."""
    return canonical_bytes(statement.document())


def approval_bytes(approval: Approval) -> bytes:
    """Return an approval as its file holds it: canonical JSON and a line end."""
    document = {
        "schema": SCHEMA,
        "statement": approval.statement.document(),
        "proof": approval.proof.document(),
    }
    return canonical_bytes(document) + b"\n"


def read_approval(data: bytes, *, where: str) -> Approval:
    """Return the approval that bytes hold, read strictly; nothing of it is verified yet.

    Raises ApprovalError (exit 8), naming `where` and the field, for anything that is not exactly such a document.
    """
    if len(data) > LARGEST_BYTES:
        raise ApprovalError(f"{where}: an approval of more than {LARGEST_BYTES // 1024} KiB")
    document = load_document(data, where=where, schema=SCHEMA)
    try:
        fields = Reader(document, where=where).only("schema", "statement", "proof")
        statement = _statement(fields.inner("statement"))
        proof = _proof(fields.inner("proof"))
    except JobError as err:
        raise ApprovalError(str(err)) from err
    if statement.document() != document["statement"]:
        # Fractions of a second, say: the bytes that were signed would not be those that are checked.
        raise ApprovalError(f"{where}: statement: not in canonical form")
    return Approval(statement=statement, proof=proof)


def check_statement(statement: Statement, *, request: Request, now: datetime, longest: timedelta) -> None:
    """Return when a statement is on this request and in force now.

    `longest` is how long an approval may be valid under the policy. Raises ApprovalError (exit 8) naming what differs.
    """
    differing = [
        name
        for name, says, is_ in (
            ("request", statement.request_id, request.id),
            ("action", statement.action_sha256, request.action_sha256),
            ("cap", statement.cap_usd_micro, request.cap_usd_micro),
            ("currency", statement.currency, "USD"),
            ("budgets", statement.budgets, tuple(sorted(request.budgets))),
            ("policy", statement.policy_sha256, request.policy_sha256),
        )
        if says != is_
    ]
    who = f"the approval of {statement.approver}"
    if differing:
        raise ApprovalError(f"{who} is for another {' and another '.join(differing)} than request {request.id}")
    if now >= statement.expires_at:
        raise ApprovalError(f"{who} expired at {_shown(statement.expires_at)}: approve again")
    if now + LEEWAY < statement.not_before:
        raise ApprovalError(f"{who} is not yet valid: from {_shown(statement.not_before)} on; is a clock wrong?")
    if statement.expires_at - statement.not_before > longest:
        raise ApprovalError(f"{who} is valid for longer than the policy allows ({longest}): approve again")


def _statement(fields: Reader) -> Statement:
    fields.only(*_FIELDS)
    if fields.get("schema") != SCHEMA:
        fields.refuse("schema", SCHEMA)
    if fields.get("currency") != "USD":
        fields.refuse("currency", "USD")
    budgets = fields.texts("budgets", _ID, f"a list of at most {MOST_BUDGETS} budget ids, each once, sorted")
    if len(budgets) > MOST_BUDGETS or list(budgets) != sorted(budgets):
        fields.refuse("budgets", f"at most {MOST_BUDGETS} budget ids, sorted")
    begins, ends = fields.moment("not_before"), fields.moment("expires_at")
    if ends <= begins:
        fields.refuse("expires_at", "a moment after not_before")
    return Statement(
        action_sha256=fields.matching("action_sha256", _HEX, "64 hexadecimal digits"),
        cap_usd_micro=fields.whole("cap_usd_micro", high=LARGEST_MICRO),
        currency="USD",
        budgets=budgets,
        policy_sha256=fields.matching("policy_sha256", _HEX, "64 hexadecimal digits"),
        decision=fields.matching("decision", "approve|reject", "approve or reject"),
        approver=fields.matching("approver", NAME, NAME_IN_WORDS),
        not_before=begins,
        expires_at=ends,
        nonce=fields.matching("nonce", _NONCE, "32 hexadecimal digits"),
        request_id=fields.matching("request_id", _ID, "the id of a request"),
    )


def _proof(fields: Reader) -> Proof:
    kinds = "|".join(one.value for one in Assurance)
    kind = Assurance(fields.matching("kind", kinds, f"one of {kinds.replace('|', ', ')}"))
    if kind is Assurance.SSH_SIGNATURE:
        fields.only("kind", "signature")
        return Proof(kind=kind, signature=_text(fields, "signature", LONGEST_SIGNATURE))
    if kind is Assurance.CI_OIDC:
        fields.only("kind", "token")
        return Proof(kind=kind, token=_secret(fields, "token", LONGEST_TOKEN))
    fields.only("kind", "user", "uid", "host")
    return Proof(
        kind=kind,
        user=fields.matching("user", NAME, NAME_IN_WORDS),
        uid=fields.whole("uid", high=LARGEST_UID),
        host=None if fields.get("host") is None else fields.name("host"),
    )


def _text(fields: Reader, key: str, most: int) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isascii():
        fields.refuse(key, f"ASCII text of at most {most} characters")
    return value


def _secret(fields: Reader, key: str, most: int) -> str:
    """Return a text that no message may repeat, least of all one that says that it is wrong."""
    value = fields.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isascii():
        raise ApprovalError(f"proof.{key}: ASCII text of at most {most} characters is expected")
    return value


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
