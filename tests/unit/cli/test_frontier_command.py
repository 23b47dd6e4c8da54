"""`frontier` and `sensitivity` at the command line: exit codes, files, JSON, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

MARKET = Path(__file__).parents[2] / "fixtures" / "market.csv"
JOB = [
    "--model", "llama-3.1-8b", "--samples", "13300", "--tokens-per-sample", "400", "--epochs", "4",
    "--offers", MARKET, "--only-offers", "--now", "2031-05-06T07:08:09Z",
]  # fmt: skip
COMMANDS = ("frontier", "sensitivity")


def whole(value):
    """Every number of a document."""
    if isinstance(value, dict):
        return [one for inner in value.values() for one in whole(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in whole(inner)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_whole_and_the_same_twice_and_on_file(tunefare, tmp_path, command):
    path = tmp_path / "answer.json"
    first = tunefare(command, *JOB, "--deadline", "24h", "--json")
    again = tunefare(command, *JOB, "--deadline", "24h", "--json", "--output", path)
    assert (first.code, again.code) == (0, 0)
    assert first.out == path.read_text(encoding="utf-8")
    document = json.loads(first.out)
    assert document["schema"] == f"tunefare.{command}/v1"
    assert all(isinstance(one, int) and abs(one) < 2**53 for one in whole(document))


def test_the_frontier_holds_the_choice_of_the_plan(tunefare):
    plan = json.loads(tunefare("plan", *JOB, "--deadline", "24h", "--json").out)
    frontier = json.loads(tunefare("frontier", *JOB, "--deadline", "24h", "--json").out)
    chosen = frontier["points"][frontier["chosen"]]
    assert {key: chosen[key] for key in plan["choice"]} == plan["choice"]
    assert chosen["cost_usd_micro"] == plan["cost_usd_micro"]
    assert chosen["keeps"] == {"deadline": True, "budget": None, "quality_floor": None}
    assert [one["chosen"] for one in frontier["points"]].count(True) == 1
    assert frontier["points"][0]["step"] is None
    assert all(" instead of " in one["step"]["sentence"] for one in frontier["points"][1:])
    assert frontier["deadline_price"]["cost_usd_micro"] == pytest.approx(plan["cost_usd_micro"]["expected"], abs=3)


def test_the_sensitivity_is_of_the_plan(tunefare):
    plan = json.loads(tunefare("plan", *JOB, "--deadline", "24h", "--json").out)
    found = json.loads(tunefare("sensitivity", *JOB, "--deadline", "24h", "--json").out)
    assert {key: found["plan"][key] for key in plan["choice"]} == plan["choice"]
    assert found["plan"]["cost_usd_micro"] == plan["cost_usd_micro"]
    names = [driver["name"] for driver in found["drivers"]]
    assert {"epochs", "samples", "price", "throughput", "sequence_length"} <= set(names)
    for driver in found["drivers"]:
        assert driver["base"]["cost_usd_micro"] == plan["cost_usd_micro"]["expected"]
        assert driver["low"] == driver["points"][0]
        assert driver["high"] == driver["points"][-1]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_chart_is_written_whole(tunefare, tmp_path, command):
    path = tmp_path / "chart.SVG"
    outcome = tunefare(command, *JOB, "--plot", path)
    assert outcome.code == 0
    assert f"wrote {path}" in outcome.err
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<svg ")
    assert text.endswith("</svg>\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_fits_anywhere_answers_as_plan_does(tunefare, command):
    words = [*JOB, "--model", "llama-3.1-70b", "--method", "full", "--max-gpus", "1"]
    plan, here = tunefare("plan", *words), tunefare(command, *words)
    assert (plan.code, here.code) == (7, 7)
    assert here.out == plan.out
    assert json.loads(tunefare(command, *words, "--json").out)["schema"] == "tunefare.plan/v1"


def test_a_deadline_that_nothing_keeps_still_has_a_frontier(tunefare):
    words = [*JOB, "--deadline", "5m"]
    here = tunefare("frontier", *words)
    assert here.code == 7
    assert "Nothing keeps every limit of the job." in here.out
    assert "makes it possible" in " ".join(here.out.split())
    document = json.loads(tunefare("frontier", *words, "--json").out)
    assert (document["status"], document["chosen"]) == ("infeasible", None)
    assert not any(point["keeps"]["deadline"] for point in document["points"])
    assert tunefare("sensitivity", *words).out == tunefare("plan", *words).out


def test_points_are_shown_as_asked_for(tunefare):
    every = tunefare("frontier", *JOB, "--all").out
    few = tunefare("frontier", *JOB, "--points", "1").out
    assert " of " not in every.partition("Frontier  ")[2].partition(" that nothing")[0]
    assert len(few) < len(every)


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_input_is_one_line(fails, tmp_path, command):
    assert "plot" in fails(2, command, *JOB, "--plot", "chart.png")
    assert "must exist" in fails(2, command, *JOB, "--plot", tmp_path / "no" / "chart.svg")
    assert "deadline" in fails(2, command, *JOB, "--deadline", "soon")
    assert "no-such-gpu" in fails(2, command, *JOB, "--gpu", "no-such-gpu")
    assert "global-batch" in fails(2, command, *JOB, "--global-batch", "0")


def test_bad_numbers_of_points_are_one_line(fails):
    assert "points" in fails(2, "frontier", *JOB, "--points", "0")
    assert "few" in fails(2, "frontier", *JOB, "--points", "few")


def test_the_price_of_the_deadline_is_told_without_a_deadline_too(tunefare):
    found = json.loads(tunefare("frontier", *JOB, "--json").out)
    assert found["deadline_price"] is None
    assert found["deadline_prices"]
