"""The index of the founding documents names files and tests that exist, and covers every figure and verdict."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from optimizer.workload.matrices import load_matrices
from optimizer.workload.seed_tables import load_seed_tables

ROOT = Path(__file__).parents[2]
INDEX = (ROOT / "docs" / "seeds.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:optimizer|providers|cache|tests|docs)/[\w./-]+\.\w+)`", INDEX)))
ROWS = [line for line in INDEX.splitlines() if line.startswith("| ") and "`" in line]


@pytest.mark.parametrize("path", PATHS)
def test_every_path_named_there_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("path", [path for path in PATHS if path.startswith("tests/")])
def test_every_test_file_named_there_holds_tests(path: str) -> None:
    assert re.search(r"^def test_", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("row", ROWS)
def test_every_line_says_where_it_lives_and_which_test_holds_it(row: str) -> None:
    *_, home, test = [cell.strip() for cell in row.strip("|").split("|")]
    assert re.search(r"`(optimizer|providers|cache)/", home)
    assert re.search(r"`tests/[\w/]+/test_\w+\.py`", test)


def test_every_row_of_the_matrices_has_a_line() -> None:
    matrices = load_matrices()
    for row in (*matrices.tradeoffs.rows, *matrices.costs.rows):
        words = ", ".join(row.cells[column].lower() for column in matrices.methods)
        assert f"| row {row.name}: {words} |" in INDEX


def test_every_row_of_the_tables_has_a_line() -> None:
    tables = load_seed_tables()
    for cost in tables.costs:
        assert f"| {cost.name}," in INDEX or f"| {cost.name} |" in INDEX
    for size in tables.sizes:
        if size.memory_gib is None:
            continue
        start = f"| r{size.rank}, {size.bits} bit: "
        lines = [line for line in ROWS if line.startswith(start)]
        assert len(lines) == 1
        assert f"{size.size_gb} GB, {size.percentage} %" in lines[0]
        assert f"| {size.memory_gib['batch4']:.2f}, {size.memory_gib['batch8']:.2f} |" in lines[0]


def test_where_a_rule_of_thumb_is_applied_and_held_exists() -> None:
    for rule in load_matrices().rules:
        assert (ROOT / rule.applied_in).is_file(), rule.key
        assert (ROOT / rule.held_by).is_file(), rule.key


def test_errors_of_the_documents_are_marked() -> None:
    wrong = [statement for statement in load_seed_tables().statements if statement.verdict == "errs"]
    assert len(re.findall(r"\*\*Errs?\*\*|\(\*\*errs\*\*\)|\*\*errs\*\*", INDEX)) >= len(wrong)
