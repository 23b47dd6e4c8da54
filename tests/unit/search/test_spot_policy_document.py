"""The policy of a plan as a document: what is written, and what is refused."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from optimizer.report.json_text import to_text
from optimizer.search.spot.dynamic_program import solve_policy
from optimizer.search.spot.policy_document import policy_document, read_policy
from optimizer.search.spot.policy_table import PolicyTable
from optimizer.search.spot.zone_counts import load_zone_models
from providers.errors import JobError
from tests.fixtures.spot_world import HOUR, invented_problem

if TYPE_CHECKING:
    from collections.abc import Callable

PROBLEM = invented_problem()
TABLE = solve_policy(PROBLEM, steps=40).table
DOCUMENT: dict[str, Any] = policy_document(PROBLEM, TABLE)


def test_a_row_reads_as_it_is_meant() -> None:
    actions = np.zeros((4, 1, 11, 6), dtype=np.int8)
    actions[0, 0, :, :2], actions[0, 0, :, 2:4] = 2, 1
    actions[1, 0] = 2
    table = PolicyTable(
        time_left_s=np.array([3600.0]), slack_step_s=600.0, actions=actions, restart_s=300.0, net_idle_s=960.0,
        net_spot_s=660.0, deadline_s=11 * HOUR, work_s=8 * HOUR,
    )  # fmt: skip
    row = policy_document(PROBLEM, table)["rows"][0]  # type: ignore[index]
    assert row["idle_up"] == "o 1200 s 2400 w" + " | =" * 10
    assert row["idle_down"] == "o" + " | =" * 10
    assert row["time_left_s"] == 3600


def test_a_document_holds_whole_numbers_and_texts_and_little() -> None:
    model = load_zone_models().pooled
    problem = invented_problem(work_s=48 * HOUR + 0.4, deadline_s=52 * HOUR, restart_s=720.2, availability=model)
    document = policy_document(problem, solve_policy(problem).table)
    # Raises for anything but whole numbers and texts.
    text = to_text(document)  # type: ignore[arg-type]
    assert len(text) < 48_000
    assert (document["work_s"], document["restart_s"]) == (48 * 3600 + 1, 721)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    change(document)
    return document


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda one: one.update(schema="tunefare.policy/v2"), "policy.schema"),
        (lambda one: one.pop("rows"), "policy.rows"),
        (lambda one: one.update(rows=[]), "policy.rows"),
        (lambda one: one["rows"].reverse(), "policy.rows"),
        (lambda one: one.update(more=1), "policy"),
        (lambda one: one.update(work_s=1.5), "policy.work_s"),
        (lambda one: one.update(work_s=True), "policy.work_s"),
        (lambda one: one.update(work_s=-1), "policy.work_s"),
        (lambda one: one.update(net_idle_s=0), "policy.net_idle_s"),
        (lambda one: one.update(on_demand_usd_micro_per_h=0), "policy.on_demand_usd_micro_per_h"),
        (lambda one: one.update(slack_step_s=0), "policy.slack_step_s"),
        (lambda one: one.update(slack_steps=10**9), "policy.slack_steps"),
        (lambda one: one.update(age_from_s=[0]), "policy.age_from_s"),
        (lambda one: one.update(availability=None), "policy.availability"),
        (lambda one: one["availability"].update(basis="guessed"), "policy.availability.basis"),
        (lambda one: one["availability"].update(loss_ppm_per_h=[1]), "policy.availability.loss_ppm_per_h"),
        (lambda one: one["availability"].update(name="a\x1b[31mb"), "policy.availability.name"),
        (lambda one: one["rows"][0].update(idle_up="o"), "policy.rows[0].idle_up"),
        (lambda one: one["rows"][0].update(idle_up="= | " * 10 + "o"), "policy.rows[0].idle_up, part 0"),
        (lambda one: one["rows"][0].update(idle_up="o | " * 10 + "x"), "policy.rows[0].idle_up, part 10"),
        (lambda one: one["rows"][0].update(idle_up="o | " * 10 + "o 7 s"), "policy.rows[0].idle_up, part 10"),
        (lambda one: one["rows"][0].update(idle_up="o | " * 10 + "o 0 s"), "policy.rows[0].idle_up, part 10"),
        (lambda one: one["rows"][0].update(idle_up="o | " * 10 + f"o {'9' * 40} s"), "policy.rows[0].idle_up, part 10"),
        (lambda one: one["rows"][0].pop("idle_down"), "policy.rows[0].idle_down"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[dict[str, Any]], object], key: str) -> None:
    with pytest.raises(JobError) as caught:
        read_policy(changed(change), where="plan.json")
    assert (caught.value.where, caught.value.key) == ("plan.json", key)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_what_is_no_document_is_refused() -> None:
    for value in (None, [], "policy", 3):
        with pytest.raises(JobError):
            read_policy(value, where="plan.json")
