"""Predicted against published tokens/s: prints the error tables (-s), fails when a source gets worse.

Rows: `optimizer/measure/data/speed_runs.csv`, each with its publication. "fitted" judges a row by the shipped
constants, which were fitted to it among others; "left out" by constants fitted anew without its source (or source and
family of models, where no other source has the stack), from priors that come from counting. The goals are those of
left-out rows: the median over the sources, so that no large, regular source carries a figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from optimizer.measure.error_tables import alone_with_their_stack, judged_left_out, judged_unseen
from optimizer.measure.speed_fit import Judged, measured_speeds, predicted, tabulate_runs
from optimizer.measure.speed_table import PublishedSpeed, load_speed_table
from optimizer.physics.speed_constants import load_speed_constants

if TYPE_CHECKING:
    from collections.abc import Iterator

# Highest median and 90th-percentile absolute error of the left-out rows, least and highest share of them inside their
# 80 % interval. Some sources have so few rows that a share says little.
LIMITS = {
    "colossal-ai": (0.12, 0.15, 0.5, 1.0),
    "fms-acceleration": (0.10, 0.22, 0.70, 0.97),
    "fsdp-qlora": (0.26, 0.35, 0.65, 0.95),
    "llama-factory": (0.30, 0.45, 0.40, 1.0),
    "llm-foundry": (0.07, 0.14, 0.75, 0.98),
    "megatron-bridge": (0.14, 0.22, 0.70, 1.0),
    "nemo": (0.12, 0.20, 0.70, 1.0),
    "qwen1": (0.14, 0.35, 0.70, 0.95),
    "torchtitan": (0.18, 0.25, 0.60, 1.0),
    "torchtune": (0.12, 0.27, 0.70, 0.95),
    "xtuner": (0.28, 0.45, 0.50, 1.0),
}
ONE_SOURCE = {"llm-foundry", "torchtitan", "torchtune"}
"""Sources whose stack no other source has: with the source left out whole, the stack is unseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The rows and how they are predicted: fitted, left out, and with a whole stack unseen."""

    table: tuple[PublishedSpeed, ...]
    fitted: Judged
    left_out: Judged
    unseen: Judged

    def where(self, name: str) -> np.ndarray:
        return np.array([row.run.group == name for row in self.table])

    @property
    def used(self) -> np.ndarray:
        return np.array([not row.unfitted for row in self.table])

    @property
    def gpus(self) -> np.ndarray:
        return np.array([row.run.gpus for row in self.table])

    @property
    def several_nodes(self) -> np.ndarray:
        return np.array([row.run.nodes > 1 for row in self.table])


@pytest.fixture(scope="module")
def board() -> Board:
    table, constants = load_speed_table(), load_speed_constants()
    runs = [row.run for row in table]
    return Board(
        table=table,
        fitted=predicted(tabulate_runs(runs), measured_speeds(runs), constants),
        # The tables of the documents are made of the same fits: where both are tested, they are fitted once.
        left_out=judged_left_out(),
        unseen=judged_unseen(),
    )


def slices(board: Board) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the lines of the error table: sources by number of GPUs, methods, numbers of GPUs."""
    one, many = board.gpus == 1, board.several_nodes | (board.gpus > 8)
    sizes = (("1 GPU", one), ("2 to 8", ~one & ~many), ("more", many))
    for source in sorted(LIMITS):
        for name, chosen in sizes:
            yield f"{source}, {name}", board.where(source) & chosen & board.used
    method = np.array([f"{row.run.recipe.tuning}{row.run.recipe.bits}" for row in board.table])
    for source in sorted(LIMITS):
        for name in sorted(set(method[board.where(source)])):
            yield f"{source} {name}", board.where(source) & (method == name) & board.used
    for name in sorted(set(method)):
        yield f"all {name}", (method == name) & board.used
    for name, chosen in sizes:
        yield f"all {name}", chosen & board.used
    yield "kept out of the fit", ~board.used


def columns(judged: Judged, chosen: np.ndarray) -> str:
    relative = judged.relative[chosen]
    if np.isnan(relative).any():
        return ""
    absolute = np.abs(relative)
    return (
        f" |{np.median(absolute):>7.1%}{np.quantile(absolute, 0.9):>7.1%}{np.median(relative):>+7.1%}"
        f"{relative.max():>+6.0%}{relative.min():>+6.0%}{judged.inside[chosen].mean():>6.0%}"
    )


def test_error_table(board: Board) -> None:
    heads = "".join(f" | {name:<38}" for name in ("fitted", "left out", "whole stack unseen"))
    print(f"\n{'tokens/s':<30}rows{heads}")
    print(f"{'':<34}" + " | median    p90   bias worst faster   in" * 3)
    for name, chosen in slices(board):
        if chosen.any():
            parts = (columns(judged, chosen) for judged in (board.fitted, board.left_out, board.unseen))
            print(f"{name:<30}{chosen.sum():>4}{''.join(parts)}")
    print("worst: slowest published run over its prediction (predicted too fast); faster: the other way")
    assert len(board.table) >= 250


@pytest.mark.parametrize("source", LIMITS)
def test_no_source_gets_worse(board: Board, source: str) -> None:
    median, high, least, most = LIMITS[source]
    chosen = board.where(source) & board.used
    absolute = np.abs(board.left_out.relative[chosen])
    assert np.median(absolute) <= median
    assert np.quantile(absolute, 0.9) <= high
    assert least <= board.left_out.inside[chosen].mean() <= most


def test_intervals_hold_about_80_in_100_over_all_sources(board: Board) -> None:
    """Pooled and on the mean over the sources; the goal for each is 70 to 92 %, which not every source keeps."""
    shares = [board.left_out.inside[board.where(source) & board.used].mean() for source in LIMITS]
    pooled, mean = board.left_out.inside[board.used].mean(), float(np.mean(shares))
    print(f"\ntokens/s left out, in the 80 % interval: {pooled:.0%} of rows, {mean:.0%} on the mean over sources")
    assert 0.75 <= pooled <= 0.94
    assert 0.70 <= mean <= 0.92


def test_every_source_has_a_limit(board: Board) -> None:
    assert {row.run.group for row in board.table} == set(LIMITS)


def median_over_sources(board: Board, chosen: np.ndarray, judged: Judged) -> tuple[float, float]:
    """Return the medians over the sources of their median and of their 90th-percentile absolute error."""
    sources = [np.abs(judged.relative[chosen & board.where(name)]) for name in LIMITS]
    filled = [errors for errors in sources if errors.size]
    return (
        float(np.median([np.median(errors) for errors in filled])),
        float(np.median([np.quantile(errors, 0.9) for errors in filled])),
    )


def test_left_out_sources_stay_within_the_goals(board: Board) -> None:
    # without the rows kept out of the fit, and with them
    for rows in (board.used, np.ones(len(board.table), dtype=np.bool_)):
        one, node = rows & (board.gpus == 1), rows & (board.gpus > 1) & (board.gpus <= 8) & ~board.several_nodes
        for chosen, median, high in ((one, 0.12, 0.30), (node, 0.18, 0.40)):
            found = median_over_sources(board, chosen, board.left_out)
            print(f"\nmedian over left-out sources: median {found[0]:.1%} p90 {found[1]:.1%}")
            assert found[0] <= median
            assert found[1] <= high


def test_intervals_are_no_wider_than_the_goal_where_the_stack_is_known(board: Board) -> None:
    within = (board.fitted.low >= 0.65) & (board.fitted.high <= 1.45)
    print(f"\ninside -35/+45 %: {within.mean():.1%} of the rows; widest {board.fitted.high.max() - 1:+.0%}")
    assert within.all()


def test_a_stack_that_no_row_was_seen_of_is_still_predicted(board: Board) -> None:
    assert alone_with_their_stack() >= ONE_SOURCE
    for source in sorted(ONE_SOURCE):
        absolute = np.abs(board.unseen.relative[board.where(source) & board.used])
        assert np.median(absolute) <= 0.20
        assert np.quantile(absolute, 0.9) <= 0.40
