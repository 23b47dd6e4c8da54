"""`next`: a plan read, and the action with the offers to turn to."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from optimizer.app.next_action import next_action
from optimizer.search.spot.next_step import Action, Reason
from providers.errors import JobError
from tests.fixtures.spot_world import HOUR, plan_document, write_plan

if TYPE_CHECKING:
    from pathlib import Path

    from optimizer.report.spot_answers import NextAnswer


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plan(tmp_path_factory.mktemp("plans") / "plan.json")


def asked(plan: Path, **changes: Any) -> NextAnswer:
    values: dict[str, Any] = {"done": "0.2", "mode": "idle", "spot_up": True, "age": "20m", "elapsed": "1h"}
    return next_action(plan, **{**values, **changes})


def test_spot_is_started_where_the_plan_says(plan: Path) -> None:
    answer = asked(plan)
    assert answer.step.action is Action.SPOT
    assert [one.region for one in answer.offers] == ["mars-1", "mars-2"]
    assert [one.ceiling_nano for one in answer.offers] == [1_500_000_000, 1_250_000_000]
    assert (answer.starts_machine, answer.nodes) == (True, 2)
    assert not asked(plan, mode="spot").starts_machine
    assert asked(plan, mode="spot", spot_up=False).step.action is not Action.SPOT


def test_the_net_starts_the_fallback(plan: Path) -> None:
    answer = asked(plan, elapsed="4h30m")
    assert answer.step.action is Action.ON_DEMAND
    assert [one.pricing_model for one in answer.offers] == ["on_demand"]
    assert not asked(plan, elapsed="4h30m", mode="on_demand").starts_machine


def test_time_is_counted_from_the_plan_or_given(plan: Path) -> None:
    by_clock = asked(plan, elapsed=None, now="2031-05-06T08:30:00Z")
    assert by_clock.step.left_s == 9.5 * HOUR
    assert asked(plan, elapsed="90m").step == by_clock.step
    assert asked(plan, elapsed="0s").step.left_s == 11 * HOUR
    assert asked(plan, elapsed="3d", done="99%").step.reason.value == "late"


def test_done_is_a_fraction_or_a_share(plan: Path) -> None:
    assert asked(plan, done="30%").step == asked(plan, done="0.3").step
    assert asked(plan, done="1").step.action is Action.DONE
    assert asked(plan, done="100%").offers == ()


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"done": "1.1"}, "done"),
        ({"done": "nan"}, "done"),
        ({"done": "most"}, "done"),
        ({"mode": "gpu"}, "mode"),
        ({"age": "old"}, "age"),
        ({"elapsed": "-1h"}, "elapsed"),
        ({"elapsed": "1h", "now": "2031-05-06T08:30:00Z"}, "now"),
        ({"elapsed": None, "now": "2031-05-06T06:30:00Z"}, "now"),
        ({"elapsed": None, "now": "noon"}, "now"),
        ({"starting": "6m"}, "starting"),
        ({"starts": -1}, "starts"),
        ({"work": "0h"}, "work"),
        ({"work": "long"}, "work"),
    ],
)
def test_flags_that_are_wrong_are_named(plan: Path, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(JobError) as caught:
        asked(plan, **changes)
    assert (caught.value.where, caught.value.key) == ("command line", key)


def test_work_that_turned_out_longer_brings_the_net_nearer(plan: Path) -> None:
    planned, measured = asked(plan, elapsed="2h", done="0%"), asked(plan, elapsed="2h", done="0%", work="8h50m")
    assert planned.step.slack_s - measured.step.slack_s == 50 * 60
    assert (planned.step.reason, measured.step.reason) == (Reason.TABLE, Reason.NET)


def changed(key: str, value: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(plan_document()))
    *path, last = key.split(".")
    place = document
    for one in path:
        place = place[one]
    place[last] = value
    return document


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"schema": "tunefare.estimate/v1"}, "schema"),
        ([], "document"),
        (changed("choice", None), "choice"),
        (changed("choice.spot", None), "choice.spot.policy"),
        (changed("choice.spot.policy", None), "choice.spot.policy"),
        (changed("choice.spot.policy.work_s", "8h"), "policy.work_s"),
        (changed("choice.nodes", 0), "choice.nodes"),
        (changed("choice.spot.failover", {}), "choice.spot.failover"),
        (changed("choice.spot.fallback", 3), "choice.spot.fallback"),
        (changed("choice.spot.fallback.region", "a\x1b[2J"), "choice.spot.fallback.region"),
        (changed("made_at", "today"), "made_at"),
    ],
)
def test_a_plan_that_is_wrong_is_named(tmp_path: Path, document: Any, key: str) -> None:
    path = write_plan(tmp_path / "p.json", document)
    with pytest.raises(JobError) as caught:
        asked(path)
    assert (caught.value.where, caught.value.key) == (str(path), key)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_that_nobody_writes_to_is_no_plan_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(JobError, match="readable JSON"):
        asked(tmp_path / "pipe")


def test_a_plan_without_a_policy_says_which_option_makes_one(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="--executor policy"):
        asked(write_plan(tmp_path / "p.json", changed("choice.spot", None)))


def test_a_plan_without_a_failover_list_starts_its_own_offer(tmp_path: Path) -> None:
    document = changed("choice.spot.failover", None)
    document["choice"]["spot"]["fallback"] = None
    answer = asked(write_plan(tmp_path / "p.json", document))
    assert [one.region for one in answer.offers] == ["mars-1"]
    assert asked(write_plan(tmp_path / "q.json", document), elapsed="5h").offers == ()
