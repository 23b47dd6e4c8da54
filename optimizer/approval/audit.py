"""The audit chain: each row's hash covers its body and the hash before it; what was changed afterwards is found.

A chain proves that no row was changed unless all that follow were rewritten too. Against that an anchor helps: the
head, kept in an outside place. A body holds all of its row, and what the row did to budgets: the chain can be replayed.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from providers.errors import JobError
from providers.strict_json import decode_strictly

from .canonical import canonical_bytes, sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .records import AuditRow, Principal

SCHEMA = "tunefare.ledger/v1"
ANCHOR_SCHEMA = "tunefare.anchor/v1"
LEDGER_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_ANCHOR = re.compile(rf"{re.escape(ANCHOR_SCHEMA)} ({LEDGER_ID}) (0|[1-9]\d{{0,15}}) ([0-9a-f]{{64}})", re.ASCII)

Charge = tuple[str, str, int, int]
"""Budget id, period key, and by how much pending and posted changed, in micro-dollars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The head of a ledger's chain: which ledger, how many rows, and the hash of the last one."""

    ledger_id: str
    sequence: int
    hash: str

    @property
    def text(self) -> str:
        """The anchor in one line, as `audit verify --anchor` takes it."""
        return f"{ANCHOR_SCHEMA} {self.ledger_id} {self.sequence} {self.hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What a check of the chain found. `first_wrong` is the sequence of the first row that is wrong, `wrong` says how.

    `disagreements` are tables that do not hold what the rows say.
    """

    ledger_id: str
    rows: int
    head: Anchor
    first_wrong: int | None = None
    wrong: str | None = None
    disagreements: tuple[str, ...] = ()
    anchor: Anchor | None = None

    @property
    def ok(self) -> bool:
        """Whether every row is as it was written and the tables hold what the rows say."""
        return self.wrong is None and not self.disagreements


def genesis_hash(ledger_id: str) -> str:
    """Return what stands before the first row: the hash of which ledger this is."""
    return sha256_of({"schema": SCHEMA, "ledger_id": ledger_id})


def chain_hash(previous: str, body: str) -> str:
    """Return the hash of a row: SHA-256 of the previous row's hash and the body, as text in UTF-8."""
    return hashlib.sha256((previous + body).encode("utf-8", "surrogatepass")).hexdigest()


def body_text(*, sequence: int, at: datetime, kind: str, actor: Principal, data: Mapping[str, object]) -> str:
    """Return the body of a row in canonical JSON. Raises ValueError for data that has no canonical form."""
    document = {
        "sequence": sequence,
        "at": _moment(at),
        "kind": kind,
        "actor": {"name": actor.name, "assurance": actor.assurance.value, "key": actor.key},
        "data": data,
    }
    return canonical_bytes(document).decode("utf-8")


def read_anchor(text: str, *, where: str) -> Anchor:
    """Return the anchor that a text holds: alone, as the last line, or as the JSON of `audit anchor --json`.

    Raises JobError for any other text.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if text.lstrip().startswith("{"):
        document = decode_strictly(text.encode("utf-8", "replace"), where=where)
        lines = [str(document.get("anchor"))] if isinstance(document, dict) else []
    match = _ANCHOR.fullmatch(lines[-1]) if lines else None
    if match is None:
        raise JobError(
            where=where, key="anchor", value=text[:80], allowed="a line that `tunefare audit anchor` printed"
        )
    return Anchor(ledger_id=match[1], sequence=int(match[2]), hash=match[3])


@dataclass(slots=True, kw_only=True)
class Replay:
    """Checks the rows of a chain one after the other, and keeps what they say of budgets, requests and approvals."""

    ledger_id: str
    previous: str = ""
    sequence: int = 0
    anchor: Anchor | None = None
    first_wrong: int | None = None
    wrong: str | None = None
    totals: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    budgets: dict[str, tuple[object, ...]] = field(default_factory=dict)
    requests: dict[str, dict[str, object]] = field(default_factory=dict)
    approvals: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.previous = genesis_hash(self.ledger_id)
        if self.anchor is not None and self.anchor.ledger_id != self.ledger_id:
            self._is_wrong(1, f"not of the ledger that the anchor names, {self.anchor.ledger_id}")

    def check(self, rows: Iterable[AuditRow]) -> None:
        """Go on with the next rows; stops at the first that is wrong."""
        for row in rows:
            if self.wrong is not None:
                return
            self._row(row)

    def finish(self, head: Anchor) -> None:
        """Compare the end of the chain with the head, and with an anchor."""
        if self.wrong is not None:
            return
        if (head.sequence, head.hash) != (self.sequence, self.previous):
            at = min(head.sequence, self.sequence) + (head.sequence != self.sequence)
            missing = head.sequence > self.sequence
            said = f"the ledger's head is row {head.sequence}, the last row is {self.sequence}"
            self._is_wrong(at, f"missing: {said}" if missing else f"not what the ledger's head says: {said}")
        elif self.anchor is not None and self.anchor.sequence > self.sequence:
            at = self.sequence + 1
            self._is_wrong(at, f"missing: the anchor knows row {self.anchor.sequence}, the last row is {self.sequence}")
        elif self.anchor is not None and self.anchor.sequence == 0 and self.anchor.hash != genesis_hash(self.ledger_id):
            self._is_wrong(1, "not of the ledger that the anchor names")

    def _row(self, row: AuditRow) -> None:
        expected = self.sequence + 1
        if row.sequence != expected:
            self._is_wrong(expected, f"missing: row {row.sequence} follows row {self.sequence}")
        elif row.previous != self.previous:
            self._is_wrong(row.sequence, "does not follow the row before it (its `previous` is another hash)")
        elif row.hash != chain_hash(row.previous, row.body):
            self._is_wrong(row.sequence, "changed: its body does not have its hash")
        elif self.anchor is not None and self.anchor.sequence == row.sequence and self.anchor.hash != row.hash:
            self._is_wrong(row.sequence, "another row than the anchor knows: the chain was rewritten up to here")
        else:
            self._follow(row)
            self.sequence, self.previous = row.sequence, row.hash

    def _follow(self, row: AuditRow) -> None:
        try:
            body = json.loads(row.body)
            data = body["data"]
            if (body["sequence"], body["at"], body["kind"]) != (row.sequence, _moment(row.at), row.kind):
                self._is_wrong(row.sequence, "changed: its columns are not what its body says")
                return
            self._apply(row.kind, data)
        except (ValueError, KeyError, TypeError) as err:
            self._is_wrong(row.sequence, f"no row of ours: its body cannot be followed ({type(err).__name__})")

    def _apply(self, kind: str, data: Mapping[str, object]) -> None:
        charges: Sequence[Charge] = data.get("charges", ())  # type: ignore[assignment]
        for budget, key, pending, posted in charges:
            sums = self.totals.setdefault((budget, key), [0, 0])
            sums[0] += pending
            sums[1] += posted
        if kind == "budget_set":
            fields = ("period", "limit_usd_micro", "soft_ppm", "parent")
            self.budgets[str(data["id"])] = tuple(data[name] for name in fields)
            return
        if kind == "request_added":
            self.requests[str(data["request"])] = dict(data)
        elif "request" in data:
            self.requests[str(data["request"])].update({name: data[name] for name in data if name in FOLLOWED})
        if "nonce" in data:
            self.approvals[str(data["nonce"])] = tuple(
                data[name] for name in ("request", "decision", "approver", "key")
            )

    def _is_wrong(self, sequence: int, wrong: str) -> None:
        self.first_wrong, self.wrong = sequence, wrong


FOLLOWED = frozenset({"state", "settled_usd_micro", "expires_at", "period_keys"})
"""What later rows change of a request."""


def _moment(value: datetime) -> str:
    utc = value.astimezone(UTC)
    # Formatted by hand: a hundred thousand rows are.
    return f"{utc.year:04d}-{utc.month:02d}-{utc.day:02d}T{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d}Z"
