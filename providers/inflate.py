"""Decodes the body of an answer piece by piece: never more than a megabyte at once, however well it was compressed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES = 1_000_000
ACCEPTED = "gzip"
"""What is asked for, as the value of Accept-Encoding."""

_EITHER_HEADER = zlib.MAX_WBITS | 32
_MAGIC = b"\x1f\x8b"


class UnknownEncoding(Exception):
    """The body is encoded in a way that nobody asked for."""


class Inflater:
    """Undoes the Content-Encoding of one body. `feed` takes what arrived, `whole` says whether it came to its end."""

    def __init__(self, encoding: str) -> None:
        """Raises UnknownEncoding for anything but gzip, deflate and none."""
        name = encoding.strip().lower()
        if name not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise UnknownEncoding(name[:40])
        self._decoder = None if name in {"", "identity"} else zlib.decompressobj(_EITHER_HEADER)
        self._started = False
        self._behind = b""

    @property
    def whole(self) -> bool:
        """Whether the body ended where its encoding says that it ends; always so for one that is not encoded."""
        return self._decoder is None or self._decoder.eof or not self._started

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to, in pieces of at most PIECE_BYTES. Raises zlib.error for what is damaged."""
        if self._decoder is None:
            yield from (data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))
            return
        self._started = self._started or bool(data)
        left = self._behind + data
        self._behind = b""
        while left:
            if self._decoder.eof:
                # Another member may follow the end of one; what is no member is padding.
                if len(left) < len(_MAGIC):
                    self._behind = left
                    return
                if not left.startswith(_MAGIC):
                    return
                self._decoder = zlib.decompressobj(_EITHER_HEADER)
            piece = self._decoder.decompress(left, PIECE_BYTES)
            if piece:
                yield piece
            left = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
