"""Whose keys sign: an `allowed_signers` file as `ssh-keygen` reads it, read more strictly than it does.

A plain key belongs to names that are written out: a pattern would let its owner sign under any name. Patterns are for
certificate authorities, whose certificates say the name. The file comes from the protected base; its digest is part of
the policy's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from providers.errors import JobError

from .principals import NAME, key_token, name_token

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_BYTES = 2**20
LEAST_RSA_BITS = 2048
KEY_TYPES = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-rsa",
)  # fmt: skip
_OPTION = re.compile(
    r'cert-authority|namespaces="[A-Za-z0-9._@*?!,-]+"|valid-(?:after|before)="?\d{8}(?:\d{4}(?:\d{2})?)?Z?"?', re.ASCII
)
_OPTIONS = re.compile(rf"(?:{_OPTION.pattern})(?:,(?:{_OPTION.pattern}))*", re.ASCII)
_PATTERN = re.compile(r"[A-Za-z0-9*?][A-Za-z0-9._:@/+%*?-]{0,199}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerKey:
    """One line: a key and the names that it may sign for, or an authority and patterns of names it may certify."""

    line: int
    names: tuple[str, ...]
    authority: bool
    key_type: str
    fingerprint: str
    """SHA256: and the digest in base64, as `ssh-keygen -l` shows it."""

    def permits(self, name: str) -> bool:
        """Return whether the line is for this name."""
        if not self.authority:
            return name in self.names
        return any(re.fullmatch(_regular(one), name) for one in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedSigners:
    """The keys of a file, and its bytes: `ssh-keygen` is handed what was hashed, not what lies there by then."""

    data: bytes
    keys: tuple[SignerKey, ...]

    @property
    def sha256(self) -> str:
        """The digest of the file's bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def names_of(self, fingerprint: str) -> tuple[str, ...]:
        """Return the names that a key may sign for, in the order of the file, each once."""
        found = (
            name for key in self.keys if key.fingerprint == fingerprint and not key.authority for name in key.names
        )
        return tuple(dict.fromkeys(found))

    def permits(self, name: str, fingerprint: str, *, certified: bool) -> bool:
        """Return whether this key may sign for this name: listed, or by a certificate of an authority for the name."""
        if certified:
            return any(key.authority and key.permits(name) for key in self.keys)
        return any(not key.authority and key.fingerprint == fingerprint and key.permits(name) for key in self.keys)

    def links(self) -> tuple[frozenset[str], ...]:
        """Return what belongs to one person each: every key with all its names."""
        return tuple(
            frozenset({key_token(key.fingerprint), *map(name_token, key.names)})
            for key in self.keys
            if not key.authority
        )


def read_allowed_signers(data: bytes, *, where: str) -> AllowedSigners:
    """Return the keys that a file holds. Raises JobError (exit 2) naming the file and the line of what is not allowed.

    Refused are patterns as names of plain keys, RSA below 2048 bits, DSA, certificates in place of keys, unknown
    options, a key whose text is not of the type it says, and a name with the same key twice.
    """
    if len(data) > LARGEST_BYTES:
        raise JobError(where=where, key="file", value=where, allowed=f"at most {LARGEST_BYTES // 1024} KiB")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as err:
        raise JobError(where=where, key="file", value=where, allowed="ASCII text") from err
    keys = tuple(_keys(text, where))
    seen: set[tuple[str, str]] = set()
    for key in keys:
        for name in key.names:
            if (name, key.fingerprint) in seen:
                _refuse(where, key.line, name, "each name and key once")
            seen.add((name, key.fingerprint))
    return AllowedSigners(data=data, keys=keys)


def _keys(text: str, where: str) -> Iterator[SignerKey]:
    # Not splitlines: it knows more line ends than ssh-keygen does.
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r")
        if not line.strip(" \t") or line.startswith("#"):
            continue
        if not line.replace("\t", " ").isprintable():
            _refuse(where, number, line, "printable text")
        yield _key(line.replace("\t", " ").split(" "), number, where)


def _key(words: list[str], number: int, where: str) -> SignerKey:
    words = [word for word in words if word]
    options = words.pop(1) if len(words) > 2 and words[1] not in KEY_TYPES else ""
    if len(words) < 3:
        _refuse(where, number, " ".join(words), "NAMES [OPTIONS] KEY-TYPE KEY")
    if options and not _OPTIONS.fullmatch(options):
        _refuse(where, number, options, "cert-authority, namespaces, valid-after, valid-before; or a key type")
    authority = "cert-authority" in options.split(",")
    if words[1] not in KEY_TYPES:
        _refuse(where, number, words[1], f"a key type: {', '.join(KEY_TYPES)}")
    names = tuple(words[0].split(","))
    for name in names:
        if authority and not (_PATTERN.fullmatch(name) and name.strip("*?")):
            _refuse(where, number, name, "a name or a pattern such as *@example.com")
        if not authority and not re.fullmatch(NAME, name):
            _refuse(where, number, name, "a name written out; patterns are for cert-authority")
    return SignerKey(
        line=number,
        names=names,
        authority=authority,
        key_type=words[1],
        fingerprint=_fingerprint(words[1], words[2], number, where),
    )


def _fingerprint(key_type: str, text: str, number: int, where: str) -> str:
    try:
        blob = base64.b64decode(text, validate=True)
        parts = list(_strings(blob))
    except (binascii.Error, ValueError):
        _refuse(where, number, text, "a public key in base64")
    if not parts or parts[0] != key_type.encode("ascii"):
        _refuse(where, number, text, f"a key of type {key_type}")
    if key_type == "ssh-rsa" and (len(parts) != 3 or int.from_bytes(parts[2], "big").bit_length() < LEAST_RSA_BITS):
        _refuse(where, number, key_type, f"RSA keys of {LEAST_RSA_BITS} bits or more")
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii")
    return f"SHA256:{digest.rstrip('=')}"


def _strings(blob: bytes) -> Iterator[bytes]:
    """Yield the length-prefixed strings that a public key is made of (RFC 4251, section 5)."""
    at = 0
    while at < len(blob):
        length = int.from_bytes(blob[at : at + 4], "big")
        if at + 4 + length > len(blob):
            raise ValueError("a string beyond the end")
        yield blob[at + 4 : at + 4 + length]
        at += 4 + length


def _regular(pattern: str) -> str:
    """Return a pattern of ssh (* and ?) as a regular expression."""
    return "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)


def _refuse(where: str, number: int, value: str, allowed: str) -> NoReturn:
    raise JobError(where=where, key=f"line {number}", value=value[:200], allowed=allowed)
