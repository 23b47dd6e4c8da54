"""The defaults that a job took, one line each: every key of a job is either said or accounted for here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .job_input import JobInput

DEFAULT_SETUP_MINUTES = 10


@dataclass(slots=True)
class Defaults:
    """The defaults that a job took, in the order in which they were taken."""

    lines: list[str] = field(default_factory=list)

    def note(self, name: str, value: object, why: str) -> None:
        """Add the line "name = value (why)"."""
        self.lines.append(f"{name} = {value} ({why})")

    def int_or(self, said: int | None, name: str, value: int, why: str = "default") -> int:
        """Return what was said, or `value` after noting it."""
        if said is None:
            self.note(name, value, why)
        return value if said is None else said

    def word_or(self, said: str | None, name: str, value: str, why: str = "default") -> str:
        """Return what was said, or `value` after noting it."""
        if said is None:
            self.note(name, value, why)
        return value if said is None else said


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsaid:
    """One line for the keys of `names` (key to the word for it) that were not said: they share value and reason."""

    names: dict[str, str]
    value: str
    why: str = "default"


LIMITS: dict[str, str] = {
    "deadline": "deadline", "budget": "budget", "quality_floor": "quality floor",
    "max_complexity": "complexity ceiling", "provider": "provider", "region": "region", "gpu": "GPU",
    "exclude_gpu": "excluded GPUs", "max_price_age": "price age",
}  # fmt: skip
"""Limits that a job may set, and the word for each."""

PLAIN: tuple[Unsaid, ...] = (
    Unsaid(names={"pricing_model": "pricing model"}, value="on_demand, and spot where its price is fresh"),
    Unsaid(names={"runs": "runs"}, value="1"),
    Unsaid(names={"executor": "executor"}, value="none: a person restarts what spot loses"),
    Unsaid(names={"setup_minutes": "set-up"}, value=f"{DEFAULT_SETUP_MINUTES} min", why="assumed"),
    Unsaid(
        names={"checkpoint_every": "checkpoint every"},
        value="30 min, or 20 times as long as one takes to write",
        why="default, the longer one",
    ),
    Unsaid(names={"data_gb": "data to download", "egress_gb": "results to take out"}, value="0 GB"),
    Unsaid(names={"disk_gb": "disk"}, value="what image, model, data and checkpoints need", why="derived"),
    Unsaid(names={"eval_fraction": "share of time for evaluation"}, value="0"),
    Unsaid(names={"failed_run_multiplier": "failed-run multiplier"}, value="1"),
    Unsaid(
        names={
            "labelling_usd": "labelling", "preference_usd": "preferences", "evaluation_usd": "evaluation set",
            "oncall_usd": "on-call duty",
        },
        value="$0",
    ),
)  # fmt: skip
"""Defaults that depend on nothing else. Keys that share a line share a value: thirty lines would not be read."""

NOTED_WHERE_TAKEN = frozenset(
    {
        "objective", "epochs", "seq_len", "global_batch", "packing", "lora_rank", "target_modules", "optimizer",
        "stack", "loss", "attention", "confidence", "max_gpus", "max_nodes", "method", "quantization", "tokenizer",
    }
)  # fmt: skip
"""Keys whose default follows from others, and is noted where it is worked out."""

WITHOUT_DEFAULT = {
    "name": "taken from the model",
    "model": "required",
    **dict.fromkeys(
        ("tokens", "samples", "tokens_per_sample", "dataset"), "one way to say the amount of data is required"
    ),
    **dict.fromkeys(
        ("pairs", "rollouts", "prompt_tokens", "response_tokens", "reward_model"), "required by their objective"
    ),
    **dict.fromkeys(("offers", "only_offers", "discounts"), "the answer names the prices that it saw"),
    "calibrate_with": "the answer names the measured runs that it was calibrated with",
    **dict.fromkeys(("top", "now", "robust", "simulate", "seed", "quota"), "the answer shows them"),
    **dict.fromkeys(("account", "charge", "dataset_digest", "policy", "requote"), "what a plan asks leave for"),
    **dict.fromkeys(("usd_per_gpu_hour", "recipe"), "of `estimate`, which lists what it takes itself"),
}
"""Keys that no default stands in for, and why their absence needs no line."""

SEARCHED = ("checkpointing, micro-batch, sharding and offload", "searched", "default")
PRECISION = ("precision", "bf16 mixed, fp16 mixed on GPUs without bf16", "default")


def note_unsaid(said: JobInput, defaults: Defaults, *, widths: tuple[int, ...]) -> None:
    """Note what was not said and depends on nothing else, and what no key of a job can say.

    `widths` are those that the job is bound to: the model may leave no choice where nothing was said.
    """
    open_axes = {"method": said.method is None, "quantization": not widths}
    if names := [word for word, is_open in open_axes.items() if is_open]:
        defaults.note(" and ".join(names), "all that make sense", "default")
    if unset := [word for key, word in LIMITS.items() if getattr(said, key) is None]:
        defaults.note("limits not set", ", ".join(unset), "default")
    for unsaid in PLAIN:
        names = [word for key, word in unsaid.names.items() if getattr(said, key) is None]
        if names:
            defaults.note(_joined(names), unsaid.value, unsaid.why)
    defaults.note(*PRECISION)
    defaults.note(*SEARCHED)


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
