"""Simulations and next actions, word for word."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from optimizer.app.next_action import next_action
from optimizer.app.simulating import simulate_policies
from optimizer.app.simulation_input import SimulationInput
from optimizer.report.json_next import next_text
from optimizer.report.json_simulate import simulation_text
from optimizer.report.style import Style
from optimizer.report.table import text_width
from optimizer.report.text_next import format_next
from optimizer.report.text_simulate import format_simulation
from optimizer.search.spot.simulation import PolicyName
from tests.fixtures.spot_world import invented_flags, trace_document, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.report.spot_answers import NextAnswer, SimulationAnswer

    Compare = Callable[[str, str], None]

NARROW = Style(width=80)


@pytest.fixture
def simulation(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> SimulationAnswer:
    folder = tmp_path_factory.mktemp("traces")
    monkeypatch.chdir(folder)
    for name, seed in (("mars.json", 5), ("venus.json", 9)):
        document = {**trace_document(invented_flags(240, seed=seed)), "zone": name.removesuffix(".json") + "-1a"}
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
    return simulate_policies(
        SimulationInput(
            traces=("mars.json", "venus.json"),
            work="8h",
            deadline="11h",
            restart="5m",
            loss="1m",
            on_demand_usd="3.24",
            draw=30,
            seed=7,
        )
    )


@pytest.fixture
def action(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[..., NextAnswer]:
    monkeypatch.chdir(tmp_path_factory.mktemp("plans"))
    write_plan(Path("plan.json"))

    def ask(**changes: object) -> NextAnswer:
        values: dict[str, object] = {"done": "0.2", "mode": "idle", "spot_up": True, "age": "20m", "elapsed": "1h"}
        return next_action("plan.json", **{**values, **changes})  # type: ignore[arg-type]

    return ask


def test_a_simulation_reads_as_written_down(simulation: SimulationAnswer, golden: Compare) -> None:
    text = format_simulation(simulation, NARROW)
    assert max(text_width(line) for line in text.splitlines()) <= 80
    golden("simulate.txt", text)
    golden("simulation.json", simulation_text(simulation))


def test_a_simulation_neutralises_what_a_trace_says(simulation: SimulationAnswer) -> None:
    bad = dataclasses.replace(
        simulation, notes=("a\x1b[2Jb",), traces=tuple(
            dataclasses.replace(one, source="c\x1b[31md", comparison=dataclasses.replace(one.comparison, label="e\nf"))
            for one in simulation.traces
        ),
    )  # fmt: skip
    text = format_simulation(bad, NARROW)
    assert "\x1b" not in text
    assert "e f" in text
    assert format_simulation(bad, Style(width=80, unicode=False)).isascii()


def test_a_dynamic_program_behind_greedy_closes_no_gap(simulation: SimulationAnswer) -> None:
    def said(share: float) -> str:
        """The report with a dynamic program that goes `share` of the way from greedy to the bound."""
        (part, *_) = simulation.traces
        found = part.comparison
        greedy, bound = found.of(PolicyName.GREEDY).saving_fraction, found.bound_saving_fraction
        assert bound is not None
        ours = dataclasses.replace(
            found.of(PolicyName.DYNAMIC_PROGRAM), saving_fraction=greedy + share * (bound - greedy)
        )
        policies = tuple(ours if one.policy is ours.policy else one for one in found.policies)
        changed = dataclasses.replace(part, comparison=dataclasses.replace(found, policies=policies))
        one = dataclasses.replace(simulation, traces=(changed,), together=None, drawn=None)
        return " ".join(format_simulation(one, NARROW).split())

    assert "closes 60 % of the gap between greedy and" in said(0.6)
    assert "The dynamic program saves as much as greedy." in said(-0.001)
    assert "The dynamic program saves less than greedy here, by 35 % of the gap" in said(-0.35)


def test_episodes_begin_whole_steps_apart(simulation: SimulationAnswer) -> None:
    assert all(part.step_s == 600.0 for part in simulation.traces)
    assert "one begins every 10.0 min" in format_simulation(dataclasses.replace(simulation, every_s=1.0), NARROW)


def test_a_next_action_reads_as_written_down(action: Callable[..., NextAnswer], golden: Compare) -> None:
    asked = {
        "to start spot": action(),
        "to wait": action(elapsed="5m", done="0.2", spot_up=False),
        "to go on-demand": action(elapsed="4h30m", spot_up=False),
        "to stay on spot": action(mode="spot"),
        "too late": action(elapsed="10h"),
        "after too many starts": action(starts=500),
        "done": action(done="1"),
    }
    golden("next.txt", "\n".join(f"# {name}\n{format_next(answer, NARROW)}" for name, answer in asked.items()))
    golden("next.json", next_text(asked["to start spot"]))


def test_the_first_line_of_a_next_action_is_one_word(action: Callable[..., NextAnswer]) -> None:
    for changes in ({}, {"done": "1"}, {"spot_up": False}, {"elapsed": "9h"}):
        first = format_next(action(**changes), NARROW).splitlines()[0]
        assert first in {"spot", "on_demand", "wait", "done"}
