"""What the bundled list does not cover, provider by provider, so that an answer can say it.

Its source for GPU clouds states a price a GPU, and not which machines with 2, 4 or 8 of them exist: such machines are
rented out, and their prices are not known here. It is a fact about the list, kept in the code because the search reads
no file; a test holds it to the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .offer import Offer

MULTI_GPU_PRICES_UNKNOWN = frozenset({
    "akash", "coreweave", "dataoorts", "digitalocean", "genesis-cloud", "gpuhub", "hyperstack", "jarvis-labs", "lambda",
    "modal", "novita", "packet-ai", "qubrid", "runpod", "salad", "spheron", "tensordock", "thunder-compute", "vast",
    "verda", "vultr",
})  # fmt: skip
"""Providers of which the bundled list has machines with one GPU only (source: tardellirs/gpu-pricing @8f09a680)."""

MOST_NAMED = 4
"""Providers that a sentence names before it says how many more there are."""


def missing_multi_gpu(providers: Iterable[str] = (), *, offers: Iterable[Offer] = ()) -> tuple[str, ...]:
    """Return those of `providers` whose prices of machines with several GPUs are not known, in alphabetical order.

    No providers stands for all. One that has such a machine among `offers` (the user's own file, a live price) is not
    missing.
    """
    asked = frozenset(name.casefold() for name in providers)
    missing = MULTI_GPU_PRICES_UNKNOWN & asked if asked else MULTI_GPU_PRICES_UNKNOWN
    priced = {offer.provider.casefold() for offer in offers if offer.gpu_count > 1}
    return tuple(sorted(missing - priced))


def multi_gpu_note(missing: Iterable[str]) -> str | None:
    """Return the sentence that tells a reader what is missing, and how to add it; None when nothing is."""
    names = tuple(missing)
    if not names:
        return None
    more = len(names) - MOST_NAMED
    if more > 1:
        shown = f"{', '.join(names[:MOST_NAMED])} and {more} more providers"
    else:
        shown = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"Prices of machines with several GPUs at {shown} are not known: name yours with --offers FILE.csv."
