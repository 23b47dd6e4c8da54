"""The trade-off matrices as data: the quality floor and the complexity ceiling of the search come from their cells."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from providers.basis import Basis

if TYPE_CHECKING:
    from collections.abc import Mapping

QUALITY_ORDER: tuple[str, ...] = ("low", "medium", "med-high", "high", "highest")
"""What `--quality-floor` accepts, worst first."""

COMPLEXITY_ORDER: tuple[str, ...] = ("low", "medium", "high", "very-high")
"""What `--max-complexity` accepts, simplest first."""

WIDTHS: tuple[int, ...] = (16, 8, 4)

_FILE = Path(__file__).parent / "data" / "matrices.toml"


def quality_rank(level: str) -> int:
    """Return the position of a quality level in `QUALITY_ORDER` (0 is worst). Raises ValueError if it is none."""
    return _rank(level, QUALITY_ORDER, "quality")


def complexity_rank(level: str) -> int:
    """Return the position of a complexity level in `COMPLEXITY_ORDER` (0 is simplest). Raises ValueError if none."""
    return _rank(level, COMPLEXITY_ORDER, "complexity")


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One aspect: a word per column. `better` says which end of the scale one wants, "lower" or "higher"."""

    name: str
    better: str
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """One table of the document: rows of words, columns as in `Matrices.methods`, and how it is meant to be read."""

    key: str
    title: str
    axis: str
    rows: tuple[MatrixRow, ...]
    reading: tuple[str, ...]

    def cell(self, row: str, column: str) -> str:
        """Return the document's word for `row` ("VRAM") and `column` ("qlora"). Raises KeyError if there is none."""
        for candidate in self.rows:
            if candidate.name == row:
                return candidate.cells[column]
        raise KeyError(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule of thumb of the document: where the model applies it and which test holds it (repository paths)."""

    key: str
    kind: str
    statement: str
    applied_in: str
    held_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenCost:
    """A cost beside the GPUs: `key` is the field of `job.Overheads` and of the job file, `flag` the command's."""

    key: str
    flag: str
    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveCells:
    """Cells of an objective, shown with a plan and not searched: the objective is the user's choice."""

    objective: str
    column: str
    quality: str
    complexity: str
    basis: Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrices:
    """Both matrices, the ordinal scale of their words, and which column answers for which method and objective."""

    source: str
    methods: tuple[str, ...]
    """Column keys in the document's order."""
    titles: Mapping[str, str]
    levels: Mapping[str, int]
    """Word to position on the ordinal scale, 0 for "Lowest"."""
    tradeoffs: Matrix
    costs: Matrix
    rules: tuple[Rule, ...]
    hidden_costs: tuple[HiddenCost, ...]
    method_columns: Mapping[tuple[str, int], tuple[str, Basis]]
    objective_columns: Mapping[str, tuple[str, Basis]]

    def quality(self, method: str, bits: int) -> str:
        """Return the quality level (one of `QUALITY_ORDER`) of a method at a weight width.

        `method` is full, lora, qlora (lora at 4 bits), dora or rslora; `bits` 16, 8 or 4. The rank of an adapter
        never counts. Raises ValueError for anything else.
        """
        return _level(self.tradeoffs.cell("Quality", self._column(method, bits)[0]))

    def complexity(self, method: str, bits: int) -> str:
        """Return the complexity level (one of `COMPLEXITY_ORDER`) of a method at a weight width; as `quality`."""
        return _level(self.tradeoffs.cell("Complexity", self._column(method, bits)[0]))

    def basis(self, method: str, bits: int) -> Basis:
        """Return how well both levels are known: assumed for DoRA and rsLoRA, which the document does not rate."""
        return self._column(method, bits)[1]

    def objective(self, objective: str) -> ObjectiveCells:
        """Return the cells of an objective (sft, dpo, ppo). Raises ValueError for another one."""
        if objective not in self.objective_columns:
            raise ValueError(f"objective {objective!r} is none of {', '.join(self.objective_columns)}")
        column, basis = self.objective_columns[objective]
        return ObjectiveCells(
            objective=objective,
            column=column,
            quality=_level(self.tradeoffs.cell("Quality", column)),
            complexity=_level(self.tradeoffs.cell("Complexity", column)),
            basis=basis,
        )

    def level(self, matrix: Matrix, row: str, column: str) -> int:
        """Return the position of a cell on the ordinal scale (0 "Lowest" to 8 "Highest")."""
        return self.levels[matrix.cell(row, column)]

    def rules_of(self, kind: str) -> tuple[Rule, ...]:
        """Return the rules of one kind: quantization, sizing, lever or driver."""
        return tuple(rule for rule in self.rules if rule.kind == kind)

    def _column(self, method: str, bits: int) -> tuple[str, Basis]:
        tuning = "lora" if method == "qlora" else method
        if method == "qlora" and bits != 4:
            raise ValueError(f"qlora is lora at 4 bits, not at {bits}")
        found = self.method_columns.get((tuning, bits))
        if found is None:
            raise ValueError(f"method {method!r} at {bits} bits has no column in the matrices")
        return found


def load_matrices(path: Path | None = None) -> Matrices:
    """Return the matrices that ship with the project (or those of another TOML file of the same form)."""
    raw = tomllib.loads((path or _FILE).read_text(encoding="utf-8"))
    matrices = {entry["key"]: _matrix(entry) for entry in raw["matrix"]}
    return Matrices(
        source=raw["source"],
        methods=tuple(raw["methods"]),
        titles=MappingProxyType(raw["titles"]),
        levels=MappingProxyType(raw["levels"]),
        tradeoffs=matrices["tradeoffs"],
        costs=matrices["costs"],
        rules=tuple(Rule(**entry) for entry in raw["rule"]),
        hidden_costs=tuple(HiddenCost(**entry) for entry in raw["hidden_cost"]),
        method_columns=MappingProxyType(
            {
                (entry["method"], bits): (entry["column"], Basis(entry["basis"]))
                for entry in raw["method_columns"]
                for bits in entry["bits"]
            }
        ),
        objective_columns=MappingProxyType(
            {entry["objective"]: (entry["column"], Basis(entry["basis"])) for entry in raw["objective_columns"]}
        ),
    )


def _matrix(entry: dict[str, Any]) -> Matrix:
    return Matrix(
        key=entry["key"],
        title=entry["title"],
        axis=entry["axis"],
        rows=tuple(
            MatrixRow(name=row["name"], better=row["better"], cells=MappingProxyType(row["cells"]))
            for row in entry["row"]
        ),
        reading=tuple(entry["reading"]),
    )


def _level(word: str) -> str:
    """Return the command line's spelling of a cell: "Very high" is "very-high"."""
    return word.lower().replace(" ", "-")


def _rank(level: str, order: tuple[str, ...], what: str) -> int:
    if level not in order:
        raise ValueError(f"{what} {level!r} is none of {', '.join(order)}")
    return order.index(level)
