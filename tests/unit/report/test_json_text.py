from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.report.json_candidate import whole_quantity
from optimizer.report.json_text import (
    LARGEST_INTEGER,
    exact_or_null,
    interval,
    moment,
    parts,
    ppm,
    to_canonical_bytes,
    to_text,
    whole,
    whole_or_null,
)
from providers.basis import Basis, Estimate
from providers.errors import JobError

texts = st.text('aé€"\\\n\x00', max_size=5)
scalars = st.none() | st.booleans() | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER) | texts
keys = st.text('ab"\\ ', min_size=1, max_size=3)
inner = st.lists(scalars, max_size=3) | st.dictionaries(keys, scalars, max_size=3) | scalars
documents = st.dictionaries(keys, st.lists(inner, max_size=3) | inner, max_size=4)


def test_text_is_sorted_indented_utf8_and_ends_with_one_newline() -> None:
    assert to_text({"b": [1, "é"], "a": None}) == '{\n  "a": null,\n  "b": [\n    1,\n    "é"\n  ]\n}\n'


def test_a_name_that_is_no_unicode_stays_valid_json() -> None:
    assert json.loads(to_text({"a": "file-\udc80"}).encode("utf-8")) == {"a": "file-\udc80"}
    assert to_canonical_bytes({"a": "\udc80"}) == b'{"a":"\\udc80"}'


def test_canonical_bytes_are_one_line() -> None:
    assert to_canonical_bytes({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"a": 1.5}, r"\$\.a: 1\.5"),
        ({"a": [0, {"b": float("nan")}]}, r"\$\.a\[1\]\.b: nan"),
        ({"ä": 1}, "not ASCII"),
        ({"a": datetime(2031, 1, 1, tzinfo=UTC)}, "datetime has no JSON form"),
        ({"a": {"b": {1: 2}}}, r"\$\.a\.b: the key 1"),
    ],
)
def test_what_has_no_place_in_a_document_is_refused_with_its_path(document: dict[str, object], place: str) -> None:
    with pytest.raises(ValueError, match=place):
        to_text(document)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=place):
        to_canonical_bytes(document)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [LARGEST_INTEGER + 1, -LARGEST_INTEGER - 1])
def test_a_figure_too_large_for_a_document_is_no_bug_and_is_named(value: int) -> None:
    for write in (to_text, to_canonical_bytes):
        with pytest.raises(
            JobError, match=rf"^answer: a\.b\[1\] = {value}: at most 9007199254740991 in a JSON"
        ) as caught:
            write({"a": {"b": [0, value]}})
        assert caught.value.exit_code == 2
    assert [exact_or_null(one) for one in (None, value, LARGEST_INTEGER)] == [None, None, LARGEST_INTEGER]


def test_the_largest_integer_and_booleans_pass() -> None:
    assert json.loads(to_text({"a": LARGEST_INTEGER, "b": True})) == {"a": LARGEST_INTEGER, "b": True}


def test_floats_pass_on_request_but_never_infinity() -> None:
    assert to_text({"a": 0.1}, floats=True) == '{\n  "a": 0.1\n}\n'
    with pytest.raises(ValueError, match="inf"):
        to_text({"a": float("inf")}, floats=True)


@given(documents)
def test_both_forms_read_back_to_what_was_written(document: dict[str, object]) -> None:
    assert json.loads(to_text(document)) == document  # type: ignore[arg-type]
    assert json.loads(to_canonical_bytes(document)) == document  # type: ignore[arg-type]


def test_moments_are_utc_to_the_second() -> None:
    local = datetime(2031, 1, 1, 1, 30, 15, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert moment(local) == "2030-12-31T23:30:15Z"
    assert moment(None) is None


def test_numbers_round_to_the_nearest_and_unknown_becomes_null() -> None:
    assert (whole(2.6), whole(-0.4), whole(7)) == (3, 0, 7)
    assert [whole_or_null(value) for value in (None, float("nan"), float("inf"), 1.2)] == [None, None, None, 1]
    assert ppm(0.9) == 900_000
    assert interval(Estimate(low=1.4, expected=1.6, high=9.0, basis=Basis.DERIVED)) == {
        "low": 1, "expected": 2, "high": 9,
    }  # fmt: skip
    with pytest.raises(ValueError, match="inf has no place"):
        whole(float("inf"))


def test_the_largest_part_takes_up_what_rounding_left_over() -> None:
    assert parts({"a": 10.4, "b": 1.4, "c": 1.4}, 13) == {"a": 11, "b": 1, "c": 1}
    assert parts({"a": 0.25, "b": 1.5}, 1_750, scale=1_000) == {"a": 250, "b": 1_500}


def test_a_gap_that_is_no_rounding_is_left_to_be_seen() -> None:
    assert parts({"a": 10.0, "b": 1.0}, 20) == {"a": 10, "b": 1}
    assert parts({}, 0) == {}


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=8))
def test_rounded_parts_always_sum_to_the_rounded_total(values: list[float]) -> None:
    named = {f"part{position}": value for position, value in enumerate(values)}
    assert sum(parts(named, whole(sum(values))).values()) == whole(sum(values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quantity", "unit", "expected"),
    [
        (1.5, "h", (5_400, "s")),
        (2.0, "h", (7_200, "s")),
        (0.25, "GB", (250_000_000, "bytes")),
        (1.5, "GiB", (1_610_612_736, "bytes")),
        (12.7, "s", (13, "s")),
        (3.0, "jobs", (3, "jobs")),
        (0.25, "GB-month (assumed rate)", (250_000, "kB-month (assumed rate)")),
        (3.0, "GB (assumed rate)", (3_000_000_000, "bytes (assumed rate)")),
        (1.4, "usd_micro", (1, "usd_micro")),
    ],
)
def test_a_broken_quantity_is_written_in_a_smaller_unit(quantity: float, unit: str, expected: tuple[int, str]) -> None:
    assert whole_quantity(quantity, unit) == expected


def test_half_of_a_thing_that_counts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0.5 jobs"):
        whole_quantity(0.5, "jobs")
