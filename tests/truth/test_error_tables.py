"""The error tables of README and docs are what the shipped rows give: `make truth-tables` writes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from optimizer.measure.error_tables import BLOCK, blocks, filled

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/memory-model.md", "docs/time-model.md")
NUMBER = re.compile(r"[-+]?\d+\.?\d*")


def test_the_tables_are_what_the_rows_give() -> None:
    made = blocks()
    for name in DOCUMENTS:
        text = (ROOT / name).read_text("utf-8")
        assert BLOCK.search(text), name
        again = filled(text, made)
        # A figure at a rounding edge may go either way with the linear algebra of another machine; words may not.
        assert NUMBER.sub("#", again) == NUMBER.sub("#", text), name
        pairs = zip(NUMBER.findall(text), NUMBER.findall(again), strict=True)
        assert all(abs(float(old) - float(new)) <= 0.1001 + 0.02 * abs(float(old)) for old, new in pairs), name


def test_a_block_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError):
        filled("<!-- errors: nothing -->\n<!-- end -->", blocks())
