from __future__ import annotations

import tomllib
from dataclasses import fields
from importlib.resources import files

import numpy as np
import pytest

from optimizer.physics.speed_constants import DurationConstants, SpeedConstants, SpeedSigma, load_speed_constants
from providers.basis import BASES
from providers.errors import JobError


@pytest.fixture(scope="module")
def text() -> str:
    return (files("optimizer.physics") / "data" / "speed.toml").read_text("utf-8")


def tables(document: dict[str, object]) -> dict[str, dict[str, object]]:
    found = {}
    for name, table in document.items():
        assert isinstance(table, dict)
        nested = name in {"sigma", "duration"}
        found |= {f"{name}.{key}": inner for key, inner in table.items()} if nested else {name: table}
    return found


def test_every_constant_states_unit_basis_and_origin(text):
    for name, table in tables(tomllib.loads(text)).items():
        assert table["unit"], name
        assert table["origin"], name
        assert table["basis"] in BASES, name


def test_the_table_holds_every_field_and_no_other(text):
    names = {field.name for field in fields(SpeedConstants)} - {"sigma", "duration"}
    names |= {f"sigma.{field.name}" for field in fields(SpeedSigma)}
    names |= {f"duration.{field.name}" for field in fields(DurationConstants)}
    assert set(tables(tomllib.loads(text))) == names


def test_shipped_values_reach_their_fields(text):
    document, loaded = tomllib.loads(text), load_speed_constants()
    assert loaded.bandwidth_efficiency == document["bandwidth_efficiency"]["value"]
    assert loaded.sigma.moe == document["sigma"]["moe"]["value"]
    assert loaded.duration.setup_s == 600.0
    assert loaded.launch_s.tolist() == list(document["launch_s"]["values"].values())
    assert loaded.architecture_factor.dtype == np.float64


def test_reads_a_table_of_the_users_own(text, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        text.replace("[bandwidth_efficiency]\nvalue = 0.8", "[bandwidth_efficiency]\nvalue = 0.25"), "utf-8"
    )
    assert load_speed_constants(path).bandwidth_efficiency == 0.25


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("[bandwidth_efficiency]", "[no_such_constant]", "bandwidth_efficiency"),
        ("[bandwidth_efficiency]\nvalue = 0.8", "[bandwidth_efficiency]\nvalue = -1", "bandwidth_efficiency"),
        ("[bandwidth_efficiency]\nvalue = 0.8", "[bandwidth_efficiency]\nvalue = nan", "bandwidth_efficiency"),
        ("[bandwidth_efficiency]\nvalue = 0.8", "[bandwidth_efficiency]\nvalue = inf", "bandwidth_efficiency"),
        ("[bandwidth_efficiency]\nvalue = 0.8", "[bandwidth_efficiency]\nvalue = true", "bandwidth_efficiency"),
        ("[bandwidth_efficiency]\nvalue = 0.8", '[bandwidth_efficiency]\nvalue = "much"', "bandwidth_efficiency"),
        ("[bandwidth_efficiency]\nvalue = 0.8", "[bandwidth_efficiency]\nworth = 0.8", "bandwidth_efficiency"),
        ("[sigma.moe]", "[sigma.mole]", "sigma.moe"),
        ("[launch_s.values]\nhf", "[launch_s.values]\nno-stack", "launch_s.values"),
        ("[bandwidth_efficiency]", "[bandwidth_efficiency", "(whole file)"),
    ],
)
def test_a_broken_table_is_named(text, tmp_path, old, new, key):
    assert old in text
    path = tmp_path / "own.toml"
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(JobError) as caught:
        load_speed_constants(path)
    assert caught.value.key == key
    assert str(path) in str(caught.value)
