from __future__ import annotations

from decimal import Decimal

import pytest

from providers.errors import LONGEST_SAMPLE, ResponseChanged
from providers.payload import Fields, RowProblem, clean_name, decode_json, exact_number, price_nano, rows_of, sample_of


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def reason_of(value: object) -> str:
    with pytest.raises(RowProblem) as caught:
        price_nano(value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("value", "nano"),
    [
        (3, 3_000_000_000),
        (Decimal("3.673385"), 3_673_385_000),
        ("0.031611", 31_611_000),
        (" 2.5 ", 2_500_000_000),
        ("1e-3", 1_000_000),
        ("+1", 1_000_000_000),
        (1_000_000, 10**15),
        # Half to even beyond a billionth, decided on all digits.
        (Decimal("0.0000000025"), 2),
        (Decimal("0.0000000035"), 4),
        (Decimal("0.0000000025" + "0" * 100 + "1"), 3),
        (Decimal("123456.7890123445"), 123_456_789_012_344),
    ],
)
def test_prices_are_exact(value: object, nano: int) -> None:
    assert price_nano(value) == nano


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no_price"), ("", "no_price"), ("  ", "no_price"),
        (0, "zero_price"), ("0.00", "zero_price"), (Decimal("-0.0"), "zero_price"), (Decimal("0E-99"), "zero_price"),
        (Decimal("0.0000000004"), "zero_price"), ("1e-40", "zero_price"),
        (-1, "negative_price"), ("-0.5", "negative_price"),
        (Decimal("1000000.01"), "bad_price"), (10**400, "bad_price"), pytest.param(10**5000, "bad_price", id="endless"),
        (Decimal("1E+999999"), "bad_price"), (Decimal("1E-999999"), "bad_price"),
        (Decimal("NaN"), "bad_price"), (Decimal("sNaN"), "bad_price"), (Decimal("-Infinity"), "bad_price"),
        (1.5, "bad_price"), (True, "bad_price"), (False, "bad_price"), ([1], "bad_price"), ({}, "bad_price"),
        ("$3", "bad_price"), ("1,5", "bad_price"), ("1_000", "bad_price"), ("NaN", "bad_price"), ("٣", "bad_price"),
        ("0x10", "bad_price"), ("1" * 5000, "bad_price"), ("1e9999", "bad_price"), ("Infinity", "bad_price"),
    ],
)  # fmt: skip
def test_what_is_no_price_says_why(value: object, reason: str) -> None:
    assert reason_of(value) == reason


def test_a_number_is_not_rounded() -> None:
    long = Decimal("0." + "3" * 300)
    assert exact_number(long) is long
    assert exact_number(10**40) == Decimal(10) ** 40


def test_texts() -> None:
    row = Fields(
        {"a": " p5  48xl \n", "blank": " \t", "zero width": "\u200b", "nul": "\x00", "n": 3, "none": None, "e": ""}
    )
    assert row.text("a") == "p5 48xl"
    assert row.text_or_none("a") == "p5 48xl"
    assert row.text_or_none("none") is row.text_or_none("gone") is row.text_or_none("e") is None
    assert row.text_or_none("blank") is row.text_or_none("zero width") is None
    for key in ("blank", "zero width", "nul", "n", "none", "gone", "e"):
        with pytest.raises(RowProblem, match="not a text") as caught:
            row.text(key)
        assert caught.value.reason == "bad_row"
    with pytest.raises(RowProblem):
        row.text_or_none("n")


@pytest.mark.parametrize("value", [8, Decimal(8), Decimal("8.000"), Decimal("8E0")])
def test_whole_numbers(value: object) -> None:
    found = Fields({"n": value}).whole("n")
    assert found == 8
    assert type(found) is int


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, "8", 8.0, -1, 10**9 + 1, Decimal("8.5"), Decimal("NaN"), Decimal("Infinity"), [],
        pytest.param(10**5000, id="endless"),
        # Made into an int, this one alone would take a gigabyte.
        Decimal("1E+999999999"), Decimal("1E-999999999"),
    ],
)  # fmt: skip
def test_what_is_no_whole_number(value: object) -> None:
    row = Fields({"n": value})
    with pytest.raises(RowProblem, match=r"n is .*, not a whole number from 0 to 1000000000"):
        row.whole("n")
    if value is None:
        assert row.whole_or_none("n") is None
    else:
        with pytest.raises(RowProblem):
            row.whole_or_none("n")


def test_whole_numbers_have_limits() -> None:
    row = Fields({"n": 5})
    assert row.whole("n", low=5, high=5) == 5
    for low, high in ((6, 9), (1, 4)):
        with pytest.raises(RowProblem, match=f"from {low} to {high}"):
            row.whole("n", low=low, high=high)


def test_objects_and_lists_within() -> None:
    row = Fields({"o": {"p": "1.5"}, "l": [1], "s": "x"})
    assert row.fields("o").price_nano("p") == 1_500_000_000
    assert row.fields("o").number("p") == Decimal("1.5")
    assert row.items("l") == [1]
    assert row.get("s") == "x"
    assert row.get("gone") is None
    with pytest.raises(RowProblem, match="s is str 'x', not an object"):
        row.fields("s")
    with pytest.raises(RowProblem, match="gone is missing, not an object"):
        row.fields("gone")
    with pytest.raises(RowProblem, match=r"o is dict .*, not a list"):
        row.items("o")
    for value in (None, [], "x", 3):
        with pytest.raises(RowProblem, match=r"row is .*, not an object"):
            Fields(value)


def test_a_problem_becomes_a_dropped_row_that_can_be_shown() -> None:
    dropped = RowProblem("bad_row", "a\nb" * 500).dropped(" type\x1b[31m\n ")
    assert dropped.reason == "bad_row"
    assert dropped.item == "type [31m"
    assert "\n" not in dropped.detail
    assert len(dropped.detail) <= 200
    with pytest.raises(ValueError, match="reason 'whim' is none of"):
        RowProblem("whim").dropped("x")


def test_rows_stand_where_they_are_looked_for() -> None:
    answer = {"data": {"gpuTypes": [1, 2]}}
    assert rows_of(answer, "data", "gpuTypes", source="nimbus") == [1, 2]
    assert rows_of([3], source="nimbus") == [3]
    for wrong in ({}, {"data": None}, {"data": []}, {"data": {}}, [], None, "x", {"data": "gpuTypes"}):
        with pytest.raises(ResponseChanged, match=r"^nimbus: the answer has no data\.gpuTypes$"):
            rows_of(wrong, "data", "gpuTypes", source="nimbus")
    with pytest.raises(ResponseChanged, match=r"^nimbus: data is dict .*, not a list$") as caught:
        rows_of(answer, "data", source="nimbus")
    assert "gpuTypes" in caught.value.sample
    with pytest.raises(ResponseChanged, match=r"^nimbus: the answer is missing, not a list$"):
        rows_of(None, source="nimbus")


def test_nesting_without_end_is_shown_and_not_an_end_of_the_program() -> None:
    for deep in (nested(100_000), {"data": nested(100_000)}):
        with pytest.raises(ResponseChanged):
            rows_of(deep, "data", "rows", source="nimbus")
        with pytest.raises(RowProblem):
            Fields({"n": deep}).whole("n")
        assert len(sample_of(deep)) <= LONGEST_SAMPLE
    _unnest(deep)


def _unnest(value: object) -> None:
    """Take a deep list apart from the outside: letting go of it whole is recursive too in some versions."""
    while isinstance(value, (list, dict)):
        value = (value.popitem()[1] if isinstance(value, dict) else value.pop()) if value else None


def test_a_sample_is_bounded_and_shows_what_matters() -> None:
    sample = sample_of({"Items": [{"skuName": "x" * 10_000, "price": 10**5000} for _ in range(1_000)]})
    assert sample.startswith("{'Items': [{'price': <16610 bits>, 'skuName': 'xxx")
    assert len(sample) <= LONGEST_SAMPLE


def test_names_are_printable_and_bounded() -> None:
    assert clean_name("  a\t\n b\x00c\u202e\ud800 ") == "a b c"
    assert clean_name("") == ""
    assert len(clean_name("x" * 10_000_000)) == 200
    assert clean_name("x" * 199 + " y") == "x" * 199
    assert clean_name("é漢") == "é漢"


def test_json_is_decoded_exactly() -> None:
    assert decode_json('{"a": [1, 2.50, null, true]}') == {"a": [1, Decimal("2.50"), None, True]}
    assert decode_json(b'\xef\xbb\xbf"\xc3\xa9"') == "é"
    assert str(decode_json("0.10")) == "0.10"
    assert decode_json("[" + "1" * 400 + "]") == [int("1" * 400)]
    wrong = ("NaN", "[Infinity]", "1" * 401, "0." + "1" * 400, "1e401", "1e-401", "1E99999999999999999999", "{", "")
    for text in wrong:
        with pytest.raises(ValueError):  # noqa: PT011 - the words are those of the decoder
            decode_json(text)
    with pytest.raises(ValueError, match="nested too deeply"):
        decode_json("[" * 100_000)
