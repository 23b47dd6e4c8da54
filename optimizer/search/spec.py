"""Reading what a person asks "why not ...?" about: a GPU, a place, a method, a pricing model, how state is held, or
several of them. Upper and lower case are alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.errors import JobError
from providers.offer import PricingModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.recipe import Recipe
    from providers.gpus import GpuTable
    from providers.offer import Offer

METHODS = ("full", "lora", "qlora", "dora", "rslora")
FILLER = frozenset({"in", "on", "at", "with", "of", "the", "a", "an", "and", "for", "instead", "from"})
_BITS = re.compile(r"(16|8|4)[- ]?bits?", re.IGNORECASE)
_NODES = re.compile(r"(\d+)[- ]?nodes?", re.IGNORECASE)
_COUNT = re.compile(r"(?:(\d+)x|x(\d+)|(\d+)[- ]?gpus?)", re.IGNORECASE)
_METHOD_AT_WIDTH = re.compile(r"(full|lora|qlora|dora|rslora)[- ]?(16|8|4)(?:[- ]?bits?)?", re.IGNORECASE)
ASKABLE = (
    "a GPU, provider, region, instance type, method, width (4-bit), count (8x), nodes, spot, zero3, offload or "
    "checkpointing"
)
_PRICING = {
    "spot": PricingModel.SPOT,
    "preemptible": PricingModel.SPOT,
    "on-demand": PricingModel.ON_DEMAND,
    "on_demand": PricingModel.ON_DEMAND,
    "ondemand": PricingModel.ON_DEMAND,
    "reserved": PricingModel.RESERVED,
}
_SHARDINGS = {
    **{name: {name} for name in ("ddp", "zero1", "zero2", "zero3", "fsdp")},
    **{f"zero{dash}{stage}": {f"zero{stage}"} for dash in "- " for stage in "123"},
    "sharding": {"zero3", "fsdp"}, "sharded": {"zero3", "fsdp"}, "zero": {"zero1", "zero2", "zero3"},
    "no sharding": {"none", "ddp"}, "without sharding": {"none", "ddp"}, "unsharded": {"none", "ddp"},
}  # fmt: skip
_OFFLOADS = {
    "offload": {"cpu", "nvme"}, "offloading": {"cpu", "nvme"}, "cpu offload": {"cpu"}, "cpu offloading": {"cpu"},
    "nvme offload": {"nvme"}, "nvme offloading": {"nvme"}, "nvme": {"nvme"}, "no offload": {"none"},
    "without offload": {"none"}, "no offloading": {"none"}, "without offloading": {"none"},
}  # fmt: skip
_KINDS = ("", "gradient ", "activation ", "full ")
_CHECKPOINTING = {
    **{f"{kind}checkpointing": True for kind in _KINDS},
    **{f"{no} {kind}checkpointing": False for no in ("no", "without") for kind in _KINDS},
}
LONGEST_NAME = 5
"""Words that a name ("NVIDIA RTX 6000 Ada Generation") may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What is asked about; empty sets and None mean anything."""

    text: str
    gpus: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    instance_types: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    bits: int | None = None
    pricing_model: PricingModel | None = None
    gpu_count: int | None = None
    nodes: int | None = None
    shardings: frozenset[str] = frozenset()
    offloads: frozenset[str] = frozenset()
    checkpointing: bool | None = None

    def names_offer(self, offer: Offer) -> bool:
        """Return whether an offer is among what is asked about, methods and node counts aside."""
        return (
            (not self.gpus or offer.gpu in self.gpus)
            and (not self.providers or offer.provider.lower() in self.providers)
            and (not self.regions or offer.region.lower() in self.regions or (offer.zone or "").lower() in self.regions)
            and (not self.instance_types or offer.instance_type.lower() in self.instance_types)
            and (self.pricing_model is None or offer.pricing_model is self.pricing_model)
            and (self.gpu_count is None or offer.gpu_count == self.gpu_count)
        )

    def names_method(self, method: str, bits: int) -> bool:
        """Return whether a method at a width is among what is asked about."""
        return (not self.methods or method in self.methods) and (self.bits is None or self.bits == bits)

    def names_recipe(self, recipe: Recipe) -> bool:
        """Return whether how a recipe holds its state is among what is asked about."""
        recomputes = recipe.checkpointing.value != "none"
        return (
            (not self.shardings or recipe.sharding.value in self.shardings)
            and (not self.offloads or recipe.offload.value in self.offloads)
            and (self.checkpointing is None or self.checkpointing == recomputes)
        )


def parse_spec(text: str, *, offers: Sequence[Offer], gpus: GpuTable) -> Spec:
    """Return what `text` names: words in any order, joined by spaces, commas, "+", "in", "on", "with".

    A GPU is an id, an alias, or a chip ("H100" stands for all its forms). Raises JobError naming the first word that
    is no GPU, provider, region, zone, instance type, method, width, count, pricing model, sharding, offload or
    checkpointing, and the known name that comes nearest to it.
    """
    words = [word for word in re.split(r"[\s,+]+", text.strip()) if word]
    found = _Found(offers, gpus)
    at = 0
    while at < len(words):
        if words[at].lower() in FILLER:
            at += 1
            continue
        for length in range(min(LONGEST_NAME, len(words) - at), 0, -1):
            if found.take(" ".join(words[at : at + length])):
                at += length
                break
        else:
            raise JobError(
                where="command line", key="why-not", value=words[at], allowed=ASKABLE + found.nearest(words[at])
            )
    if not found.named:
        raise JobError(where="command line", key="why-not", value=text, allowed="something to ask about")
    return found.spec(text.strip())


class _Found:
    """What has been recognised so far."""

    def __init__(self, offers: Sequence[Offer], gpus: GpuTable) -> None:
        self._gpus = gpus
        self._providers = {offer.provider.lower() for offer in offers}
        self._regions = {place.lower() for offer in offers for place in (offer.region, offer.zone) if place}
        self._types = {offer.instance_type.lower() for offer in offers}
        self.named = False
        self._sets: dict[str, set[str]] = {
            "gpus": set(), "providers": set(), "regions": set(), "instance_types": set(), "methods": set(),
            "shardings": set(), "offloads": set(),
        }  # fmt: skip
        self._bits: int | None = None
        self._pricing: PricingModel | None = None
        self._count: int | None = None
        self._nodes: int | None = None
        self._checkpointing: bool | None = None

    def nearest(self, word: str) -> str:
        """Return the known name that comes nearest to an unknown word, as a question; empty where none is near."""
        from difflib import get_close_matches

        gpus = {name.lower() for gpu in self._gpus.by_id.values() for name in (gpu.id, gpu.chip)}
        known = {*METHODS, *self._providers, *self._regions, *self._types, *gpus, *_PRICING, *_SHARDINGS, *_OFFLOADS}
        close = get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.7)
        return f"; did you mean {close[0]}?" if close else ""

    def take(self, name: str) -> bool:
        """Recognise one name; False when it is nothing known."""
        taken = self._take_word(name.lower()) or self._take_figure(name)
        self.named = self.named or taken
        return taken

    def spec(self, text: str) -> Spec:
        """Return all that was recognised."""
        return Spec(
            text=text,
            **{kind: frozenset(names) for kind, names in self._sets.items()},
            bits=self._bits,
            pricing_model=self._pricing,
            gpu_count=self._count,
            nodes=self._nodes,
            checkpointing=self._checkpointing,
        )

    def _take_word(self, word: str) -> bool:
        known = (
            ("methods", METHODS),
            ("providers", self._providers),
            ("regions", self._regions),
        )
        for kind, names in known:
            if word in names:
                self._sets[kind].add(word)
                return True
        # Some clouds name a machine after its GPU: the GPU, wherever it is rented, is what is meant then.
        ids = self._gpu_ids(word)
        if ids:
            self._sets["gpus"] |= ids
            return True
        if word in self._types:
            self._sets["instance_types"].add(word)
            return True
        if word in _PRICING:
            self._pricing = _PRICING[word]
            return True
        if word in {"full fine-tuning", "full finetuning", "full ft"}:
            self._sets["methods"].add("full")
            return True
        return self._take_recipe_word(word)

    def _take_recipe_word(self, word: str) -> bool:
        for kind, names in (("shardings", _SHARDINGS), ("offloads", _OFFLOADS)):
            if word in names:
                self._sets[kind] |= names[word]
                return True
        if word in _CHECKPOINTING:
            self._checkpointing = _CHECKPOINTING[word]
            return True
        if match := _METHOD_AT_WIDTH.fullmatch(word):
            self._sets["methods"].add(match[1])
            self._bits = int(match[2])
            return True
        return False

    def _gpu_ids(self, word: str) -> set[str]:
        by_chip = {gpu.id for gpu in self._gpus.by_id.values() if gpu.chip.lower() == word}
        one = self._gpus.resolve(word)
        return by_chip or ({one.id} if one is not None else set())

    def _take_figure(self, name: str) -> bool:
        if match := _BITS.fullmatch(name):
            self._bits = int(match[1])
        elif match := _NODES.fullmatch(name):
            self._nodes = int(match[1])
        elif match := _COUNT.fullmatch(name):
            self._count = int(match[1] or match[2] or match[3])
        else:
            return False
        return True
