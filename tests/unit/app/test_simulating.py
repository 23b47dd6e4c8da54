"""`simulate`: which run is compared, over which episodes, at which prices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from optimizer.app import simulating
from optimizer.app.simulating import simulate_policies
from optimizer.app.simulation_input import SimulationInput
from optimizer.report.json_simulate import simulation_text
from optimizer.search.spot.simulation import PolicyName
from providers.errors import JobError
from tests.fixtures.spot_world import HOUR, invented_flags, plan_document, trace_document, write_plan

if TYPE_CHECKING:
    from pathlib import Path

    from optimizer.report.spot_answers import SimulationAnswer

RUN: dict[str, Any] = {"work": "8h", "deadline": "11h", "restart": "5m", "on_demand_usd": "3.24"}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "mars.json"
    path.write_text(json.dumps(trace_document(invented_flags())), encoding="utf-8")
    return path


def simulated(**given: Any) -> SimulationAnswer:
    return simulate_policies(SimulationInput(**given))


def test_a_run_given_by_flags_is_compared_over_a_trace(trace: Path) -> None:
    answer = simulated(**RUN, traces=(trace,))
    (part,) = answer.traces
    found = part.comparison
    # 50 hours in steps of ten minutes: an episode of 11 h begins every 2 h.
    assert (found.label, found.episodes, part.step_s, answer.every_s) == ("mars-1a", 20, 600.0, 7200.0)
    assert [one.policy for one in found.policies] == list(PolicyName)
    assert all(one.missed == 0 for one in found.policies)
    assert found.bound_micro is not None
    assert all(one.mean_micro >= found.bound_micro for one in found.policies)
    paid = found.of(PolicyName.ON_DEMAND)
    assert paid.mean_micro == pytest.approx((8 * HOUR + 300) * 900)
    assert paid.saving_fraction == pytest.approx(-300 / (8 * HOUR))
    assert (part.problem.poll_s, part.solved, answer.plan) == (600.0, True, None)
    assert part.problem.spot_micro_per_s == pytest.approx(1.1e6 / HOUR)
    assert answer.together is None


def test_several_traces_are_put_together_and_weigh_the_same(trace: Path, tmp_path: Path) -> None:
    other = tmp_path / "venus.json"
    other.write_text(json.dumps(trace_document(invented_flags(200, seed=9))), encoding="utf-8")
    answer = simulated(**RUN, traces=(trace, other), every="3h")
    assert answer.together is not None
    ours = [part.comparison.of(PolicyName.GREEDY).saving_fraction for part in answer.traces]
    assert answer.together.of(PolicyName.GREEDY).saving_fraction == pytest.approx(sum(ours) / 2)
    assert answer.together.episodes == sum(part.comparison.episodes for part in answer.traces)
    assert [part.comparison.label for part in answer.traces] == ["mars-1a (1)", "mars-1a (2)"]


def test_a_plan_is_replayed_as_it_stands_and_worked_out_anew_where_it_differs(trace: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.json")
    coarse = simulated(plan=plan, traces=(trace,))
    # The trace is looked at every ten minutes, the plan looks every five: its net would come late.
    assert coarse.traces[0].solved
    assert any("worked out anew" in note for note in coarse.notes)
    fine = tmp_path / "fine.json"
    fine.write_text(json.dumps(trace_document(invented_flags(900), step_s=200)), encoding="utf-8")
    asis = simulated(plan=plan, traces=(fine,))
    assert not asis.traces[0].solved
    assert asis.traces[0].problem.poll_s == 300.0
    assert simulated(plan=plan, traces=(fine,), deadline="12h").traces[0].problem.deadline_s == 12 * HOUR
    assert simulated(plan=plan, traces=(fine,), deadline="12h").traces[0].solved


def test_prices_of_another_machine_count_by_how_they_move(trace: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.json")
    moved = simulated(plan=plan, traces=(trace,))
    assert moved.traces[0].comparison.spot_micro_per_s == pytest.approx(300.0)
    assert any("--on-demand-usd" in note for note in moved.notes)
    taken = simulated(plan=plan, traces=(trace,), on_demand_usd="3.24")
    # Two nodes: the plan is for a gang.
    assert taken.traces[0].comparison.spot_micro_per_s == pytest.approx(2 * 1.1e6 / HOUR)
    assert taken.traces[0].problem.on_demand_micro_per_s == pytest.approx(2 * 900.0)
    given = simulated(plan=plan, traces=(trace,), spot_usd="0.36")
    assert given.traces[0].comparison.spot_micro_per_s == pytest.approx(2 * 100.0)


def test_windows_as_they_are_hazards_of_other_traces_and_drawn_episodes(trace: Path) -> None:
    answer = simulated(**RUN, traces=(trace,), windows=True, hazards_from=(trace,), draw=40, seed=3)
    assert (answer.traces[0].comparison.episodes, answer.every_s) == (1, None)
    assert answer.traces[0].problem.availability.name == "hazards counted in mars-1a"
    assert answer.drawn is not None
    assert answer.drawn.comparison.episodes == 40
    again = simulated(**RUN, traces=(trace,), windows=True, hazards_from=(trace,), draw=40, seed=3)
    assert simulation_text(answer) == simulation_text(again)
    other = simulated(**RUN, traces=(trace,), windows=True, hazards_from=(trace,), draw=40, seed=4)
    assert simulation_text(answer) != simulation_text(other)


def test_short_windows_are_left_out_and_told(tmp_path: Path) -> None:
    document: dict[str, Any] = trace_document(invented_flags())
    document["windows"].append({**document["windows"][0], "start_time": "2031-06-01T00:00:00Z"})
    document["windows"][1].update(available=[1] * 20, spot_usd_per_hour=[1.0] * 20)
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    answer = simulated(**RUN, traces=(path,))
    assert "1 of 2 windows is shorter than the deadline and left out" in answer.notes[0]
    with pytest.raises(JobError, match="longest window") as caught:
        simulated(**{**RUN, "deadline": "60h"}, traces=(path,))
    assert "at least one as long as the deadline, 2d12h" in str(caught.value)


def test_a_deadline_that_cannot_be_kept_is_missed_by_all(trace: Path) -> None:
    answer = simulated(**{**RUN, "deadline": "8h"}, traces=(trace,))
    found = answer.traces[0].comparison
    assert found.bound_micro is None
    assert all(one.missed == found.episodes for one in found.policies)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, "trace"),
        ({**RUN, "work": "0s", "draw": 5}, "work"),
        ({**RUN, "work": "-3h", "draw": 5}, "work"),
        ({**RUN, "restart": "soon", "draw": 5}, "restart"),
        ({**RUN, "on_demand_usd": "0", "draw": 5}, "on_demand_usd"),
        ({**RUN, "on_demand_usd": "nan", "draw": 5}, "on_demand_usd"),
        ({**RUN, "spot_usd": "1e99", "draw": 5}, "spot_usd"),
        ({**RUN, "draw": 5}, "spot_usd"),
        ({**RUN, "spot_usd": "1", "draw": 0}, "simulate"),
        ({**RUN, "spot_usd": "1", "draw": 10**9}, "simulate"),
        ({**RUN, "spot_usd": "1", "draw": 5, "seed": -1}, "seed"),
        ({**RUN, "every": "0s", "traces": ("x.json",)}, "every"),
        ({**RUN, "every": "2h", "windows": True, "traces": ("x.json",)}, "every"),
    ],
)  # fmt: skip
def test_flags_that_are_wrong_are_named(given: dict[str, Any], key: str) -> None:
    with pytest.raises(JobError) as caught:
        simulated(**given)
    assert (caught.value.where, caught.value.key) == ("command line", key)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"traces": ("x.json",)}, "plan"),
        ({**RUN, "traces": ("missing.json",)}, "trace"),
        ({"plan": "missing.json", "draw": 5}, "plan"),
    ],
)
def test_files_that_are_not_there_are_named(given: dict[str, Any], where: str) -> None:
    with pytest.raises(JobError) as caught:
        simulated(**given)
    assert (caught.value.where, caught.value.key) == (where, "path")


def test_what_would_take_too_much_is_refused(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulating, "MOST_CELLS", 1000)
    with pytest.raises(JobError, match="a larger --every"):
        simulated(**RUN, traces=(trace,))
    monkeypatch.setattr(simulating, "MOST_STEPS", 10)
    with pytest.raises(JobError, match="a coarser trace"):
        simulated(**RUN, traces=(trace,))


def test_windows_of_two_steps_and_hazards_of_one_state_are_refused(tmp_path: Path) -> None:
    document: dict[str, Any] = trace_document([1] * 100)
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(JobError, match="one state was never seen"):
        simulated(**RUN, traces=(path,), hazards_from=(path,))
    document["windows"].append({"gap_seconds": 300, "available": [1] * 300, "spot_usd_per_hour": None})
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(JobError, match="one step for all windows"):
        simulated(**RUN, traces=(path,))


def test_a_trace_without_prices_needs_one_without_a_plan(tmp_path: Path) -> None:
    document: dict[str, Any] = trace_document(invented_flags())
    document["windows"][0]["spot_usd_per_hour"] = None
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(JobError, match="--spot-usd X"):
        simulated(**RUN, traces=(path,))
    plan = write_plan(tmp_path / "plan.json", plan_document())
    assert simulated(plan=plan, traces=(path,)).traces[0].comparison.spot_micro_per_s == pytest.approx(300.0)
