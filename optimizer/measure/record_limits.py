"""What the figures of a measured run can be: no model, recipe, machine or reading lies outside, so a unit is wrong.

The ends are generous: ten times and more beyond what anybody trains. They keep what is computed from them finite.
"""

from __future__ import annotations

import math

from providers.errors import JobError

SHAPE = (0, 10**6)
LIMITS: dict[str, tuple[float, float]] = {
    "model.layers": (1, 10**4),
    "model.hidden": (1, 10**7),
    "model.intermediate": (1, 10**8),
    "model.heads": (1, 10**5),
    "model.kv_heads": (1, 10**5),
    "model.head_dim": (1, 10**5),
    "model.vocab": (1, 10**9),
    "model.context": (1, 10**9),
    "model.moe_experts": (0, 10**5),
    "model.moe_top_k": (0, 10**5),
    "model.moe_shared_experts": (0, 10**5),
    "model.dense_layers": (0, 10**4),
    "model.moe_intermediate": (0, 10**8),
    "model.moe_shared_intermediate": (0, 10**8),
    "model.position_table": (0, 10**9),
    "model.published_params": (1, 10**17),
    "model.extra_params": (0, 10**14),
    "model.published_bytes_per_param": (0.05, 100),
    "model.embedding_dim": SHAPE,
    "model.q_lora_rank": SHAPE,
    "model.kv_lora_rank": SHAPE,
    "model.qk_nope_head_dim": SHAPE,
    "model.qk_rope_head_dim": SHAPE,
    "model.v_head_dim": SHAPE,
    "recipe.bits": (1, 64),
    "recipe.lora_rank": (1, 10**5),
    "recipe.micro_batch": (1, 10**6),
    "recipe.grad_accum": (1, 10**6),
    "recipe.seq_len": (1, 10**7),
    "recipe.padding_factor": (1, 10**4),
    "recipe.row_tokens": (0, 10**7),
    "recipe.prompt_tokens": (0, 10**7),
    "recipe.response_tokens": (0, 10**7),
    "recipe.reward_params": (0, 10**14),
    "machine.gpus_per_node": (1, 1024),
    "machine.nodes": (1, 10**5),
    "machine.network_bytes_per_s": (1, 1e14),
    "readings.load_peak_bytes": (1, 1e14),
    "readings.allocated_bytes": (1, 1e14),
    "readings.reserved_bytes": (1, 1e14),
    "readings.device_bytes": (1, 1e14),
    "readings.tokens_per_s": (1e-6, 1e12),
    "readings.trained_params": (1, 10**17),
    "readings.step_s": (1e-9, 1e7),
}
"""Least and most of each figure, both allowed. A key that stands for several bytes is of one GPU."""
MOST_DIGITS = 40
"""Digits of a whole number beyond which nobody means a count: it is read as a fraction, and refused as such."""


def check_figure(value: float, key: str, *, where: str) -> None:
    """Raise JobError naming file, key, value and what is allowed for a figure that is not finite or beyond its ends."""
    least, most = LIMITS[key]
    # A whole number of hundreds of digits compares with a float, it cannot be turned into one.
    if not least <= value <= most or (isinstance(value, float) and not math.isfinite(value)):
        allowed = f"a figure of {_written(least)} to {_written(most)}"
        raise JobError(where=where, key=key, value=value if isinstance(value, float) else shown(value), allowed=allowed)


def shown(value: object) -> object:
    """Return a value as a message can show it where a whole number is wanted: thousands of digits have no text."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= 10**MOST_DIGITS:
        return f"a number of more than {MOST_DIGITS} digits"
    return value


def parse_whole(digits: str) -> int | float:
    """Return a whole number of a JSON file; one of too many digits to be a count as a float, infinity at the worst."""
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def _written(end: float) -> str:
    return f"{end:,.0f}" if 1 <= end < 1e9 or end == 0 else f"{end:g}"
