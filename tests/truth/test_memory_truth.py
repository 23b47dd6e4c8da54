"""Memory predicted against published runs: prints the error table (pytest -s) and fails when an error grows.

The rows are the project's own table (`optimizer/measure/data/memory_runs.csv`). Beside the errors as shipped stand
those with each source left out of the fit in turn: its own rows then say nothing of its constants. The form of the
model and the priors were chosen with all rows in sight, so that even these flatter (`docs/memory-model.md`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from optimizer.measure.error_tables import memory_without
from optimizer.measure.errors import HEAD, Compared, errors, line, over_sources
from optimizer.measure.memory_errors import compared_memory, required_bytes
from optimizer.measure.memory_fit import PARAMETERS, failed
from optimizer.measure.memory_table import PublishedMemory, load_memory_table
from optimizer.physics.memory_constants import load_memory_constants

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = load_memory_table()
KNOWN = tuple(row for row in TABLE if not row.unfitted or "unit" in row.unfitted)
"""Rows whose recipe is known. An unknown unit keeps a source out of the fit, not out of the table."""

FITTED = sorted({row.run.group for row in TABLE if not row.unfitted and row.run.status == "ok"})


@pytest.fixture(scope="module")
def left_out() -> dict[str, tuple[Compared, list[str], np.ndarray]]:
    """Each source predicted with constants that were fitted to the others: those of the tables in the documents."""
    shipped = load_memory_constants()
    groups = sorted({row.run.group for row in KNOWN if row.run.readings.device_bytes or has_torch_reading(row)})
    return {
        group: compared_memory(
            [row for row in KNOWN if row.run.group == group],
            memory_without(group, PARAMETERS) if group in FITTED else shipped,
        )
        for group in groups
    }


def has_torch_reading(row: PublishedMemory) -> bool:
    read = row.run.readings
    return any(value is not None for value in (read.load_peak_bytes, read.allocated_bytes, read.reserved_bytes))


def pooled(
    found: dict[str, tuple[Compared, list[str], np.ndarray]], keep: Callable[[str, bool], bool]
) -> dict[str, Compared]:
    chosen = {
        group: rows.of(np.array([keep(name, bool(many)) for name, many in zip(names, several, strict=True)]))
        for group, (rows, names, several) in found.items()
    }
    return {group: rows for group, rows in chosen.items() if len(rows.measured)}


def test_print_the_error_table(left_out: dict[str, tuple[Compared, list[str], np.ndarray]]) -> None:
    shipped = load_memory_constants()
    for title, found in (
        ("as shipped", {g: compared_memory([row for row in KNOWN if row.run.group == g], shipped) for g in left_out}),
        ("the source left out of the fit", left_out),
    ):
        print(f"\nmemory, {title}\n{HEAD}")
        for group, (rows, names, several) in found.items():
            for name in sorted(set(names)):
                for many in (False, True):
                    chosen = rows.of((np.array(names) == name) & (several == many))
                    if len(chosen.measured):
                        print(line(f"{group} {name} {'2+' if many else '1'}", errors(chosen)))
    print(f"\nmemory by source and method, as shipped\n{HEAD}")
    kinds = [(row.run.group, f"{row.run.recipe.method}-{row.run.recipe.bits}") for row in KNOWN]
    for group, method in sorted(set(kinds)):
        chosen = [row for row, kind in zip(KNOWN, kinds, strict=True) if kind == (group, method)]
        rows, _, _ = compared_memory(chosen, shipped)
        if len(rows.measured):
            print(line(f"{group} {method}", errors(rows)))
    assert sum(len(rows.measured) for rows, _, _ in left_out.values()) > 250


def test_allocated_memory_on_one_gpu(left_out: dict[str, tuple[Compared, list[str], np.ndarray]]) -> None:
    rows = pooled(left_out, lambda name, many: name == "allocated" and not many)
    median, p90 = over_sources(rows)
    assert median <= 0.03
    assert p90 <= 0.10


def test_memory_on_one_gpu(left_out: dict[str, tuple[Compared, list[str], np.ndarray]]) -> None:
    rows = pooled(left_out, lambda _, many: not many)
    median, p90 = over_sources(rows)
    assert median <= 0.06
    assert p90 <= 0.18
    # Under-prediction beyond 15 %: the goal is 3 % of the rows. Qwen's readings (unknown unit, two GB more than can be
    # counted) and santacoder's under autocast (an old architecture) are more than that by themselves.
    under = {group: errors(found).far_under for group, found in rows.items()}
    assert under.pop("qwen1") <= 0.30
    assert under.pop("fms-acceleration") <= 0.05
    assert max(under.values()) < 0.03


def test_memory_on_two_to_eight_gpus(left_out: dict[str, tuple[Compared, list[str], np.ndarray]]) -> None:
    median, p90 = over_sources(pooled(left_out, lambda _, many: many))
    assert median <= 0.08
    assert p90 <= 0.20


def test_intervals_hold_for_sources_left_out(left_out: dict[str, tuple[Compared, list[str], np.ndarray]]) -> None:
    for group, (rows, _, _) in left_out.items():
        found = errors(rows)
        # Five rounded readings and twelve of one model cannot cover 70 to 92 % of anything.
        if found.count >= 15:
            assert 0.60 <= found.coverage <= 0.96, group
        assert found.down >= -0.20, group
        assert found.up <= 0.25, group


def test_intervals_hold_about_80_in_100_over_all_sources(
    left_out: dict[str, tuple[Compared, list[str], np.ndarray]],
) -> None:
    """Pooled and on the mean over the sources; the goal for each is 70 to 92 %, which not every source keeps."""
    found = [errors(rows) for rows, _, _ in left_out.values()]
    pooled_share = sum(one.coverage * one.count for one in found) / sum(one.count for one in found)
    mean = float(np.mean([one.coverage for one in found]))
    print(f"\nmemory left out, in the 80 % interval: {pooled_share:.0%} of rows, {mean:.0%} on the mean over sources")
    assert 0.75 <= pooled_share <= 0.93
    assert 0.70 <= mean <= 0.93


def test_the_table_names_every_row_and_its_source() -> None:
    assert len(TABLE) >= 250
    assert all(row.run.source and row.run.made_at and row.run.group for row in TABLE)


def test_no_run_that_ran_out_of_memory_fits_at_the_high_end() -> None:
    runs = [row.run for row in TABLE]
    _, high, usable = required_bytes(runs, load_memory_constants())
    out = failed(runs)
    assert out.sum() >= 30
    assert (high[out] > usable[out]).all()


def test_runs_that_completed_fit_at_the_expected_value() -> None:
    runs = [row.run for row in TABLE if row.run.gpu is not None]
    expected, high, usable = required_bytes(runs, load_memory_constants())
    fits, out = expected <= usable, failed(runs)
    print(f"\n{'fits or not':24}{'rows':>6}{'said to fit, expected':>24}{'at the high end':>18}")
    for name, mask in (("completed", ~out), ("ran out of memory", out)):
        print(f"{name:24}{mask.sum():6d}{fits[mask].sum():24d}{(high <= usable)[mask].sum():18d}")
    assert fits[~out].mean() >= 0.98
    assert (fits != out).mean() >= 0.95


def test_runs_tuned_to_the_largest_batch_that_fits_nearly_fill_the_card() -> None:
    """llm-foundry publishes no reading, but its batches were chosen to fill the card: too little is as wrong."""
    runs = [row.run for row in TABLE if row.run.group == "llm-foundry"]
    expected, _, usable = required_bytes(runs, load_memory_constants())
    assert len(runs) >= 30
    assert (expected <= usable).all()
    assert np.median(expected / usable) >= 0.75
