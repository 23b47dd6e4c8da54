"""Seconds that preference and reinforcement objectives add: reference and reward forwards, and PPO's rollouts.

Generating is bound by memory, not by arithmetic: every new token reads all active weights and the keys and values of
every sequence so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .communication import weight_bytes
from .efficiency import bandwidth, matrix_speed
from .flops import DPO, FULL, PPO, SFT, Flops, forward_flops

if TYPE_CHECKING:
    from .runs import Floats, ModelColumns, RecipeColumns, Runs
    from .speed_constants import SpeedConstants


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """Passes of a policy-sized model over one micro-batch: trainings (forward and backward) and further forwards."""

    trainings: Floats
    forwards: Floats

    @property
    def equivalent(self) -> Floats:
        """All passes in trainings: a forward pass is a third of one."""
        return self.trainings + self.forwards / 3.0


def objective_passes(recipe: RecipeColumns, constants: SpeedConstants) -> Passes:
    """Return the passes that the objective asks for.

    SFT: one training. DPO: a reference forward more. PPO: `ppo_epochs` trainings of policy and value model, and
    forwards of old policy, reference and value model. With adapters the value head sits on the policy's trunk.
    """
    ppo = recipe.objective == PPO
    own_value = np.where(recipe.tuning == FULL, 1.0, 0.0)
    return Passes(
        trainings=np.where(ppo, constants.ppo_epochs * (1.0 + own_value), 1.0),
        forwards=np.where(ppo, 2.0 + own_value, np.where(recipe.objective == DPO, 1.0, 0.0)),
    )


def objective_flops(runs: Runs, training: Flops, passes: Passes) -> Flops:
    """Return the FLOP per processed token of all passes, given those of one training; PPO adds its reward model."""
    model, recipe = runs.model, runs.recipe
    if not (recipe.objective != SFT).any():
        return training
    forward = forward_flops(model, recipe)
    reward = np.where(recipe.objective == PPO, 2.0 * recipe.reward_params, 0.0)
    return Flops(
        matrix=passes.trainings * training.matrix + passes.forwards * forward.matrix + reward,
        attention=passes.trainings * training.attention + passes.forwards * forward.attention,
    )


def decode_seconds(runs: Runs, constants: SpeedConstants) -> Floats:
    """Return the seconds in which one GPU writes the responses of one micro-batch of rollouts; 0 but for PPO.

    Every new token takes the longer of reading weights and caches, computing, and launching the kernels of each layer.
    """
    model, recipe, machine = runs.model, runs.recipe, runs.machine
    if not (recipe.objective == PPO).any():
        return np.zeros(1)
    rate = bandwidth(machine, constants) * constants.decode_bandwidth_efficiency
    weights = weight_bytes(model, recipe) * model.active_linear_params / model.linear_params
    context = recipe.prompt_tokens + recipe.response_tokens / 2.0
    cached = recipe.micro_batch * context * cache_bytes_per_token(model)
    flops = recipe.micro_batch * forward_flops(model, recipe).matrix
    speed = matrix_speed(runs, constants)
    per_token = np.maximum(
        np.maximum((weights + cached) / rate, flops / speed), constants.decode_launch_s * model.layers
    )
    return np.where(recipe.objective == PPO, recipe.response_tokens * per_token, 0.0)


def cache_bytes_per_token(model: ModelColumns) -> Floats:
    """Return the bytes of keys and values that one token leaves in all layers, in 16 bits."""
    return 2.0 * 2.0 * model.layers * model.kv_heads * model.head_dim
