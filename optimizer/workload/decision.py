"""The decision flow of the cost-benefit document: four questions, one method."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the flow recommends.

    `method` is qlora, full or lora (as `--method` takes it); `sharding` "zero3" for full fine-tuning, otherwise
    "none"; `objectives` what to train with, in order: supervised first, then ("dpo", "ppo") as the alternatives for
    alignment where it is needed. `path` has one sentence per question asked, in order.
    """

    method: str
    bits: int
    sharding: str
    objectives: tuple[str, ...]
    path: tuple[str, ...]


def decide(*, budget_tight: bool, low_vram: bool, domain_shift: bool, alignment: bool) -> Decision:
    """Return the recommended method, and the questions that led to it.

    A tight budget or little GPU memory decides for QLoRA before the domain is asked about. DPO and RLHF come on top
    of whichever method was chosen: they need preference data and are a second stage.
    """
    method, bits, sharding, path = _tuning(budget_tight=budget_tight, low_vram=low_vram, domain_shift=domain_shift)
    if alignment:
        path.append("Alignment is needed: add DPO or RLHF (PPO) on preference data after supervised tuning.")
    else:
        path.append("No alignment needed: supervised (instruction) tuning is enough.")
    objectives = ("sft", "dpo", "ppo") if alignment else ("sft",)
    return Decision(method=method, bits=bits, sharding=sharding, objectives=objectives, path=tuple(path))


def _tuning(*, budget_tight: bool, low_vram: bool, domain_shift: bool) -> tuple[str, int, str, list[str]]:
    if budget_tight or low_vram:
        reasons = [
            text for text, holds in (("budget is tight", budget_tight), ("GPU memory is low", low_vram)) if holds
        ]
        return "qlora", 4, "none", [f"The {' and the '.join(reasons)}: QLoRA (4-bit base, adapters trained)."]
    path = ["Neither budget nor GPU memory is tight: go on."]
    if domain_shift:
        return "full", 16, "zero3", [*path, "The domain shift is large: full fine-tuning, sharded with ZeRO-3."]
    return "lora", 16, "none", [*path, "The domain shift is small: LoRA or another adapter is enough."]
