"""Every job flag, declared once; `plan`, `estimate` and `explain` take their flags from here.

The key of a flag is its name in a job file: `--max-price-age` is `max_price_age`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import typer

WHAT = "What is trained"
HOW = "How it may be done"
LIMITS = "Limits"
PRICES = "Prices"
OVERHEADS = "Overheads"
RECIPE = "The recipe"
OUTPUT = "Output"
GATE = "The budget gate"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: its key, the type of its value (a list repeats it), what stands for the value in help, and the help."""

    key: str
    kind: object
    metavar: str
    help: str
    spelling: str = ""

    @property
    def name(self) -> str:
        """The flag as typed: "--seq-len"."""
        return self.spelling or "--" + self.key.replace("_", "-")


SCALES = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def parse_count(text: str) -> int:
    """Return a count from "13300", "13_300", "14M" or "1.5e9". Raises typer.BadParameter for anything else."""
    scale = SCALES.get(text[-1:].lower(), 1)
    digits = (text[:-1] if scale > 1 else text).replace("_", "").replace(",", "")
    try:
        # Decimal keeps every digit, whichever way the number is written.
        value = Decimal(digits) * scale
        if value == value.to_integral_value():
            return int(value)
    except (ArithmeticError, ValueError):
        pass
    raise typer.BadParameter(f"{text!r} is not a whole number like 13300, 14M or 1.5e9")


def parse_number(text: str | float) -> float:
    """Return a number; range and finiteness are the job's to judge. Raises typer.BadParameter for other text.

    Typer hands over defaults too, which are numbers already.
    """
    try:
        return float(text.replace("_", "") if isinstance(text, str) else text)
    except ValueError as err:
        raise typer.BadParameter(f"{text!r} is not a number") from err


Repeat = list[str]

JOB_FLAGS: dict[str, tuple[Flag, ...]] = {
    WHAT: (
        Flag("model", str, "NAME|PATH", "Hugging Face id or its last part (llama-3.1-8b), or a local config.json"),
        Flag("tokens", int, "N", "all tokens trained on, every epoch counted (14M and 1.5e9 are understood)"),
        Flag("samples", int, "N", "samples in the data; with --tokens-per-sample and --epochs"),
        Flag("tokens_per_sample", int, "N", "mean tokens of a sample"),
        Flag("epochs", int, "N", "passes over the data (default 1)"),
        Flag("dataset", str, "FILE.jsonl", "count rows and tokens of this file instead; with --epochs"),
        Flag("tokenizer", str, "FILE", "tokenizer.json to count with (default: estimated from characters)"),
        Flag("seq_len", int, "N", "tokens per row (default: 95th percentile of the data, rounded up to 128)"),
        Flag("global_batch", int, "N", "sequences per optimizer step (default 16)"),
        Flag("packing", bool, "", "join samples into full rows (default: no)", "--packing/--no-packing"),
        Flag("runs", int, "N", "runs of a sweep, each of this size (default 1)"),
    ),
    HOW: (
        Flag("method", Repeat, "METHOD", "full, lora, qlora, dora or rslora; repeat (default: all)"),
        Flag("quantization", Repeat, "BITS", "16, 8 or 4, width of frozen weights; repeat (default: all)"),
        Flag("objective", str, "OBJECTIVE", "sft, dpo or ppo (default sft)"),
        Flag("lora_rank", int, "N", "rank of the adapters (default 16)"),
        Flag("target_modules", str, "NAMES", "all-linear, or names: q_proj,v_proj (default all-linear)"),
        Flag("optimizer", str, "NAME", "adamw, adamw-8bit, paged-adamw-8bit, adafactor or sgd (default adamw)"),
        Flag(
            "stack",
            str,
            "NAME",
            "hf, torchtune, litgpt, unsloth, nemo, llm-foundry or torchtitan (default hf, interval widened)",
        ),
        Flag("calibrate_with", Repeat, "FILE", "runs measured with the stack (RUN.json), or a calibration; repeat"),
        Flag("loss", str, "KIND", "cross-entropy: standard, triton or fused (default standard)"),
        Flag("attention", str, "KIND", "flash, sdpa or eager (default sdpa)"),
        Flag("pairs", int, "N", "preference pairs (dpo)"),
        Flag("rollouts", int, "N", "answers generated and scored (ppo)"),
        Flag("prompt_tokens", int, "N", "tokens of a prompt (dpo, ppo)"),
        Flag("response_tokens", int, "N", "tokens of an answer (dpo, ppo)"),
        Flag("reward_model", str, "NAME|PATH", "model that scores the answers (ppo)"),
    ),
    LIMITS: (
        Flag("deadline", str, "SPAN|TIME", "36h, 2d or 2026-12-01T08:00Z (default: none)"),
        Flag("confidence", float, "P", "probability of making the deadline, between 0 and 1 (default 0.9)"),
        Flag("budget", str, "USD", "most dollars, checked against the high end of the cost (default: none)"),
        Flag("quality_floor", str, "LEVEL", "low, medium, med-high, high or highest (default: none)"),
        Flag("max_complexity", str, "LEVEL", "low, medium, high or very-high (default: none)"),
        Flag("provider", Repeat, "NAME", "only this provider; repeat"),
        Flag("region", Repeat, "NAME", "only this region; repeat"),
        Flag("gpu", Repeat, "ID", "only this GPU, like H100-SXM-80GB; repeat"),
        Flag("exclude_gpu", Repeat, "ID", "not this GPU; repeat"),
        Flag("max_gpus", int, "N", "most GPUs over all nodes (default 64)"),
        Flag("max_nodes", int, "N", "most nodes (default 1)"),
        Flag("pricing_model", Repeat, "MODEL", "on_demand or spot; repeat (default: on_demand, fresh spot)"),
        Flag("max_price_age", str, "SPAN", "leave out prices older than this: 24h, 30d (default: none)"),
        Flag("executor", str, "WHO", "none, policy or skypilot: who acts when spot is lost (default none)"),
    ),
    PRICES: (
        Flag("offers", str, "FILE.csv", "own, negotiated or owned machines, beside the price list"),
        Flag("only_offers", bool, "", "use --offers alone", "--only-offers"),
    ),
    OVERHEADS: (
        Flag("setup_minutes", float, "MIN", "time until training starts (default: 10, assumed)"),
        Flag("data_gb", float, "GB", "data downloaded to the machine"),
        Flag("egress_gb", float, "GB", "results downloaded from the cloud"),
        Flag("disk_gb", float, "GB", "disk needed (default: from model and data)"),
        Flag("checkpoint_every", str, "SPAN", "time between checkpoints (default 30m, longer where one takes long)"),
        Flag("eval_fraction", float, "F", "share of training time spent on evaluation (default 0)"),
        Flag("failed_run_multiplier", float, "X", "runs paid per run that succeeds, 1.2 is 20 % lost (default 1)"),
        Flag("labelling_usd", str, "USD", "labelling of the data"),
        Flag("preference_usd", str, "USD", "collection of preferences"),
        Flag("evaluation_usd", str, "USD", "upkeep of the evaluation set"),
        Flag("oncall_usd", str, "USD", "on-call duty"),
    ),
    OUTPUT: (
        Flag("top", int, "N", "runners-up to show (default 5)"),
        Flag("now", str, "TIME", "judge as if it were this moment: 2026-11-22T09:00Z"),
    ),
}
"""Heading to flags, in the order of the help pages."""

PLAN_FLAGS: dict[str, tuple[Flag, ...]] = {
    **JOB_FLAGS,
    OUTPUT: (
        *JOB_FLAGS[OUTPUT],
        Flag("robust", bool, "", "keep every limit, and cost least, where all turns out badly", "--robust"),
        Flag("simulate", int, "N", "draw N runs on spot machines for the intervals (default 400, under a policy)"),
        Flag("seed", int, "N", "seed of what is drawn (default 0)"),
    ),
    GATE: (
        Flag("account", str, "ALIAS", "cloud account that it runs in, by the name that your team gives it"),
        Flag("charge", Repeat, "BUDGET", "budget that it is charged to; repeat"),
        Flag("dataset_digest", str, "SHA256", "digest of the data: an approval is then for these data alone"),
        Flag(
            "policy", str, "FILE", "policy whose drift of prices the ceilings allow (default: 2 % on-demand, 15 % spot)"
        ),
        Flag("requote", str, "PLAN", "price the action of this plan again, and ask leave for exactly the same"),
    ),
}
"""What `plan` takes: the flags of every job, and how it is searched."""

RECIPE_FLAGS: tuple[Flag, ...] = (
    Flag("gpu", Repeat, "ID", "GPU, like H100-SXM-80GB or a100-80gb"),
    Flag("gpus", int, "N", "GPUs per node (default 1)"),
    Flag("nodes", int, "N", "nodes (default 1)"),
    Flag("micro_batch", int, "N", "sequences per GPU and forward pass"),
    Flag("grad_accum", int, "N", "forward passes per optimizer step"),
    Flag("checkpointing", bool, "", "recompute activations (default: yes)", "--checkpointing/--no-checkpointing"),
    Flag("attention", str, "KIND", "flash, sdpa or eager (default sdpa)"),
    Flag("sharding", str, "KIND", "none, ddp, zero1, zero2, zero3 or fsdp"),
    Flag("offload", str, "WHERE", "none, cpu or nvme (default none)"),
    Flag("loss", str, "KIND", "cross-entropy: standard, triton or fused (default standard)"),
    Flag("pure_bf16", bool, "", "16-bit master weights, or 32-bit", "--pure-bf16/--mixed-precision"),
    Flag(
        "fused_optimizer",
        bool,
        "",
        "step without copies of the gradients (default: as the stack does)",
        "--fused-optimizer/--no-fused-optimizer",
    ),
    Flag(
        "optimizer_in_backward",
        bool,
        "",
        "step each tensor in backward, and let go of its gradient",
        "--optimizer-in-backward/--no-optimizer-in-backward",
    ),
    Flag(
        "activation_offload",
        bool,
        "",
        "keep what backward needs on the host",
        "--activation-offload/--no-activation-offload",
    ),
    Flag("usd_per_gpu_hour", str, "USD", "price to calculate with, instead of the cheapest offer"),
)
"""What `estimate` takes beside the job: fields of `RecipeChoice`."""

Flags = Mapping[str, object]


def takes_flags(
    groups: Mapping[str, tuple[Flag, ...]], *, without: frozenset[str] = frozenset()
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return a decorator that adds flags to a command, which receives those given as its argument `flags`.

    `without` names keys that the command does not take. A flag not given is absent from `flags`.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "flags"]
        added = [
            _parameter(flag, panel) for panel, flags in groups.items() for flag in flags if flag.key not in without
        ]
        added_names = {parameter.name for parameter in added}

        @functools.wraps(command)
        def run(**values: Any) -> int:
            given = {key: value for key, value in values.items() if key in added_names and value not in (None, [])}
            rest = {key: value for key, value in values.items() if key not in added_names}
            return command(**rest, flags=given)

        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *added)]
        run.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


PARSERS: dict[object, Callable[[str], int] | Callable[[str], float]] = {int: parse_count, float: parse_number}
"""Typer's own parsing of numbers differs between its versions, in what it takes and in what it says."""


def _parameter(flag: Flag, panel: str) -> inspect.Parameter:
    parser = PARSERS.get(flag.kind)
    option = typer.Option(
        flag.name,
        metavar=flag.metavar or None,
        help=flag.help,
        rich_help_panel=panel,
        show_default=False,
        parser=parser,
    )
    kind: Any = flag.kind
    return inspect.Parameter(
        flag.key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


JobFile = Annotated[
    str | None,
    typer.Argument(metavar="JOB.toml", help="job file, or flags alone; flags win over it", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of text", rich_help_panel=OUTPUT)]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="write the JSON to FILE, whole or not at all",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="everything behind the figures, and timings", rich_help_panel=OUTPUT)
]
