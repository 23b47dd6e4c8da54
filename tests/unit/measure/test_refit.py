"""`make calibrate`: the shipped constants are what the shipped rows give, and each names the rows behind it."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from optimizer.measure.constant_paths import constant
from optimizer.measure.constants_file import Fitted, describe, rewrite_constants
from optimizer.measure.memory_fit import PARAMETERS as MEMORY
from optimizer.measure.refit import FILES
from optimizer.measure.speed_fit import PARAMETERS as SPEED
from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.speed_constants import load_speed_constants

if TYPE_CHECKING:
    from collections.abc import Mapping

TOLERANCE = 0.005
"""What linear algebra of another machine may change in a value that is written with four digits."""

PARAMETERS = {"memory.toml": MEMORY, "speed.toml": SPEED}
LOADERS = {"memory.toml": load_memory_constants, "speed.toml": load_speed_constants}


@pytest.fixture(scope="module", params=sorted(FILES))
def refitted(request: pytest.FixtureRequest) -> tuple[str, Mapping[str, Fitted]]:
    return request.param, FILES[request.param]()


def test_the_shipped_values_are_those_of_the_fit(refitted: tuple[str, Mapping[str, Fitted]]) -> None:
    name, fitted = refitted
    shipped = LOADERS[name]()
    assert set(fitted) == {parameter.name for parameter in PARAMETERS[name]}
    for key, found in fitted.items():
        assert constant(shipped, key) == pytest.approx(found.value, rel=TOLERANCE), key


def test_every_fitted_constant_names_the_rows_that_bear_on_it(refitted: tuple[str, Mapping[str, Fitted]]) -> None:
    name, fitted = refitted
    text = (files("optimizer.physics") / "data" / name).read_text("utf-8")
    again = rewrite_constants(text, fitted)
    assert rewrite_constants(again, fitted) == again
    for found in fitted.values():
        # The percentages may differ by linear algebra, the rows may not.
        assert describe(found).partition("; ")[2] in text


def test_what_is_fitted_says_that_it_is_published() -> None:
    document = tomllib.loads((files("optimizer.physics") / "data" / "speed.toml").read_text("utf-8"))
    for parameter in SPEED:
        assert document[parameter.name.partition(".")[0]]["basis"] == "published", parameter.name
