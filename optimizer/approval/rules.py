"""Custom rules: conditions in CEL (Common Expression Language), checked before they are used, counted while they run.

CEL has no loops, no clock and no way out; what it has are macros over lists, which multiply. A rule may hold few of
them, its steps are counted, and what it builds is bounded: the same rule is refused on every machine, however fast.
The library is imported only where a policy has a rule.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from .rules_check import RuleError, check_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MOST_BRACKETS = 16
"""Nested in one another."""
MOST_STEPS = 100_000
"""Nodes that one rule may evaluate for one action: about a second."""
MOST_BUILT = 100_000
"""Characters or elements of a value that a rule builds."""
RECURSION = 2500
MISSING = "rules need the package cel-python: pip install 'tunefare[cel]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRule:
    """A rule that was parsed and checked; `fields` are those of the action that it reads."""

    text: str
    tree: Any
    fields: frozenset[str]

    def holds(self, facts: Mapping[str, object], offers: Iterable[Mapping[str, object]], *, steps: Counter) -> bool:
        """Return whether the condition holds for any of the offers. All are asked, so that none goes without an answer.

        `facts` are `action`, `plan` and `request` as JSON values; of `action` what is the same for every offer, to
        which an offer adds its own. Raises RuleError where there is no answer: an evaluation error, an answer that is
        neither true nor false, too many steps.
        """
        with _recursion():
            try:
                return _evaluate(self, facts, offers, steps)
            except RuleError:
                raise
            except Exception as err:
                # Whatever the library raises: a rule without an answer denies.
                raise RuleError(f"cannot be evaluated ({_reason(err)})") from err


class Counter:
    """Counts the steps of a rule over all the offers of one action."""

    def __init__(self, most: int = MOST_STEPS) -> None:
        """Allow `most` steps."""
        self._left = most

    def step(self) -> None:
        """Take one step. Raises RuleError when there are none left."""
        self._left -= 1
        if self._left < 0:
            raise RuleError("takes too many steps: fewer macros over lists")


def compile_rule(text: str) -> CompiledRule:
    """Return a rule. Raises RuleError saying what is wrong with it, and where."""
    if _deepest(text) > MOST_BRACKETS:
        raise RuleError(f"brackets are nested more than {MOST_BRACKETS} deep")
    try:
        import celpy
        from celpy.celparser import CELParseError
    except ImportError as err:
        raise RuleError(MISSING) from err
    with _recursion():
        try:
            tree = celpy.Environment().compile(text)
        except CELParseError as err:
            place = f"line {err.line}, column {err.column}" if err.line and err.column else "its end"
            raise RuleError(f"cannot be read at {place}") from err
        except Exception as err:
            raise RuleError(f"cannot be read ({type(err).__name__})") from err
        return CompiledRule(text=text, tree=tree, fields=check_tree(tree))


def _evaluate(
    rule: CompiledRule, facts: Mapping[str, object], offers: Iterable[Mapping[str, object]], steps: Counter
) -> bool:
    import celpy
    from celpy.adapter import json_to_cel
    from celpy.celtypes import BoolType, MapType, StringType

    activation = celpy.Environment().program(rule.tree).new_activation()
    # What is the same for every offer is converted once: a sweep may have a thousand placements.
    shared = {name: cast("MapType", json_to_cel(cast("Any", value))) for name, value in facts.items()}
    held = False
    for offer in offers:
        own = {StringType(name): json_to_cel(cast("Any", value)) for name, value in offer.items()}
        context = {**shared, "action": MapType({**shared["action"], **own})}
        value = _counting(steps)(rule.tree, activation).evaluate(context)
        if not isinstance(value, BoolType):
            raise RuleError("is neither true nor false")
        held |= bool(value)
    return held


def _counting(steps: Counter) -> Any:
    """Return the evaluator of the library, whose every node takes a step and whose every value is bounded."""
    import celpy.evaluation

    class Counting(celpy.evaluation.Evaluator):
        def sub_evaluator(self, ast: Any) -> Any:
            return Counting(ast, activation=self.activation)

        def visit_children(self, tree: Any) -> Any:
            steps.step()
            return super().visit_children(tree)

        def addition(self, tree: Any) -> Any:
            value = super().addition(tree)
            if isinstance(value, str | bytes | list) and len(value) > MOST_BUILT:
                raise RuleError("builds too large a value")
            return value

    return Counting


@contextmanager
def _recursion() -> Iterator[None]:
    """Give the library the depth that it would take for good."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _deepest(text: str) -> int:
    """Return how deep brackets nest; those within text count too: an upper bound."""
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _reason(err: Exception) -> str:
    """Return the library's words, without the tables that it prints with them."""
    text = str(err.args[0]) if err.args and isinstance(err.args[0], str) else type(err).__name__
    shown = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(shown.split())[:120]
