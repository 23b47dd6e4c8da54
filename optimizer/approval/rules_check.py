"""Checks a parsed rule before it ever runs: unknown names, functions and kinds of numbers are errors of the policy."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from .rules_facts import ROOTS

METHODS = frozenset({"contains", "startsWith", "endsWith", "matches", "size"})
MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
FUNCTIONS = frozenset({"size", "has", "int", "string", "bool"})
MOST_MACROS = 6
DEEPEST = 320
"""Levels of the tree: a dozen for each bracket, two for each operator of a chain."""
LARGEST = 2**63 - 1
REFUSED = {
    "dot_ident": "a name cannot begin with a dot",
    "dot_ident_arg": "a name cannot begin with a dot",
    "member_object": "objects cannot be made",
}
WHOLE_NUMBERS = "whole numbers only: money is in micro-dollars, 25 dollars are 25000000"


class RuleError(Exception):
    """A rule that cannot be read, is not allowed, or has no answer; says why."""


def check_tree(tree: Any) -> frozenset[str]:
    """Return which fields of the action a parsed rule reads. Raises RuleError for what no rule may hold."""
    walk = _Walk()
    walk.node(tree, frozenset(), 0)
    return frozenset(walk.fields)


class _Walk:
    """Goes through the tree once; `bound` are the names that macros around a node give to elements of a list."""

    def __init__(self) -> None:
        self.fields: set[str] = set()
        self._macros = 0

    def node(self, tree: Any, bound: frozenset[str], depth: int) -> None:
        if depth > DEEPEST:
            raise RuleError("is too deep: fewer brackets and operators")
        if not hasattr(tree, "children"):
            return
        kind = str(tree.data)
        if kind in REFUSED:
            raise RuleError(REFUSED[kind])
        if kind == "ident":
            self._ident(str(tree.children[0]), bound)
        elif kind == "member_dot":
            self._field(tree, bound, depth)
        elif kind == "member_dot_arg":
            self._method(tree, bound, depth)
        elif kind == "ident_arg":
            self._function(tree, bound, depth)
        elif kind == "literal":
            _literal(tree.children[0])
        else:
            self._children(tree.children, bound, depth)

    def _children(self, children: Any, bound: frozenset[str], depth: int) -> None:
        for child in children:
            self.node(child, bound, depth + 1)

    def _ident(self, name: str, bound: frozenset[str]) -> None:
        if name in bound:
            return
        if name in ROOTS:
            raise RuleError(f"{name} is read by its fields, as in {name}.{min(ROOTS[name])}")
        if name != "null":
            raise RuleError(f"{_shown(name)} is unknown: known are {', '.join(ROOTS)}")

    def _field(self, tree: Any, bound: frozenset[str], depth: int) -> None:
        base, name = tree.children[0], str(tree.children[1])
        root = _name_of(base)
        if root is None or root in bound or root not in ROOTS:
            self.node(base, bound, depth + 1)
            return
        known = ROOTS[root]
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {root}.{close[0]}?" if close else f"known are {', '.join(sorted(known))}"
            raise RuleError(f"{root}.{_shown(name)} is unknown: {hint}")
        if root == "action":
            self.fields.add(name)

    def _method(self, tree: Any, bound: frozenset[str], depth: int) -> None:
        base, name = tree.children[0], str(tree.children[1])
        arguments = tree.children[2].children if len(tree.children) > 2 else []
        self.node(base, bound, depth + 1)
        if name in MACROS:
            self._macro(name, arguments, bound, depth)
        elif name in METHODS:
            self._children(arguments, bound, depth)
        else:
            raise RuleError(f"{_shown(name)}() is unknown: known are {', '.join(sorted(METHODS | MACROS))}")

    def _macro(self, name: str, arguments: Any, bound: frozenset[str], depth: int) -> None:
        self._macros += 1
        if self._macros > MOST_MACROS:
            raise RuleError(f"holds more than {MOST_MACROS} macros ({', '.join(sorted(MACROS))})")
        variable = _name_of(arguments[0]) if len(arguments) == 2 else None
        if variable is None or variable in ROOTS or variable == "null":
            raise RuleError(f"{name} takes a name of its own and a condition: {name}(p, p.nodes > 1)")
        self.node(arguments[1], bound | {variable}, depth + 1)

    def _function(self, tree: Any, bound: frozenset[str], depth: int) -> None:
        name = str(tree.children[0])
        if name not in FUNCTIONS:
            raise RuleError(f"{_shown(name)}() is unknown: known are {', '.join(sorted(FUNCTIONS))}")
        self._children(tree.children[1:], bound, depth)


def _name_of(tree: Any) -> str | None:
    """Return the bare name that a tree is; None where it is more than that."""
    while hasattr(tree, "children") and len(tree.children) == 1:
        if str(tree.data) == "ident":
            return str(tree.children[0])
        if str(tree.data) in {"literal", "paren_expr"}:
            return None
        tree = tree.children[0]
    return None


def _literal(token: Any) -> None:
    kind, text = str(token.type), str(token)
    if kind in {"FLOAT_LIT", "UINT_LIT"}:
        raise RuleError(WHOLE_NUMBERS)
    if kind == "INT_LIT" and int(text, 16 if "x" in text else 10) > LARGEST:
        raise RuleError("a number beyond 2^63 - 1")


def _shown(name: str) -> str:
    return name[:60]
