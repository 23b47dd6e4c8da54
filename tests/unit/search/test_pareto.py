from __future__ import annotations

import numpy as np
import pytest

from optimizer.search.pareto import undominated


def brute(group, columns):
    table = np.column_stack(columns)
    kept = []
    for k in range(len(group)):
        rivals = [j for j in range(len(group)) if group[j] == group[k] and j != k]
        beaten = any((table[j] <= table[k]).all() and ((table[j] < table[k]).any() or j < k) for j in rivals)
        if not beaten:
            kept.append(k)
    return kept


def test_keeps_the_staircase_of_each_group():
    group = np.array([0, 0, 0, 1, 1])
    time = np.array([1.0, 2.0, 3.0, 5.0, 4.0])
    late = np.array([9.0, 8.0, 9.5, 1.0, 1.0])
    assert undominated(group, [time, late]).tolist() == [0, 1, 4]


def test_of_equals_the_first_stays():
    assert undominated(np.zeros(3, dtype=np.int64), [np.ones(3), np.ones(3)]).tolist() == [0]


def test_of_equals_the_one_with_the_smallest_tie_stays():
    group, same = np.zeros(3, dtype=np.int64), [np.ones(3), np.ones(3)]
    assert undominated(group, same, tie=np.array([2.0, 1.0, 1.0])).tolist() == [1]
    # The tie keeps nothing that is beaten, and drops nothing that is not.
    times = [np.array([1.0, 2.0, 1.0]), np.array([3.0, 2.0, 4.0])]
    assert undominated(group, times, tie=np.array([9.0, 0.0, 0.0])).tolist() == [0, 1]


def test_empty():
    assert undominated(np.zeros(0, dtype=np.int64), [np.zeros(0)]).size == 0


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_the_definition(seed):
    rng = np.random.default_rng(seed)
    group = np.sort(rng.integers(0, 4, 60))
    columns = [rng.integers(0, 6, 60).astype(float) for _ in range(3)]
    assert undominated(group, columns).tolist() == brute(group, columns)
