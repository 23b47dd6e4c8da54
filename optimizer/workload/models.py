"""What is to be trained: the shape of a model and the parameters it holds, by role.

The names of this package's model side in one place: `ModelSpec` and what follows from it, the table of known models,
and the reader of local `config.json` files.
"""

from __future__ import annotations

from .layouts import LAYOUTS, Layout
from .model_config import is_model_path, model_from_config
from .model_spec import ALL_LINEAR, AdapterShape, LinearModule, ModelSpec
from .model_table import ModelTable, load_models

__all__ = [
    "ALL_LINEAR",
    "LAYOUTS",
    "AdapterShape",
    "Layout",
    "LinearModule",
    "ModelSpec",
    "ModelTable",
    "is_model_path",
    "load_models",
    "model_from_config",
]
