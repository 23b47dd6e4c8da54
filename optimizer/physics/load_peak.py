"""The load peak: what initialisation holds at once, before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .state import kbit_copy, largest_matrix, quantised_bytes, total_params

if TYPE_CHECKING:
    from .memory_constants import MemoryConstants
    from .runs import Floats, Runs
    from .state import StateColumns
    from .switches import Switches


def load_parts(runs: Runs, on: Switches, state: StateColumns, constants: MemoryConstants) -> dict[str, Floats]:
    """Return the bytes per GPU at the load peak by part, shape (n,) or (1,).

    PEFT's k-bit preparation turns everything that is not quantised into fp32, tensor by tensor, so that one 16-bit
    copy of the embedding stands beside the fp32 ones at the peak. Without it, a k-bit load holds the largest tensor
    in 16 bit while quantising it. A sharded run loads one unit (block, or embedding and head) at a time; but ZeRO-3
    puts k-bit weights on each GPU whole before it shards them (DeepSpeed issues 5617 and 5637).
    """
    model = runs.model
    params = total_params(runs)
    rest = params - model.linear_params
    quantised = np.where(on.quantised, quantised_bytes(runs, constants), 4.0)
    prepared = on.prepared & on.adapter
    whole = on.zero3 & on.quantised & on.adapter
    upcast = (model.linear_params * quantised + 4.0 * rest) / np.where(whole, 1.0, on.param_shards)
    largest = 2.0 * np.maximum(model.embedding_params, largest_matrix(runs))
    staging = np.where(prepared, 2.0 * model.embedding_params, np.where(on.quantised, largest, 0.0))
    narrow = kbit_copy(runs, constants) + 2.0 * on.fp32_stream * rest
    away = on.offloaded & on.sharded_params & ~whole
    by_unit = on.sharded_params & ((on.gpus > 1) | away) & ~whole
    unit_width = np.where(on.fp32 | (on.full & ~on.pure & on.fsdp), 4.0, 2.0)
    unit = unit_width * np.maximum(model.embedding_params + model.head_params, model.block_params)
    return {
        "weights": np.where(prepared & ~away, upcast, np.where(whole, narrow, state.weights)),
        "adapters": state.adapters,
        "master_weights": state.master_weights,
        "model_copies": state.model_copies,
        "value_model": np.where(state.value_model > 0, state.weights, 0.0),
        "staging": np.where(by_unit, np.maximum(unit, staging), staging),
    }
