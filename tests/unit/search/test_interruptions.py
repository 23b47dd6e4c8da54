from __future__ import annotations

import math

import numpy as np
import pytest

from optimizer.search.interruptions import stretch, young_interval_s


def test_no_interruptions_no_stretch():
    assert stretch(rate_per_hour=0.0, segment_s=np.array([1800.0]), restart_s=np.array([600.0])) == [1.0]


def test_closed_form_by_hand():
    # one an hour, segments of half an hour, restarts of 6 minutes: e^0.1 (e^0.5 - 1) / 0.5
    got = stretch(rate_per_hour=1.0, segment_s=np.array([1800.0]), restart_s=np.array([360.0]))[0]
    assert got == pytest.approx(math.exp(0.1) * (math.exp(0.5) - 1.0) / 0.5, rel=1e-12)


def test_grows_with_rate_segment_and_restart():
    def at(rate, segment, restart):
        return stretch(rate_per_hour=rate, segment_s=np.array([segment]), restart_s=np.array([restart]))[0]

    base = at(0.1, 1800.0, 600.0)
    assert 1.0 < base < min(at(0.2, 1800.0, 600.0), at(0.1, 3600.0, 600.0), at(0.1, 1800.0, 1200.0))


def test_against_simulation():
    rng = np.random.default_rng(3)
    rate, segment, restart = 0.5, 1800.0, 900.0
    total = []
    for _ in range(4000):
        spent = 0.0
        while True:
            up = rng.exponential(3600.0 / rate)
            if up >= segment:
                spent += segment
                break
            spent += up
            # Daly's restart can be interrupted as well, and starts over then.
            while (again := rng.exponential(3600.0 / rate)) < restart:
                spent += again
            spent += restart
        total.append(spent)
    closed = stretch(rate_per_hour=rate, segment_s=np.array([segment]), restart_s=np.array([restart]))[0]
    assert closed == pytest.approx(np.mean(total) / segment, rel=0.02)


def test_stays_finite_where_a_run_never_ends():
    assert np.isfinite(stretch(rate_per_hour=500.0, segment_s=np.array([1e6]), restart_s=np.array([1e6])))[0]


def test_young():
    assert young_interval_s(checkpoint_s=30.0, rate_per_hour=0.1) == pytest.approx(math.sqrt(2 * 30 * 36000))
