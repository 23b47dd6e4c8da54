"""The fixed words that a job may use. Physics gives the same words meaning in its axes; a test compares them."""

from __future__ import annotations

METHODS: tuple[str, ...] = ("full", "lora", "qlora", "dora", "rslora")
QUANTIZATION_BITS: tuple[int, ...] = (16, 8, 4)
OBJECTIVES: tuple[str, ...] = ("sft", "dpo", "ppo")
OPTIMIZERS: tuple[str, ...] = ("adamw", "adamw-8bit", "paged-adamw-8bit", "adafactor", "sgd")
STACKS: tuple[str, ...] = ("hf", "torchtune", "litgpt", "unsloth", "nemo", "llm-foundry", "torchtitan")
LOSSES: tuple[str, ...] = ("standard", "triton", "fused")
ATTENTIONS: tuple[str, ...] = ("flash", "sdpa", "eager")
PRICING_MODELS: tuple[str, ...] = ("on_demand", "spot")
EXECUTORS: tuple[str, ...] = ("none", "policy", "skypilot")

METHOD_BITS: dict[str, tuple[int, ...]] = {
    "full": (16,),
    "lora": (16, 8, 4),
    "qlora": (4,),
    "dora": (16, 8, 4),
    "rslora": (16, 8, 4),
}
"""Widths at which a method makes sense."""

METHOD_BITS_REASON: dict[str, str] = {
    "full": "full fine-tuning changes every weight, and weights held in 8 or 4 bits take no gradient steps: 16",
    "qlora": "qlora is LoRA over weights held in 4 bits: 4",
}
"""Why a method is bound to its widths, ending with what is allowed."""
