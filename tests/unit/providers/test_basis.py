"""Bases and three-point estimates."""

from __future__ import annotations

import pytest

from providers.basis import Basis, Estimate, weakest


def test_a_combination_takes_the_weakest() -> None:
    assert weakest([Basis.MEASURED, Basis.DERIVED, Basis.PUBLISHED]) is Basis.DERIVED
    assert weakest([Basis.MEASURED]) is Basis.MEASURED
    assert [basis.rank for basis in (Basis.MEASURED, Basis.PUBLISHED, Basis.DERIVED, Basis.ASSUMED)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="empty"):
        weakest([])


def test_an_estimate_is_in_order() -> None:
    assert Estimate(low=1, expected=2, high=3, basis=Basis.DERIVED).expected == 2
    for low, expected, high in ((2, 1, 3), (1, 4, 3), (1, float("nan"), 3)):
        with pytest.raises(ValueError, match="out of order"):
            Estimate(low=low, expected=expected, high=high, basis=Basis.DERIVED)
