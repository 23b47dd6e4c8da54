from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from providers.inflate import PIECE_BYTES, Inflater, UnknownEncoding

BODY = bytes(range(256)) * 5_000


def inflated(data: bytes, encoding: str, *, step: int) -> tuple[bytes, bool]:
    inflater = Inflater(encoding)
    pieces = [piece for start in range(0, len(data), step) for piece in inflater.feed(data[start : start + step])]
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces), inflater.whole


@pytest.mark.parametrize("step", [1, 7, 4096, 10**9])
@pytest.mark.parametrize("encoding", ["gzip", "X-GZip ", "deflate"])
def test_a_body_comes_out_whole_however_it_arrives(encoding: str, step: int) -> None:
    body = BODY[:3_000] if step == 1 else BODY
    packed = zlib.compress(body) if encoding == "deflate" else gzip.compress(body)
    assert inflated(packed, encoding, step=step) == (body, True)


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_what_is_not_encoded_passes_in_pieces(encoding: str) -> None:
    body = b"x" * (2 * PIECE_BYTES + 1)
    assert inflated(body, encoding, step=10**9) == (body, True)


@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_nothing_stays_behind_at_the_size_of_a_piece(size: int) -> None:
    assert inflated(gzip.compress(bytes(size)), "gzip", step=10**9) == (bytes(size), True)


@pytest.mark.parametrize("step", [1, 5, 10**9])
def test_members_follow_each_other_and_padding_is_passed_over(step: int) -> None:
    two = gzip.compress(b"first ") + gzip.compress(b"second")
    for tail in (b"", b"\0", b"\0" * 20):
        assert inflated(two + tail, "gzip", step=step) == (b"first second", True)
    assert inflated(two[:-4], "gzip", step=step)[1] is False


def test_an_end_that_is_missing_is_seen() -> None:
    packed = gzip.compress(BODY)
    for missing in (1, 8, 9, len(packed) // 2, len(packed) - 5):
        assert inflated(packed[:-missing], "gzip", step=100)[1] is False
    # Nothing at all is an empty body, which has no end to miss.
    assert inflated(b"", "gzip", step=1) == (b"", True)


def test_damage_is_an_error() -> None:
    packed = bytearray(gzip.compress(BODY))
    packed[-8] ^= 1  # a bit of the checksum
    for data in (b"not packed at all", bytes(packed)):
        with pytest.raises(zlib.error):
            inflated(data, "gzip", step=10**9)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "x" * 1000])
def test_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(UnknownEncoding) as caught:
        Inflater(encoding)
    assert len(str(caught.value)) <= 40


def test_a_bomb_is_never_whole_in_memory() -> None:
    bomb = gzip.compress(bytes(50 * PIECE_BYTES))
    tracemalloc.start()
    try:
        seen = sum(len(piece) for piece in Inflater("gzip").feed(bomb))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == 50 * PIECE_BYTES
    assert peak < 5 * PIECE_BYTES
