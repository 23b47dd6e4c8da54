"""Who made an approval: its proof, verified in the way of its kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from providers.errors import ApprovalError

from .principals import os_user_key
from .records import Assurance, Principal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .allowed_signers import AllowedSigners
    from .oidc import CiTrust
    from .signatures import SshKeygen
    from .statements import Approval


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What proofs are checked against, all of it from the protected base; None where the policy names none."""

    keygen: SshKeygen | None = None
    allowed: AllowedSigners | None = None
    revoked: bytes | None = None
    ci: Mapping[str, tuple[CiTrust, bytes]] = field(default_factory=dict)
    """By the name of the principal: whose tokens count as theirs, and the key set of the issuer."""


def principal_of(approval: Approval, *, trust: Trust, now: datetime) -> Principal:
    """Return who made an approval, and how surely. A login alone is taken at its word, and ranks lowest.

    Raises ApprovalError (exit 8) for a proof that does not hold, or that nothing is there to check against.
    """
    statement, proof = approval.statement, approval.proof
    if proof.kind is Assurance.SSH_SIGNATURE:
        if trust.keygen is None or trust.allowed is None or proof.signature is None:
            raise ApprovalError("a signature, and no allowed_signers file in the policy to check it against")
        from .signatures import verify_statement

        return verify_statement(
            trust.keygen, statement, proof.signature, allowed=trust.allowed, revoked=trust.revoked, now=now
        )
    if proof.kind is Assurance.CI_OIDC:
        if statement.approver not in trust.ci or proof.token is None:
            raise ApprovalError(f"an id token of {statement.approver}, and no such workflow in the policy")
        from .oidc import verify_for_statement

        ci, jwks = trust.ci[statement.approver]
        where = f"the key set of {ci.issuer}"
        return verify_for_statement(proof.token, statement, trust=ci, jwks=jwks, where=where, now=now).principal
    if proof.user is None or proof.uid is None:
        raise ApprovalError("a login without name and number")
    if proof.user != statement.approver:
        raise ApprovalError(f"the login is of {proof.user}, the approval of {statement.approver}")
    key = os_user_key(uid=proof.uid, host=proof.host or "")
    return Principal(name=proof.user, assurance=Assurance.OS_USER, key=key)
