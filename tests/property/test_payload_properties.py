"""Whatever a source says: a value, a reason, or a named error; never another exception, never a changed price."""

from __future__ import annotations

import gzip
import json
import string
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import LONGEST_SAMPLE, ResponseChanged
from providers.inflate import PIECE_BYTES, Inflater
from providers.pace import parse_retry_after
from providers.payload import (
    LARGEST_PRICE,
    LONGEST_NAME,
    Fields,
    RowProblem,
    clean_name,
    decode_json,
    exact_number,
    price_nano,
    rows_of,
    sample_of,
)
from providers.redaction import Redactor
from providers.scope import DROP_REASONS

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.floats(),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=30), NUMBERS.map(str))
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text("ab", max_size=2) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = ("text", "whole", "price", "number", "fields", "items")
ROWS = st.dictionaries(st.sampled_from(KEYS), ANYTHING)
PRICES = st.decimals(min_value=0, max_value=LARGEST_PRICE, allow_nan=False, places=12)


@given(ROWS | ANYTHING)
def test_a_row_is_read_or_says_why_not(value: object) -> None:
    if not isinstance(value, dict):
        with pytest.raises(RowProblem):
            Fields(value)
        return
    row = Fields(value)
    readers = {
        "text": row.text, "whole": row.whole, "price": row.price_nano, "number": row.number,
        "fields": row.fields, "items": row.items,
    }  # fmt: skip
    kinds = {"text": str, "whole": int, "price": int, "number": Decimal, "fields": Fields, "items": list}
    for key, read in readers.items():
        found, problem = _outcome(read, key)
        if problem is None:
            assert type(found) is kinds[key]
            continue
        dropped = problem.dropped(key)
        assert dropped.reason in DROP_REASONS
        assert len(dropped.detail) <= LONGEST_NAME
        assert dropped.detail.isprintable()


def _outcome(read: Callable[[Any], object], value: object) -> tuple[object, RowProblem | None]:
    try:
        return read(value), None
    except RowProblem as problem:
        return None, problem


@given(ANYTHING)
def test_a_price_is_the_one_that_was_stated(value: object) -> None:
    nano, problem = _outcome(price_nano, value)
    if problem is not None:
        assert problem.reason in {"no_price", "bad_price", "zero_price", "negative_price"}
        return
    assert isinstance(nano, int)
    assert 0 < nano <= LARGEST_PRICE * 10**9
    # Floats and truth values never get here; what does is the stated number, to half a billionth.
    assert isinstance(value, (int, Decimal, str))
    assert not isinstance(value, bool)
    assert abs(Fraction(Decimal(value.strip() if isinstance(value, str) else value)) * 10**9 - nano) <= Fraction(1, 2)


@given(PRICES)
def test_all_ways_of_writing_a_price_are_the_same_price(price: Decimal) -> None:
    answer = decode_json(json.dumps({"text": f"{price:f}"})[:-1] + f', "number": {price:f}, "e": {price:E}}}')
    row = Fields(answer)
    assert row.number("text") == row.number("number") == row.number("e") == price


@given(NUMBERS)
def test_numbers_are_exact_or_none(value: object) -> None:
    try:
        found = exact_number(value)
    except RowProblem:
        return
    assert found == value
    assert not isinstance(value, float)


@given(ANYTHING, st.lists(st.text("ab", max_size=2), max_size=3))
def test_rows_are_found_or_the_source_changed(value: object, path: list[str]) -> None:
    try:
        found = rows_of(value, *path, source="nimbus")
    except ResponseChanged as changed:
        words, sample = str(changed), changed.sample
    else:
        assert isinstance(found, list)
        return
    assert words.isprintable()
    assert len(sample) <= LONGEST_SAMPLE


@given(ANYTHING)
def test_a_sample_of_anything_is_short_text(value: object) -> None:
    assert len(sample_of(value)) <= LONGEST_SAMPLE


@given(st.text(alphabet=st.characters(), max_size=300))
def test_names_are_clean_and_cleaning_is_done_once(text: str) -> None:
    name = clean_name(text)
    assert name.isprintable()
    assert name == name.strip()
    assert "  " not in name
    assert len(name) <= LONGEST_NAME
    assert clean_name(name) == name


@given(st.one_of(st.text(alphabet='[]{}0123456789.eE+-",:nulltrefas \n', max_size=60), st.binary(max_size=60)))
def test_json_is_decoded_or_refused(content: str | bytes) -> None:
    try:
        value = decode_json(content)
    except ValueError:
        return
    assert _has_no_float(value)


def _has_no_float(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_has_no_float, value.values()))
    if isinstance(value, list):
        return all(map(_has_no_float, value))
    return not isinstance(value, float)


@given(st.one_of(st.none(), st.text(max_size=60), st.text(alphabet=string.digits + " :,+-GMTJanSu", max_size=40)))
def test_whatever_retry_after_holds_is_a_wait_or_nothing(text: str | None) -> None:
    wait = parse_retry_after(text)
    assert wait is None or 0.0 <= wait < float("inf")


@given(st.binary(max_size=400), st.integers(1, 50))
@settings(max_examples=50)
def test_a_packed_body_survives_any_cut_into_pieces(body: bytes, step: int) -> None:
    packed = gzip.compress(body)
    inflater = Inflater("gzip")
    pieces = [piece for start in range(0, len(packed), step) for piece in inflater.feed(packed[start : start + step])]
    assert b"".join(pieces) == body
    assert inflater.whole
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)


@given(
    st.text(alphabet=string.ascii_letters + string.digits + "+/=-_.%&\"' ", min_size=6, max_size=40),
    st.text(max_size=30),
)
def test_a_secret_never_survives(secret: str, around: str) -> None:
    if len(secret.strip()) < 6 or secret.strip() in "[secret]" or secret.strip() in around:
        return
    shown = Redactor([secret])(f"{around}{secret.strip()}{around}")
    assert secret.strip() not in shown


@pytest.mark.parametrize("depth", [10, 1_000, 50_000])
def test_depth_is_refused_or_read(depth: int) -> None:
    text = "[" * depth + "]" * depth
    try:
        value = decode_json(text)
    except ValueError:
        assert depth > 10
        return
    with pytest.raises(RowProblem):
        Fields({"n": value}).whole("n")
