"""Whether a text says that a thing is there, denies it, or does not speak of it."""

from __future__ import annotations

import re

import pytest

from optimizer.app.case_words import says, stated, unstated

LIGER = re.compile(r"liger")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("liger", True), ("use_liger_kernel=true", True), ("with liger, no compile", True), ("compile", None),
        ("baseline without liger; this row: liger", True), ("no liger", False), ("not using use_liger_kernel", False),
        ("liger=; epochs 1", False), ("liger_kernel: false", False), ("liger kernels disabled", False),
        ("liger (off)", False), ("liger (no graph breaks)", True), ("liger 0.5", True), ("liger=0.5", True),
        ("non-liger", False), ("no packing liger", True), ("", None),
    ],
)  # fmt: skip
def test_what_a_text_says(text: str, said: bool | None) -> None:
    assert says(text, LIGER) is said


def test_cells_that_say_nothing() -> None:
    assert all(unstated(cell) for cell in ("", "?", "n/a", "not reported", "default"))
    assert stated({"quant": " Not Stated "}, "quant") == ""
    assert stated({"quant": " NF4 "}, "quant") == "nf4"
    assert stated({}, "quant") == ""
