"""What a plan says beside its figures, on the bundled prices."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import pytest

from optimizer.app.planning import plan_job
from optimizer.app.settings import Settings
from optimizer.physics.axes import Offload
from optimizer.workload.job_input import JobInput

if TYPE_CHECKING:
    from optimizer.search.results import Plan

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@lru_cache(maxsize=8)
def planned(**said: object) -> Plan:
    values = {"model": "llama-3.1-8b", "tokens": 20_000_000, **said}
    return plan_job(JobInput.from_mapping(values, where="test"), settings=Settings(), now=NOW)


@pytest.mark.parametrize("floor", ["med-high", "high", "highest"])
def test_the_floor_is_named_as_it_was_set(floor: str) -> None:
    about_floor = [line for line in planned(quality_floor=floor).lost if "the floor is" in line]
    assert about_floor
    assert all(line.endswith(f"and the floor is {floor}.") for line in about_floor)


def test_offload_and_the_assumed_batch_are_warned_of() -> None:
    plan = planned(quality_floor="highest", provider="aws")
    assert plan.choices[0].recipe.offload is not Offload.NONE
    assert any(note.startswith("Offload: ") for note in plan.notes)
    assert any("A global batch of 16 sequences (assumed)" in note for note in plan.notes)


def test_a_stated_batch_and_a_plain_recipe_need_no_warning() -> None:
    stated = planned(quality_floor="highest", provider="aws", global_batch=16)
    assert not any("global batch" in note for note in stated.notes)
    plain = planned()
    assert not any("Offload" in note or "global batch" in note for note in plain.notes)
