"""Id tokens of GitHub Actions and GitLab CI: which workflow of which repository asks, in which environment, which ref.

A token attests a workflow, never a person: whoever may start that workflow, or let its environment go on, is behind it.
It is checked against the issuer's keys, and its claims against what the policy requires. It must be meant for the
statement: its audience names the statement or, where the audience cannot be chosen, the statement's nonce names the
token, so that one token is good for one statement.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from providers.errors import ApprovalError, JobError
from providers.payload import LONGEST_NAME
from providers.strict_json import Reader, decode_strictly

from .jwks import read_jwks
from .oidc_claims import REQUIRABLE, CiKind, Facts, facts_of
from .principals import NAME, NAME_IN_WORDS
from .records import Assurance, Principal
from .statements import LONGEST_TOKEN, statement_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .jwks import PublicKey
    from .policy_terms import CiIdentity
    from .records import Statement

LEEWAY = timedelta(seconds=30)
LONGEST_LIFE = timedelta(hours=24)
AUDIENCE = "tunefare-approval"
GITHUB = "https://token.actions.githubusercontent.com"
"""A GitHub server of one's own has another address, that ends in /_services/token."""
LATEST_S = 2**37
"""In the year 6325: later moments have no date."""
_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_HEADER = ("alg", "kid", "typ", "x5t")


@dataclass(frozen=True, slots=True, kw_only=True)
class CiTrust:
    """Whose tokens count, as the policy says: the issuer, and the facts that a token must state letter by letter."""

    kind: CiKind
    issuer: str
    required: tuple[tuple[str, str], ...]
    """Pairs of one of `oidc_claims.REQUIRABLE` and its value."""
    audience: str = AUDIENCE
    """Of tokens whose audience cannot name a statement."""
    name: str | None = None
    """Of the principal, as the policy's groups list it; None: made from the facts."""

    def __post_init__(self) -> None:
        """Raise JobError for a trust that would take in workflows that nobody chose."""
        names = [name for name, _ in self.required]
        problem = (
            ("required", f"facts among {', '.join(REQUIRABLE)}, each once")
            if len(set(names)) < len(names) or not set(names) <= set(REQUIRABLE)
            else ("required", "a repository (or repository_id): any other one gets tokens of this issuer too")
            if not {"repository", "repository_id"} & set(names)
            else ("required", "an environment or a ref: any change under review could run the workflow otherwise")
            if not {"environment", "ref"} & set(names)
            else ("issuer", "an https address")
            if not re.fullmatch(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._/-]*)?", self.issuer, re.ASCII)
            else None
        )
        if problem:
            raise JobError(where="policy", key=f"ci.{problem[0]}", value=names, allowed=problem[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What a token attests: the workflow as a principal, the facts, and how long it says so."""

    principal: Principal
    facts: Facts
    token_id: str
    """Stated by the issuer, once per token."""
    issued_at: datetime
    expires_at: datetime


def trust_of(identity: CiIdentity) -> CiTrust:
    """Return the trust that a policy's `[[ci]]` table states. Raises JobError for one that trusts too much."""
    facts = {
        "repository": identity.repository,
        "environment": identity.environment,
        "ref": identity.ref,
        "workflow": identity.workflow,
    }
    github = identity.issuer == GITHUB or identity.issuer.endswith("/_services/token")
    return CiTrust(
        kind=CiKind.GITHUB if github else CiKind.GITLAB,
        issuer=identity.issuer,
        required=tuple((key, value) for key, value in facts.items() if value is not None),
        audience=identity.audience,
        name=identity.name,
    )


def audience_of(statement: Statement) -> str:
    """Return the audience to ask a token for that is good for this statement and nothing else."""
    return f"{AUDIENCE}:{hashlib.sha256(statement_bytes(statement)).hexdigest()}"


def nonce_of(token_id: str) -> str:
    """Return the nonce that a statement must have when its token's audience does not name it."""
    return hashlib.sha256(f"{AUDIENCE}:{token_id}".encode()).hexdigest()[:32]


def unverified_token_id(token: str) -> str:
    """Return the id that a token states, for `nonce_of` when a statement is made. Nothing is verified."""
    return _object(_parts(token)[1], "claims").name("jti")


def verify_for_statement(
    token: str, statement: Statement, *, trust: CiTrust, jwks: bytes, where: str, now: datetime
) -> Attestation:
    """Return what a token attests of a statement. Raises ApprovalError (exit 8) for one that is not for it."""
    bound = audience_of(statement)
    found = verify_token(token, audiences=(bound, trust.audience), trust=trust, jwks=jwks, where=where, now=now)
    audience, attestation = found
    if audience != bound and statement.nonce != nonce_of(attestation.token_id):
        raise ApprovalError(f"the token is not for this statement: ask for one with the audience {bound}")
    if attestation.principal.name != statement.approver:
        raise ApprovalError(f"the token is of {attestation.principal.name}, the approval of {statement.approver}")
    return attestation


def verify_token(
    token: str, *, audiences: tuple[str, ...], trust: CiTrust, jwks: bytes, where: str, now: datetime
) -> tuple[str, Attestation]:
    """Return for which of the audiences a token is, and what it attests.

    `jwks` is the issuer's key set and `where` names it. Raises ApprovalError (exit 8) for a token that does not hold,
    JobError where what checks signatures is not installed.
    """
    header_text, claims_text, _ = _parts(token)
    key = _key_for(_object(header_text, "header"), read_jwks(jwks, where=where), where)
    _check_signature(token, key)
    # Nothing of the claims is looked at before the signature holds, and then the same bytes, read strictly.
    fields = _object(claims_text, "claims")
    issued_at, expires_at = _check_times(fields, now)
    if fields.get("iss") != trust.issuer:
        raise ApprovalError(f"the token is of another issuer than {trust.issuer}")
    stated = fields.get("aud")
    audience = stated[0] if isinstance(stated, list) and len(stated) == 1 else stated
    if not isinstance(audience, str) or audience not in audiences:
        raise ApprovalError(f"the token is for another audience than {' or '.join(audiences)}")
    claims = _claims(fields)
    facts = facts_of(claims, trust.kind)
    _check_required(facts, trust)
    name = trust.name or facts.name
    if not re.fullmatch(NAME, name):
        raise ApprovalError(f"no principal can have this name: {name[:80]!r}: {NAME_IN_WORDS}")
    principal = Principal(name=name, assurance=Assurance.CI_OIDC, key=_key_of(trust.issuer, fields.name("sub")))
    return audience, Attestation(
        principal=principal,
        facts=facts,
        token_id=fields.name("jti"),
        issued_at=issued_at,
        expires_at=expires_at,
    )


def _key_of(issuer: str, subject: str) -> str:
    """Return what a workflow is known by: its subject at its issuer, as a digest where that is too long to store."""
    key = f"{issuer}#{subject}"
    return key if len(key) <= LONGEST_NAME else f"oidc-sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _parts(token: str) -> tuple[str, str, str]:
    found = _TOKEN.fullmatch(token) if len(token) <= LONGEST_TOKEN else None
    if found is None:
        raise ApprovalError(f"this is no id token: three parts in base64url, at most {LONGEST_TOKEN} characters")
    header, claims, signature = found.groups()
    return header, claims, signature


def _object(part: str, what: str) -> Reader:
    """Return a reader of a part of a token. Its messages never repeat more than one value."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        reader = _TokenReader(decode_strictly(data, where=f"the token's {what}"), where=f"the token's {what}")
    except (ValueError, JobError) as err:
        # A ValueError quotes the text, and that is part of a secret.
        raise ApprovalError(f"the token's {what} are no strict JSON object") from err
    return reader


class _TokenReader(Reader):
    """A reader whose refusals are about an approval."""

    def name(self, key: str) -> str:
        """Return a text as `Reader.name` does. Raises ApprovalError without the value."""
        try:
            return super().name(key)
        except JobError:
            raise ApprovalError(f"the token states no {key} that could be shown") from None

    def whole(self, key: str, *, low: int = 0, high: int = LATEST_S) -> int:
        """Return a whole number as `Reader.whole` does. Raises ApprovalError."""
        try:
            return super().whole(key, low=low, high=high)
        except JobError:
            raise ApprovalError(f"the token states no {key} in whole seconds") from None


def _key_for(header: Reader, keys: Mapping[str, PublicKey], where: str) -> PublicKey:
    """Return the key that the header names, when its algorithm is the key's own."""
    try:
        header.only(*_HEADER)
    except JobError as err:
        raise ApprovalError(f"the token's header holds more than {', '.join(_HEADER)}") from err
    if header.get("typ") not in {None, "JWT"}:
        raise ApprovalError("the token's header says that it is no JWT")
    key = keys.get(header.name("kid"))
    if key is None:
        raise ApprovalError(f"the token is signed with a key that {where} does not hold: is the key set old?")
    if header.get("alg") != key.algorithm:
        raise ApprovalError(f"the token's algorithm is not {key.algorithm}, which its key is for")
    return key


def _check_signature(token: str, key: PublicKey) -> None:
    """Raise ApprovalError unless the key signed the token."""
    try:
        import jwt
    except ImportError as err:
        allowed = "needs PyJWT with cryptography: pip install 'tunefare[ci]'"
        raise JobError(where="this machine", key="ci-oidc", value="id token", allowed=allowed) from err
    try:
        public = jwt.PyJWK({**key.members, "alg": key.algorithm}, algorithm=key.algorithm)
        jwt.PyJWS(algorithms=[key.algorithm]).decode(token, public, algorithms=[key.algorithm])
    except (jwt.PyJWTError, ValueError, TypeError) as err:
        raise ApprovalError("the token's signature does not hold") from err


def _check_times(fields: Reader, now: datetime) -> tuple[datetime, datetime]:
    """Return when a token was issued and until when it is good. Raises ApprovalError when that is not now."""
    issued, expires = (datetime.fromtimestamp(fields.whole(one), tz=UTC) for one in ("iat", "exp"))
    begins = issued if fields.get("nbf") is None else datetime.fromtimestamp(fields.whole("nbf"), tz=UTC)
    if now >= expires + LEEWAY:
        raise ApprovalError(f"the token expired at {expires:%Y-%m-%dT%H:%M:%SZ}")
    if now + LEEWAY < max(issued, begins):
        raise ApprovalError(
            f"the token is from the future ({max(issued, begins):%Y-%m-%dT%H:%M:%SZ}): is a clock wrong?"
        )
    if not timedelta() < expires - issued <= LONGEST_LIFE:
        raise ApprovalError("the token is good for longer than a day, or for no time at all")
    return issued, expires


def _check_required(facts: Facts, trust: CiTrust) -> None:
    """Raise ApprovalError naming the first fact that is not as the policy requires."""
    for name, value in trust.required:
        stated = facts.get(name)
        if stated != value:
            shown = "nothing" if stated is None else repr(stated)
            raise ApprovalError(f"the token's {name} is {shown}, and the policy requires {value!r}")
    if not facts.protected:
        raise ApprovalError("the token's ref or environment is not protected: anybody who may push could run this job")


def _claims(fields: Reader) -> Mapping[str, object]:
    names = (
        "repository", "repository_id", "environment", "ref", "workflow_ref", "run_id", "ref_type", "ref_protected",
        "environment_protected", "ci_config_ref_uri", "project_path", "project_id", "pipeline_id",
    )  # fmt: skip
    return {name: fields.get(name) for name in names}
