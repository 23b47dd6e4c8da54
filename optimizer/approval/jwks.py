"""The public keys of an issuer of id tokens (a JSON Web Key Set, RFC 7517), read strictly.

Each key is for one algorithm, which its type says: no token chooses how it is checked.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.errors import ApprovalError, JobError
from providers.strict_json import Reader, decode_strictly

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_BYTES = 2**18
MOST_KEYS = 100
LEAST_RSA_BITS = 2048
MOST_RSA_BITS = 8192
"""A check with a longer key takes seconds."""
_BASE64URL = r"[A-Za-z0-9_-]{1,2048}"
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """One key: its id, the algorithm it is for (RS256 or ES256), and its numbers as the set holds them."""

    kid: str
    algorithm: str
    members: Mapping[str, str]


def read_jwks(data: bytes, *, where: str) -> dict[str, PublicKey]:
    """Return the keys of a set by their id; those of other types or uses are passed over.

    Raises ApprovalError (exit 8), naming `where`, for what is no set, for an id that stands twice, for a private or a
    shared key, a weak or an endless one, and for a set without any key that could be used.
    """
    if len(data) > LARGEST_BYTES:
        raise ApprovalError(f"{where}: a key set of more than {LARGEST_BYTES // 1024} KiB")
    try:
        keys = _keys(data, where)
    except JobError as err:
        raise ApprovalError(str(err)) from err
    if not keys:
        raise ApprovalError(f"{where}: no key for RS256 or ES256 signatures in this set")
    return keys


def _keys(data: bytes, where: str) -> dict[str, PublicKey]:
    document = Reader(decode_strictly(data, where=where), where=where)
    found: dict[str, PublicKey] = {}
    seen: set[str] = set()
    for at, fields in enumerate(document.objects("keys")):
        if at >= MOST_KEYS:
            document.refuse("keys", f"at most {MOST_KEYS} keys")
        for name in _PRIVATE:
            if fields.get(name) is not None:
                # The value is a secret: it is not repeated.
                raise ApprovalError(
                    f"{where}: keys[{at}].{name}: a private or shared key; only public ones belong here"
                )
        kid = fields.name("kid")
        if kid in seen:
            fields.refuse("kid", "an id that stands once")
        seen.add(kid)
        key = _key(fields, kid)
        if key is not None:
            found[kid] = key
    return found


def _key(fields: Reader, kid: str) -> PublicKey | None:
    """Return the key of one entry; None for one that is not for signatures as they are accepted here."""
    if fields.get("use") not in {None, "sig"}:
        return None
    stated = fields.get("alg")
    if fields.get("kty") == "RSA" and stated in {None, "RS256"}:
        members = {one: fields.matching(one, _BASE64URL, "a number in base64url") for one in ("n", "e")}
        bits = _number(members["n"]).bit_length()
        if not LEAST_RSA_BITS <= bits <= MOST_RSA_BITS or not 3 <= _number(members["e"]) <= 2**32:
            fields.refuse("n", f"an RSA key of {LEAST_RSA_BITS} to {MOST_RSA_BITS} bits")
        return PublicKey(kid=kid, algorithm="RS256", members={"kty": "RSA", **members})
    if fields.get("kty") == "EC" and fields.get("crv") == "P-256" and stated in {None, "ES256"}:
        members = {one: fields.matching(one, r"[A-Za-z0-9_-]{43}", "a coordinate of P-256") for one in ("x", "y")}
        return PublicKey(kid=kid, algorithm="ES256", members={"kty": "EC", "crv": "P-256", **members})
    return None


def _number(text: str) -> int:
    """Return the number that base64url holds; 0 for what holds none."""
    try:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    except ValueError:
        return 0
