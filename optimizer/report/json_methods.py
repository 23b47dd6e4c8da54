"""The document `tunefare.methods/v1`: both trade-off matrices, and the decision when questions were answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_text import JsonObject, to_text

if TYPE_CHECKING:
    from optimizer.workload.decision import Decision
    from optimizer.workload.matrices import Matrices, Matrix

SCHEMA = "tunefare.methods/v1"


def methods_text(matrices: Matrices, decision: Decision | None = None) -> str:
    """Return the matrices and, where one was asked for, the decision as JSON text."""
    return to_text(methods_document(matrices, decision))


def methods_document(matrices: Matrices, decision: Decision | None = None) -> JsonObject:
    """Return the matrices with each cell's word and its position on the ordinal scale; `decision` may be null."""
    return {
        "schema": SCHEMA,
        "tool_version": VERSION,
        "source": matrices.source,
        "methods": [{"key": key, "title": matrices.titles[key]} for key in matrices.methods],
        "levels": dict(matrices.levels),
        "matrices": [_matrix(matrices, matrix) for matrix in (matrices.tradeoffs, matrices.costs)],
        "rules": [{"key": rule.key, "kind": rule.kind, "statement": rule.statement} for rule in matrices.rules],
        "hidden_costs": [
            {"key": cost.key, "flag": cost.flag, "statement": cost.statement} for cost in matrices.hidden_costs
        ],
        "decision": None if decision is None else _decision(decision),
    }


def _matrix(matrices: Matrices, matrix: Matrix) -> JsonObject:
    return {
        "key": matrix.key,
        "title": matrix.title,
        "axis": matrix.axis,
        "rows": [
            {
                "name": row.name,
                "better": row.better,
                "cells": dict(row.cells),
                "levels": {column: matrices.level(matrix, row.name, column) for column in row.cells},
            }
            for row in matrix.rows
        ],
        "reading": list(matrix.reading),
    }


def _decision(decision: Decision) -> JsonObject:
    return {
        "method": decision.method,
        "quantization_bits": decision.bits,
        "sharding": decision.sharding,
        "objectives": list(decision.objectives),
        "path": list(decision.path),
    }
