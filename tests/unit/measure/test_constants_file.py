"""Writing fitted constants back: values change, every other word stays."""

from __future__ import annotations

import tomllib

import pytest

from optimizer.measure.constants_file import Fitted, number, rewrite_constants
from providers.errors import JobError

TEXT = """# A comment.

[logits.half_vocab]
value = 8
unit = "B"
origin = "value = 9 in a text"

[launch_s]
unit = "s"

[launch_s.values]
hf = 0.004
nemo = 0.002
"""


def fitted(value: float, rows: str = "fms 3") -> Fitted:
    return Fitted(value=value, sigma=0.05, rows=rows)


def test_values_change_and_every_other_word_stays() -> None:
    text = rewrite_constants(TEXT, {"logits.half_vocab": fitted(8.123456), "launch_s.hf": fitted(0.00345678)})
    found = tomllib.loads(text)
    assert found["logits"]["half_vocab"]["value"] == 8.123
    assert found["logits"]["half_vocab"]["fitted"] == "+/- 5 %; fms 3"
    assert found["logits"]["half_vocab"]["origin"] == "value = 9 in a text"
    assert found["launch_s"]["values"] == {"hf": 0.003457, "nemo": 0.002}
    assert text.startswith("# A comment.\n\n[logits.half_vocab]\n")


def test_writing_twice_is_writing_once() -> None:
    values = {"logits.half_vocab": fitted(8.1), "launch_s.nemo": fitted(3e8, rows="")}
    once = rewrite_constants(TEXT, values)
    assert rewrite_constants(once, values) == once
    assert "no row bears on it" in once


def test_a_constant_that_is_not_there_is_named() -> None:
    with pytest.raises(JobError, match=r"launch_s\.nobody"):
        rewrite_constants(TEXT, {"launch_s.nobody": fitted(1.0)})


@pytest.mark.parametrize("value", [1e-9, 3.65e8, 12.0, 0.333333, 5e8])
def test_numbers_are_toml(value: float) -> None:
    assert tomllib.loads(f"value = {number(value)}")["value"] == pytest.approx(value, rel=1e-3)
