"""Seconds that preference and reinforcement objectives add: reference and reward forwards, and PPO's rollouts.

Generating is bound by memory, not by arithmetic: every new token reads all active weights and the keys and values of
every sequence so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .communication import weight_bytes
from .efficiency import bandwidth
from .flops import DPO, FULL, PPO, Flops, forward_flops

if TYPE_CHECKING:
    from .runs import Floats, ModelColumns, RecipeColumns, Runs
    from .speed_constants import SpeedConstants


def objective_flops(runs: Runs, training: Flops, constants: SpeedConstants) -> Flops:
    """Return the FLOP per processed token of the whole objective, given those of training the policy once.

    SFT: training. DPO: one reference forward more. PPO: forwards of reference, reward, value and old policy, and
    `ppo_epochs` times the training of policy and value model. With adapters the value head sits on the policy's
    frozen trunk, so value costs nothing of its own.
    """
    model, recipe = runs.model, runs.recipe
    forward = forward_flops(model, recipe)
    own_value = np.where(recipe.tuning == FULL, 1.0, 0.0)
    ppo = recipe.objective == PPO
    forwards = np.where(ppo, 2.0 + own_value, np.where(recipe.objective == DPO, 1.0, 0.0))
    trainings = np.where(ppo, constants.ppo_epochs * (1.0 + own_value), 1.0)
    reward = np.where(ppo, 2.0 * recipe.reward_params, 0.0)
    return Flops(
        matrix=trainings * training.matrix + forwards * forward.matrix + reward,
        attention=trainings * training.attention + forwards * forward.attention,
    )


def decode_seconds(runs: Runs, constants: SpeedConstants) -> Floats:
    """Return the seconds in which one GPU writes the responses of one micro-batch of rollouts; 0 but for PPO.

    Every new token takes the longer of reading weights and caches, computing, and launching the kernels of each layer.
    """
    model, recipe, machine = runs.model, runs.recipe, runs.machine
    rate = bandwidth(machine, constants) * constants.decode_bandwidth_efficiency
    weights = weight_bytes(model, recipe) * model.active_linear_params / model.linear_params
    context = recipe.prompt_tokens + recipe.response_tokens / 2.0
    cached = recipe.micro_batch * context * cache_bytes_per_token(model)
    flops = recipe.micro_batch * forward_flops(model, recipe).matrix
    speed = machine.peak_flops_per_s * constants.matrix_efficiency[recipe.stack]
    per_token = np.maximum(np.maximum((weights + cached) / rate, flops / speed), constants.decode_launch_s * model.layers)
    return np.where(recipe.objective == PPO, recipe.response_tokens * per_token, 0.0)


def cache_bytes_per_token(model: ModelColumns) -> Floats:
    """Return the bytes of keys and values that one token leaves in all layers, in 16 bits."""
    return 2.0 * 2.0 * model.layers * model.kv_heads * model.head_dim


def passes_per_micro_step(recipe: RecipeColumns, constants: SpeedConstants) -> Floats:
    """Return how many trainings of the policy one micro-step stands for: PPO repeats them over its rollouts."""
    return np.where(recipe.objective == PPO, constants.ppo_epochs, 1.0)
