from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from optimizer.physics.axes import Attention, Offload, Precision, Sharding, Stack, Tuning, code
from optimizer.physics.runs import ARCHITECTURES
from optimizer.physics.speed_constants import SpeedSigma
from optimizer.physics.speed_uncertainty import speed_basis, speed_sigma
from providers.basis import BASES

QUIET = SpeedSigma(**{field.name: 0.0 for field in fields(SpeedSigma)})
FSDP = code(Sharding.FSDP)


SHARED = ("memory", "launch", "dequantisation", "interconnect", "offload")
"""Causes that count by the share of the step that a part takes."""


def sigma_of(runs, constants, **shares: float) -> float:
    parts = {part: np.array([shares.get(part, 0.0)]) for part in SHARED}
    return float(speed_sigma(runs, parts, np.ones(1), np.zeros(1), constants)[0])


@pytest.fixture
def quiet(make_constants):
    def make(**changes: float):
        return make_constants(
            stack_sigma=np.zeros(len(Stack)),
            architecture_sigma=np.zeros(len(ARCHITECTURES)),
            sigma=replace(QUIET, **changes),
        )

    return make


CAUSES = {
    "unknown_stack": {"stack_known": False},
    "several_gpus": {"gpu_count": 2.0},
    "several_nodes": {"nodes": 2.0},
    "moe": {"experts": 8.0},
    "dpo": {"objective": 1},
    "ppo": {"objective": 2},
    "int8": {"bits": 8},
    "dora": {"tuning": code(Tuning.DORA)},
    "eager": {"attention": code(Attention.EAGER)},
    "fp8": {"precision": code(Precision.FP8)},
    "padded": {"padding_factor": 1.1},
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_widens_and_only_where_it_holds(make_runs, quiet, cause):
    constants = quiet(**{cause: 0.3})
    assert sigma_of(make_runs(**CAUSES[cause]), constants) == pytest.approx(0.3)
    assert sigma_of(make_runs(), constants) == 0.0


def test_every_cause_is_tested():
    assert {*CAUSES, *SHARED, "pcie_sharded"} == {field.name for field in fields(SpeedSigma)}


def test_pcie_widens_gathering_on_several_gpus_only(make_runs, quiet):
    constants = quiet(pcie_sharded=0.5, interconnect=0.1)
    gathered = make_runs(nvlink=False, gpu_count=2.0, sharding=FSDP)
    assert sigma_of(gathered, constants, interconnect=0.6) == pytest.approx(0.3)
    for other in (
        make_runs(nvlink=False, sharding=FSDP),
        make_runs(nvlink=False, gpu_count=2.0, sharding=code(Sharding.DDP)),
        make_runs(nvlink=True, gpu_count=2.0, sharding=FSDP),
    ):
        assert sigma_of(other, constants, interconnect=0.6) == pytest.approx(0.06)


def test_an_unknown_network_adds_what_it_is_given(make_runs, quiet):
    parts, one = {part: np.zeros(1) for part in SHARED}, np.ones(1)
    assert speed_sigma(make_runs(experts=8.0), parts, one, 0.4 * one, quiet(moe=0.3)) == pytest.approx([0.5])


def test_causes_add_in_quadrature(make_runs, quiet):
    constants = quiet(moe=0.3, dpo=0.4)
    assert sigma_of(make_runs(experts=8.0, objective=1), constants) == pytest.approx(0.5)


def test_stack_and_architecture_have_their_own_spread(make_runs, quiet):
    by_stack, by_architecture = np.zeros(len(Stack)), np.zeros(len(ARCHITECTURES))
    by_stack[code(Stack.NEMO)], by_architecture[ARCHITECTURES.index("ada")] = 0.3, 0.4
    constants = replace(quiet(), stack_sigma=by_stack, architecture_sigma=by_architecture)
    assert sigma_of(make_runs(stack=code(Stack.NEMO)), constants) == pytest.approx(0.3)
    assert sigma_of(make_runs(architecture=ARCHITECTURES.index("ada")), constants) == pytest.approx(0.4)


@pytest.mark.parametrize("part", SHARED)
def test_unsure_parts_widen_by_their_share_of_the_step(make_runs, quiet, part):
    assert sigma_of(make_runs(), quiet(**{part: 0.5}), **{part: 0.6}) == pytest.approx(0.3)
    assert sigma_of(make_runs(), quiet(**{part: 0.5})) == 0.0


@pytest.mark.parametrize(
    ("basis", "changes"),
    [
        ("published", {}),
        ("published", {"gpu_count": 8.0, "sharding": FSDP}),
        ("published", {"bits": 4}),
        ("published", {"architecture": ARCHITECTURES.index("hopper")}),
        ("derived", {"architecture": ARCHITECTURES.index("turing")}),
        ("assumed", {"architecture": ARCHITECTURES.index("ada")}),
        ("assumed", {"architecture": ARCHITECTURES.index("ada-consumer")}),
        ("derived", {"architecture": ARCHITECTURES.index("blackwell")}),
        ("assumed", {"architecture": ARCHITECTURES.index("blackwell"), "objective": 1}),
        ("derived", {"nodes": 2.0}),
        ("derived", {"gpu_count": 2.0, "nvlink": False}),
        ("derived", {"bits": 8}),
        ("derived", {"tuning": code(Tuning.DORA)}),
        ("published", {"tuning": code(Tuning.RSLORA)}),
        ("derived", {"attention": code(Attention.EAGER)}),
        ("derived", {"stack": code(Stack.LITGPT)}),
        ("derived", {"stack": code(Stack.UNSLOTH), "tuning": 0}),
        ("published", {"stack": code(Stack.UNSLOTH)}),
        ("assumed", {"stack_known": False}),
        ("assumed", {"objective": 1}),
        ("assumed", {"objective": 2}),
        ("assumed", {"offload": code(Offload.CPU)}),
        ("assumed", {"architecture": ARCHITECTURES.index("cdna3")}),
        ("assumed", {"architecture": ARCHITECTURES.index("ampere-consumer")}),
        ("assumed", {"nodes": 2.0, "network_bytes_per_s": np.nan}),
    ],
)
def test_basis(make_runs, basis, changes):
    assert BASES[int(speed_basis(make_runs(**changes))[0])] == basis
