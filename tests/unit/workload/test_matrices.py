"""The matrices, cell by cell, and the levels that the search takes from them."""

from __future__ import annotations

import pytest

from optimizer.workload.job import Overheads
from optimizer.workload.matrices import (
    COMPLEXITY_ORDER,
    QUALITY_ORDER,
    WIDTHS,
    Matrices,
    complexity_rank,
    load_matrices,
    quality_rank,
)
from providers.basis import Basis

COLUMNS = ("lora", "qlora", "full", "instruction", "rlhf")
TRADEOFFS = {
    "VRAM": ("Low", "Very low", "High", "Medium", "High"),
    "Data": ("Low-Med", "Low-Med", "High", "Medium", "High"),
    "Latency": ("Low", "Low", "Lowest", "Medium", "Medium"),
    "Quality": ("Medium", "Med-High", "Highest", "High", "Highest"),
    "Complexity": ("Low", "Medium", "High", "Medium", "Very high"),
}
COSTS = {
    "OpEx": ("Low", "Very low", "High", "Mid", "Very high"),
    "Integration": ("Low", "Mid", "High", "Mid", "Very high"),
    "Maintenance": ("Low", "Low", "High", "Mid", "High"),
    "Exit cost": ("Low", "Low", "High", "Mid", "High"),
}


@pytest.fixture(scope="module")
def matrices() -> Matrices:
    return load_matrices()


def test_columns_are_the_documents_five_in_its_order(matrices: Matrices) -> None:
    assert matrices.methods == COLUMNS
    assert [matrices.titles[column] for column in COLUMNS] == ["LoRA", "QLoRA", "Full FT", "Instruction", "RLHF"]


@pytest.mark.parametrize(("key", "expected"), [("tradeoffs", TRADEOFFS), ("costs", COSTS)])
def test_every_cell_is_the_documents(matrices: Matrices, key: str, expected: dict[str, tuple[str, ...]]) -> None:
    matrix = getattr(matrices, key)
    assert {row.name: tuple(row.cells[column] for column in COLUMNS) for row in matrix.rows} == expected
    assert list(expected) == [row.name for row in matrix.rows]


def test_every_word_has_a_place_on_the_scale_and_mid_is_medium(matrices: Matrices) -> None:
    words = {
        word for matrix in (matrices.tradeoffs, matrices.costs) for row in matrix.rows for word in row.cells.values()
    }
    assert words <= set(matrices.levels)
    ordered = ["Lowest", "Very low", "Low", "Low-Med", "Medium", "Med-High", "High", "Very high", "Highest"]
    assert [matrices.levels[word] for word in ordered] == list(range(9))
    assert matrices.levels["Mid"] == matrices.levels["Medium"]


def test_cell_level_and_direction(matrices: Matrices) -> None:
    assert matrices.level(matrices.tradeoffs, "VRAM", "qlora") == 1
    assert matrices.level(matrices.costs, "OpEx", "rlhf") == 7
    directions = {row.name: row.better for row in (*matrices.tradeoffs.rows, *matrices.costs.rows)}
    assert {name for name, better in directions.items() if better == "higher"} == {"Quality"}
    assert set(directions.values()) == {"higher", "lower"}
    with pytest.raises(KeyError):
        matrices.tradeoffs.cell("OpEx", "lora")


@pytest.mark.parametrize(
    ("method", "bits", "quality", "complexity", "basis"),
    [
        ("full", 16, "highest", "high", Basis.PUBLISHED),
        ("lora", 16, "medium", "low", Basis.PUBLISHED),
        ("lora", 8, "medium", "low", Basis.PUBLISHED),
        ("lora", 4, "med-high", "medium", Basis.PUBLISHED),
        ("qlora", 4, "med-high", "medium", Basis.PUBLISHED),
        ("dora", 16, "medium", "low", Basis.ASSUMED),
        ("dora", 8, "medium", "low", Basis.ASSUMED),
        ("dora", 4, "med-high", "medium", Basis.ASSUMED),
        ("rslora", 16, "medium", "low", Basis.ASSUMED),
        ("rslora", 8, "medium", "low", Basis.ASSUMED),
        ("rslora", 4, "med-high", "medium", Basis.ASSUMED),
    ],
)
def test_levels_of_methods(
    matrices: Matrices, method: str, bits: int, quality: str, complexity: str, basis: Basis
) -> None:
    assert matrices.quality(method, bits) == quality
    assert matrices.complexity(method, bits) == complexity
    assert matrices.basis(method, bits) is basis


@pytest.mark.parametrize(("method", "bits"), [("qlora", 16), ("lora", 5), ("prefix", 16), ("", 4)])
def test_unknown_method_or_width_is_an_error_and_no_level(matrices: Matrices, method: str, bits: int) -> None:
    with pytest.raises(ValueError, match=r"qlora is|has no column"):
        matrices.quality(method, bits)


@pytest.mark.parametrize(
    ("objective", "column", "quality", "complexity", "basis"),
    [
        ("sft", "instruction", "high", "medium", Basis.PUBLISHED),
        ("dpo", "rlhf", "highest", "very-high", Basis.ASSUMED),
        ("ppo", "rlhf", "highest", "very-high", Basis.PUBLISHED),
    ],
)
def test_cells_of_objectives(
    matrices: Matrices, objective: str, column: str, quality: str, complexity: str, basis: Basis
) -> None:
    cells = matrices.objective(objective)
    assert (cells.column, cells.quality, cells.complexity, cells.basis) == (column, quality, complexity, basis)


def test_unknown_objective_is_an_error(matrices: Matrices) -> None:
    with pytest.raises(ValueError, match="none of sft, dpo, ppo"):
        matrices.objective("kto")


def test_ranks_follow_the_orders_that_the_flags_accept() -> None:
    assert QUALITY_ORDER == ("low", "medium", "med-high", "high", "highest")
    assert COMPLEXITY_ORDER == ("low", "medium", "high", "very-high")
    assert [quality_rank(level) for level in QUALITY_ORDER] == [0, 1, 2, 3, 4]
    assert [complexity_rank(level) for level in COMPLEXITY_ORDER] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="quality 'best' is none of low"):
        quality_rank("best")
    with pytest.raises(ValueError, match="complexity 'highest' is none of low"):
        complexity_rank("highest")


def test_every_level_that_a_method_or_objective_gets_can_be_ranked(matrices: Matrices) -> None:
    for method in ("full", "lora", "dora", "rslora"):
        for bits in WIDTHS:
            assert matrices.quality(method, bits) in QUALITY_ORDER
            assert matrices.complexity(method, bits) in COMPLEXITY_ORDER
    for objective in matrices.objective_columns:
        assert matrices.objective(objective).quality in QUALITY_ORDER
        assert matrices.objective(objective).complexity in COMPLEXITY_ORDER


def test_rules_are_grouped_and_hidden_costs_are_fields_of_the_job(matrices: Matrices) -> None:
    assert [len(matrices.rules_of(kind)) for kind in ("quantization", "sizing", "lever", "driver")] == [3, 2, 3, 5]
    assert sum(map(len, (matrices.rules_of(kind) for kind in ("quantization", "sizing", "lever", "driver")))) == len(
        matrices.rules
    )
    fields = set(Overheads.__dataclass_fields__)
    assert [cost.key for cost in matrices.hidden_costs] == [
        "labelling_usd",
        "preference_usd",
        "evaluation_usd",
        "oncall_usd",
    ]
    for cost in matrices.hidden_costs:
        assert cost.key in fields
        assert cost.flag == "--" + cost.key.replace("_", "-")
