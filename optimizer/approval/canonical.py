"""The canonical form of documents, and their digests: what is approved is a SHA-256 of exactly these bytes.

No floats, money in integer micro-dollars, durations in seconds, ratios in parts per million, ASCII keys: then sorted,
compact JSON of the standard library equals RFC 8785, and equal documents have equal digests on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

from providers.errors import ApprovalError, JobError
from providers.strict_json import decode_strictly

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LARGEST_BYTES = 2**20
"""Of a plan, a policy, an approval: larger files are refused unread."""
LARGEST_INTEGER = 2**53 - 1
DEEPEST = 64


def canonical_bytes(document: Mapping[str, object]) -> bytes:
    """Return the one form of a document that digests are taken of. Raises ValueError naming the place of what has none.

    That is a float, a whole number beyond 2^53 - 1, a key that is not ASCII, text that is not Unicode.
    """
    _check(document, "$", 0)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def sha256_of(document: Mapping[str, object]) -> str:
    """Return the SHA-256 of a document's canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_bytes(document)).hexdigest()


def read_bytes(path: Path, *, what: str, most: int = LARGEST_BYTES) -> bytes:
    """Return the bytes of a regular file, read once: what is shown, hashed and acted on is the same.

    Raises JobError for a file that cannot be read, that is no regular file (a device or a pipe never ends), or that is
    larger than `most` bytes. `what` names it: "PLAN".
    """
    shown = str(path)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as err:
        reason = getattr(err, "strerror", None) or type(err).__name__
        raise JobError(where="command line", key=what, value=shown, allowed=f"a readable file ({reason})") from err
    # Before it is made a file of Python's, which a directory cannot be.
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise JobError(where="command line", key=what, value=shown, allowed="a regular file")
    with os.fdopen(handle, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise JobError(where=shown, key="file", value=shown, allowed=f"at most {most // 1024} KiB")
    return data


def load_document(data: bytes, *, where: str, schema: str) -> dict[str, object]:
    """Return the document that bytes hold, strictly: no key twice, no float, no NaN, nothing nested without end.

    Raises ApprovalError (exit 8) for bytes that are no such document, naming `where`.
    """
    try:
        document = decode_strictly(data, where=where)
    except JobError as err:
        raise ApprovalError(str(err)) from err
    if not isinstance(document, dict) or document.get("schema") != schema:
        found = document.get("schema") if isinstance(document, dict) else None
        shown = found if isinstance(found, str) and len(found) < 80 and found.isprintable() else "another document"
        raise ApprovalError(f"{where}: schema = {shown!r}: {schema} is expected")
    try:
        canonical_bytes(document)
    except ValueError as err:
        raise ApprovalError(f"{where}: {err}") from err
    return document


def _check(value: object, place: str, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"{place}: nested more than {DEEPEST} deep")
    if isinstance(value, dict):
        for key, one in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise ValueError(f"{place}: the key {key!r} is not ASCII text")
            _check(one, f"{place}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for at, one in enumerate(value):
            _check(one, f"{place}[{at}]", depth + 1)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise ValueError(f"{place}: {value} is beyond 2^53 - 1")
    elif isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as err:
            raise ValueError(f"{place}: text that is not Unicode") from err
    else:
        raise ValueError(f"{place}: {type(value).__name__} has no canonical form")
