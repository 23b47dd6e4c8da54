"""Which cloud GPU instance, how many GPUs, which quantization and which method train a model for least money in time.

The public Python interface, loaded on first use so that `import optimizer` costs nothing:

    from optimizer import Job, estimate, estimate_cost, plan, portfolio, price_history

    answer = plan(model="llama-3.1-8b", samples=13_300, tokens_per_sample=400, epochs=4, deadline="24h")
    print(answer.choice.offer.instance_type, answer.cost_usd.expected)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from . import version

if TYPE_CHECKING:
    from .app.api import Job, estimate, estimate_cost, plan, portfolio, price_history, study

__version__ = version.VERSION

__all__ = ["Job", "__version__", "estimate", "estimate_cost", "plan", "portfolio", "price_history", "study"]

_LAZY = frozenset({"Job", "estimate", "estimate_cost", "plan", "portfolio", "price_history", "study"})


def __getattr__(name: str) -> object:
    """Return a public name from `optimizer.app.api`, imported now. Raises AttributeError for any other name."""
    if name in _LAZY:
        return getattr(import_module(".app.api", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
