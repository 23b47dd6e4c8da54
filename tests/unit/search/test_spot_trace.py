"""Windows of one zone joined: where they overlap, touch, or lie apart."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import numpy as np

from optimizer.search.spot.trace import Window, stitched

BEGIN = datetime(2031, 5, 1, tzinfo=UTC)


def window(flags: str, *, after_s: float, price: float = 1e6) -> Window:
    return Window(
        start=BEGIN + timedelta(seconds=after_s),
        step_s=600.0,
        available=np.array([one == "1" for one in flags]),
        spot_micro_per_h=np.full(len(flags), price),
    )


def test_windows_that_overlap_or_touch_are_joined_and_the_later_one_holds() -> None:
    (joined,) = stitched(
        [window("1111", after_s=1200, price=2e6), window("0000", after_s=0), window("0", after_s=3600)]
    )
    assert joined.available.tolist() == [False, False, True, True, True, True, False]
    assert joined.start == BEGIN
    assert joined.spot_micro_per_h is not None
    assert joined.spot_micro_per_h.tolist() == [1e6, 1e6, 2e6, 2e6, 2e6, 2e6, 1e6]


def test_a_window_half_a_step_late_leaves_no_hole() -> None:
    for samples in (3, 4):
        found = stitched([window("1" * samples, after_s=0), window("11", after_s=600 * samples + 300)])
        for one in found:
            assert one.available.all()
            assert one.spot_micro_per_h is not None
            assert np.isfinite(one.spot_micro_per_h).all()
        assert sum(one.available.shape[0] for one in found) == samples + 2


def test_thousands_of_windows_are_joined_at_once() -> None:
    windows = [window("10", after_s=1200 * at) for at in range(4000)]
    began = time.process_time()
    (joined,) = stitched(windows)
    assert joined.available.shape == (8000,)
    # Every window against every other took seconds.
    assert time.process_time() - began < 1.0
