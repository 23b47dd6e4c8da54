from __future__ import annotations

import pytest

from optimizer.search.wording import age, age_of_at_least, at_least, compared, counted, dollars_of, span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5.4, "5s"), (3599.0, "59m59s"), (5416.0, "1h30m"), (182 * 86400 + 54644.0, "182d15h"), (86400.0, "1d")],
)
def test_span_keeps_no_more_digits_than_a_person_reads(seconds, said):
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(182 * 86400 + 54644.0, "183 days"), (2 * 86400.0, "2 days"), (86400.0, "1d"), (5416.0, "1h30m"), (-3.0, "0s")],
)
def test_ages_are_told_in_days(seconds, said):
    assert age(seconds) == said


def test_what_must_suffice_is_rounded_up():
    assert [age_of_at_least(seconds) for seconds in (18_000.0, 182.2 * 86400)] == ["5h", "183 days"]
    assert [dollars_of(micro) for micro in (520_001.0, 520_000.0)] == ["$0.53", "$0.52"]


def test_counts_agree_with_their_words():
    assert counted(1, "offer matches", "offers match") == "1 offer matches"
    assert counted(1919, "offer matches", "offers match") == "1,919 offers match"


def test_a_span_that_must_suffice_is_rounded_up():
    assert at_least(1694.2) == "29m"
    assert at_least(3600.0) == "1h"


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (1_004_000, "$1.00, 0.4 % more"),
        (1_100_000, "$1.10, 10 % more"),
        (2_990_000, "$2.99, 199 % more"),
        (51_600_000, "$51.60, 51.6 times as much"),
    ],
)
def test_compared(cost, said):
    assert compared(cost, 1_000_000) == said


def test_nothing_is_a_multiple_of_a_free_machine():
    assert compared(2_000_000, 0) == "$2.00"
