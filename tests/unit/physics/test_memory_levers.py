"""Optimizer in backward, activation offload, fused steps and losses in 16 bit, on the toy model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optimizer.physics.activations import activation_columns
from optimizer.physics.axes import Checkpointing, Loss, Optimizer, Precision, Sharding, Stack, Tuning
from optimizer.physics.recipe import Recipe, refuse
from optimizer.physics.switches import switches
from optimizer.workload.layouts import LAYOUTS
from tests.unit.physics.memory_cases import EMBEDDING, ROUND, TOTAL, TOY, memory_of, parts_of, runs_of, with_sigma

FULL = Tuning.FULL
LEVERS = with_sigma(levers=0.08)


def test_a_fused_step_takes_no_copies() -> None:
    assert "optimizer_step" in parts_of(tuning=FULL)
    assert "optimizer_step" not in parts_of(tuning=FULL, fused_optimizer=True)
    assert "optimizer_step" not in parts_of(tuning=FULL, stack=Stack.TORCHTUNE)
    assert parts_of(tuning=FULL, stack=Stack.TORCHTUNE, fused_optimizer=False)["optimizer_step"] == 2 * TOTAL


def test_an_optimizer_in_backward_leaves_one_gradient_of_the_largest_tensor() -> None:
    parts = parts_of(tuning=FULL, optimizer_in_backward=True)
    assert parts.pop("gradients") == pytest.approx(2 * EMBEDDING)
    assert parts.pop("weights") == 2 * TOTAL
    assert parts.pop("optimizer_state") == 4 * TOTAL
    assert "optimizer_step" not in parts


@pytest.mark.parametrize("optimizer", list(Optimizer))
@pytest.mark.parametrize("lever", ["optimizer_in_backward", "activation_offload", "fused_optimizer"])
def test_no_lever_ever_needs_more(lever: str, optimizer: Optimizer) -> None:
    for checkpointing in Checkpointing:
        plain = memory_of(tuning=FULL, optimizer=optimizer, checkpointing=checkpointing)
        pulled = memory_of(tuning=FULL, optimizer=optimizer, checkpointing=checkpointing, **{lever: True})
        assert pulled.required.expected[0] <= plain.required.expected[0]


def test_activation_offload_moves_what_is_saved_to_the_host() -> None:
    columns = {}
    for away in (False, True):
        runs = runs_of(tuning=Tuning.LORA, seq_len=40, activation_offload=away)
        columns[away] = activation_columns(runs, switches(runs), ROUND)
    moved = 40 * 2 * TOY.layers * TOY.hidden
    assert (columns[False].saved[0], columns[False].away[0]) == (moved, 0)
    assert (columns[True].saved[0], columns[True].away[0]) == (0, moved)
    here, away_ = (memory_of(tuning=Tuning.LORA, seq_len=40, activation_offload=away) for away in (False, True))
    assert away_.host.expected[0] - here.host.expected[0] == moved


def test_levers_are_less_sure() -> None:
    plain, pulled = (
        memory_of(constants=LEVERS, tuning=FULL, activation_offload=pulled).allocated for pulled in (False, True)
    )
    assert plain.high[0] == plain.expected[0]
    assert pulled.high[0] / pulled.expected[0] == pytest.approx(1.108, rel=1e-3)


def test_gradients_that_are_let_go_cannot_be_accumulated() -> None:
    found = refuse(Recipe(tuning=FULL, optimizer_in_backward=True, grad_accum=2))
    assert found is not None
    assert found.axis == "grad_accum"
    assert refuse(Recipe(tuning=FULL, optimizer_in_backward=True)) is None


@pytest.mark.parametrize(
    ("recipe", "family", "per_entry"),
    [
        ({}, "llama", 14),
        ({}, "gpt_bigcode", 8),
        ({"precision": Precision.BF16_MIXED}, "gpt_bigcode", 16),
        ({"precision": Precision.BF16_MIXED, "sharding": Sharding.ZERO2}, "qwen", 8),
        ({"precision": Precision.FP32, "sharding": Sharding.ZERO2}, "qwen", 14),
        ({"stack": Stack.LITGPT}, "llama", 6),
        ({"stack": Stack.LITGPT, "precision": Precision.BF16_MIXED}, "llama", 14),
    ],
)
def test_a_loss_in_the_type_of_its_logits_is_smaller(recipe: dict[str, object], family: str, per_entry: float) -> None:
    model = replace(TOY, layout=LAYOUTS[family])
    runs = runs_of(model=model, tuning=FULL, loss=Loss.STANDARD, gpus=2 if "sharding" in recipe else 1, **recipe)
    logits = activation_columns(runs, switches(runs), ROUND).logits[0]
    fp32 = recipe.get("precision") is Precision.FP32
    expected = 4 * (per_entry * TOY.vocab + ROUND.logits.standard_hidden * TOY.hidden)
    assert logits == expected * (ROUND.logits.fp32_factor if fp32 else 1)
