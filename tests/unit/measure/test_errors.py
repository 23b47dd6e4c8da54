"""The statistics of the error tables, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.measure.errors import HEAD, Compared, errors, line, over_sources

ROWS = Compared(
    measured=np.array([100.0, 100.0, 100.0, 100.0, 10.0]),
    low=np.array([90.0, 70.0, 99.0, 105.0, 9.0]),
    expected=np.array([100.0, 80.0, 110.0, 120.0, 10.0]),
    high=np.array([110.0, 90.0, 120.0, 130.0, 11.0]),
    group=["a", "a", "a", "a", "b"],
)


def test_statistics_by_hand() -> None:
    found = errors(ROWS.by_group()["a"])
    assert found.count == 4
    assert found.median == pytest.approx(0.15)
    assert found.p90 == pytest.approx(0.2)
    assert found.bias == pytest.approx(0.05)
    assert (found.worst_under, found.worst_over) == (pytest.approx(-0.2), pytest.approx(0.2))
    assert found.coverage == 0.5
    assert found.far_under == 0.25


def test_a_small_source_counts_as_much_as_a_large_one() -> None:
    median, p90 = over_sources(ROWS.by_group())
    assert median == pytest.approx(0.075)
    assert p90 == pytest.approx(0.1)


def test_lines_stand_below_their_heads() -> None:
    text = line("a", errors(ROWS.by_group()["a"]))
    assert text.split()[:2] == ["a", "4"]
    assert text.index("50%") + 3 == HEAD.index("in 80%") + len("in 80%")


def test_no_rows_have_no_statistics() -> None:
    with pytest.raises(ValueError, match="no rows"):
        errors(ROWS.of(np.zeros(5, dtype=bool)))
