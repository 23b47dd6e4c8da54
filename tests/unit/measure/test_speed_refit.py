from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from optimizer.measure.constant_paths import constant
from optimizer.measure.refit_speed import fitted_values, refit, rewritten
from optimizer.measure.speed_fit import PARAMETERS
from optimizer.physics.speed_constants import load_speed_constants

TOLERANCE = 0.005
"""What linear algebra of another machine may change in a value that is written with four digits."""

DOCUMENT = """# a comment
[launch_s]
unit = "s"
origin = "prior 4 ms [rows: hf: old 3]"

[launch_s.values]
hf = 0.004
nemo = 0.002

[overlap]
value = 0.7
origin = "prefetch"
"""


@pytest.fixture(scope="module")
def refitted() -> tuple[dict[str, float], dict[str, str]]:
    return fitted_values()


@pytest.fixture
def shipped() -> str:
    return (files("optimizer.physics") / "data" / "speed.toml").read_text("utf-8")


def test_the_shipped_values_are_those_of_the_fit(refitted):
    values, _ = refitted
    constants = load_speed_constants()
    assert set(values) == {parameter.name for parameter in PARAMETERS}
    for name, value in values.items():
        assert constant(constants, name) == pytest.approx(value, rel=TOLERANCE), name


def test_every_fitted_constant_names_the_rows_that_bear_on_it(shipped, refitted):
    document = tomllib.loads(shipped)
    _, rows = refitted
    for name, words in rows.items():
        table, _, entry = name.partition(".")
        found = document[table]
        assert found["basis"] == "published", name
        assert (f"{entry}: {words}" if entry else words) in found["origin"], name


def test_a_second_refit_changes_nothing(shipped, refitted, tmp_path):
    once = rewritten(shipped, *refitted)
    assert rewritten(once, *refitted) == once
    path = tmp_path / "speed.toml"
    path.write_text(once, "utf-8")
    assert not refit(path)


def test_values_and_rows_are_put_in_and_all_else_stays():
    found = rewritten(DOCUMENT, {"launch_s.hf": 0.00333333, "overlap": 0.5}, {"launch_s.hf": "a 2", "overlap": "b 1"})
    assert found == DOCUMENT.replace("hf = 0.004", "hf = 0.003333").replace("0.7", "0.5").replace(
        "[rows: hf: old 3]", "[rows: hf: a 2]"
    ).replace('"prefetch"', '"prefetch [rows: b 1]"')


def test_a_constant_that_the_file_lacks_is_an_error():
    for name in ("launch_s.unsloth", "overlap.hf", "nothing"):
        with pytest.raises((KeyError, ValueError)):
            rewritten(DOCUMENT, {name: 1.0}, {name: ""})
