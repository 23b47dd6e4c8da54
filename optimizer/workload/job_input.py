"""What a person says about a job: every job flag, none required, checked for kind and range.

The same model stands behind the job file, the flags and the Python interface. Only kind and range are looked at here;
whether the pieces go together is `job.complete_job`'s question.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from providers.errors import JobError

from .input_errors import first_error
from .matrices import COMPLEXITY_ORDER, QUALITY_ORDER

if TYPE_CHECKING:
    from collections.abc import Mapping


def _listed(value: object) -> list[object]:
    """A repeatable flag: one value, several in a list, or several in one string with commas between them."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    parts: list[object] = []
    for item in values:
        parts.extend([part.strip() for part in item.split(",")] if isinstance(item, str) else [item])
    return parts


def _words(value: object) -> object:
    """As `_listed`, in lower case."""
    return [item.lower() if isinstance(item, str) else item for item in _listed(value)]


def _pricing_words(value: object) -> object:
    """As `_words`: `On-Demand` and `on_demand` are the same word."""
    return [item.lower().replace("-", "_") if isinstance(item, str) else item for item in _listed(value)]


def _word(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _number(value: object) -> object:
    """A number that is no boolean, no text and not NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError("not a number")  # noqa: TRY004  # pydantic reports ValueError only
    if not Decimal(value).is_finite():
        raise ValueError("not a finite number")
    return value


def _money(value: object) -> object:
    """Dollars as an exact decimal; text is taken as written, a float by its shortest form."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError("not an amount of money")  # noqa: TRY004  # likewise
    try:
        amount = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation as err:
        raise ValueError("not an amount of money") from err
    if not amount.is_finite():
        raise ValueError("not a finite amount")
    return amount


def _moment(value: object) -> object:
    """Text, or TOML's own date and time; a bare number names no moment."""
    if not isinstance(value, (str, datetime)):
        raise ValueError("neither text nor a date and time")  # noqa: TRY004  # likewise
    return value


def _bits(value: object) -> object:
    """Widths as integers; text of digits is read too, because flags are text."""
    return [int(item) if isinstance(item, str) and item in {"16", "8", "4"} else item for item in _listed(value)]


Text = Annotated[StrictStr, Field(min_length=1, max_length=4096)]
Texts = Annotated[list[Text], BeforeValidator(_listed), Field(min_length=1)]
Moment = Annotated[str | datetime, BeforeValidator(_moment)]
Number = Annotated[float, BeforeValidator(_number)]
Money = Annotated[Decimal, BeforeValidator(_money)]

# A JSON document holds whole numbers to 2^53 - 1 = 9.007e15: dollars are written there as millionths and gigabytes as
# bytes, so that no figure of a job may pass 9e9 dollars or 9e6 gigabytes. Ten trillion tokens are half of what the
# largest models are pretrained on.
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}$"
TOKENS_MAX = 10**13
ROWS_MAX = 10**12
LENGTH_MAX = 10**7
USD_MAX = 10**9
GB_MAX = 9 * 10**6


def _whole(low: int, high: int) -> Any:
    return Field(default=None, ge=low, le=high, description=f"a whole number from {low} to {high}")


def _within(low: float, high: float, what: str = "a number") -> Any:
    return Field(default=None, ge=low, le=high, description=f"{what} from {low} to {high}")


def _said(allowed: str) -> Any:
    return Field(default=None, description=allowed)


class JobInput(BaseModel):
    """A job as written: a field that is None was not said. Raises JobError for a value of the wrong kind or range."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # What
    name: Text | None = _said("a name")
    model: Text | None = _said("a model name, or the path of a config.json")
    tokens: StrictInt | None = _whole(1, TOKENS_MAX)
    samples: StrictInt | None = _whole(1, ROWS_MAX)
    tokens_per_sample: StrictInt | None = _whole(1, LENGTH_MAX)
    epochs: StrictInt | None = _whole(1, 10_000)
    dataset: Text | None = _said("the path of a JSONL file")
    tokenizer: Text | None = _said("the path of a tokenizer.json")
    seq_len: StrictInt | None = _whole(1, LENGTH_MAX)
    global_batch: StrictInt | None = _whole(1, 1_000_000)
    packing: StrictBool | None = _said("true or false")
    runs: StrictInt | None = _whole(1, 10_000)

    # How
    method: (
        Annotated[
            list[Literal["full", "lora", "qlora", "dora", "rslora"]], BeforeValidator(_words), Field(min_length=1)
        ]
        | None
    ) = _said("any of full, lora, qlora, dora, rslora")
    quantization: Annotated[list[Literal[16, 8, 4]], BeforeValidator(_bits), Field(min_length=1)] | None = _said(
        "any of 16, 8, 4"
    )
    objective: Annotated[Literal["sft", "dpo", "ppo"], BeforeValidator(_word)] | None = _said("sft, dpo or ppo")
    lora_rank: StrictInt | None = _whole(1, 4096)
    target_modules: Texts | None = _said("module names such as q_proj,v_proj, or all-linear")
    optimizer: (
        Annotated[Literal["adamw", "adamw-8bit", "paged-adamw-8bit", "adafactor", "sgd"], BeforeValidator(_word)] | None
    ) = _said("adamw, adamw-8bit, paged-adamw-8bit, adafactor or sgd")
    stack: (
        Annotated[
            Literal["hf", "torchtune", "litgpt", "unsloth", "nemo", "llm-foundry", "torchtitan"], BeforeValidator(_word)
        ]
        | None
    ) = _said("hf, torchtune, litgpt, unsloth, nemo, llm-foundry or torchtitan")
    loss: Annotated[Literal["standard", "triton", "fused"], BeforeValidator(_word)] | None = _said(
        "standard, triton or fused"
    )
    attention: Annotated[Literal["flash", "sdpa", "eager"], BeforeValidator(_word)] | None = _said(
        "flash, sdpa or eager"
    )
    pairs: StrictInt | None = _whole(1, ROWS_MAX)
    rollouts: StrictInt | None = _whole(1, ROWS_MAX)
    prompt_tokens: StrictInt | None = _whole(1, LENGTH_MAX)
    response_tokens: StrictInt | None = _whole(1, LENGTH_MAX)
    reward_model: Text | None = _said("a model name, or the path of a config.json")

    # Limits
    deadline: Moment | None = _said("a span such as 36h, or a moment such as 2026-12-01T08:00Z")
    confidence: Annotated[Number, Field(gt=0, lt=1)] | None = _said("a number between 0 and 1, both excluded")
    budget: Annotated[Money, Field(gt=0, le=USD_MAX)] | None = _said(f"dollars above 0, at most {USD_MAX}")
    quality_floor: Annotated[Literal["low", "medium", "med-high", "high", "highest"], BeforeValidator(_word)] | None = (
        _said(", ".join(QUALITY_ORDER))
    )
    max_complexity: Annotated[Literal["low", "medium", "high", "very-high"], BeforeValidator(_word)] | None = _said(
        ", ".join(COMPLEXITY_ORDER)
    )
    provider: Texts | None = _said("provider names")
    region: Texts | None = _said("region names")
    gpu: Texts | None = _said("GPU ids such as H100-SXM-80GB")
    exclude_gpu: Texts | None = _said("GPU ids such as H100-SXM-80GB")
    max_gpus: StrictInt | None = _whole(1, 100_000)
    max_nodes: StrictInt | None = _whole(1, 10_000)
    pricing_model: (
        Annotated[list[Literal["on_demand", "spot"]], BeforeValidator(_pricing_words), Field(min_length=1)] | None
    ) = _said("any of on_demand, spot")
    max_price_age: Text | None = _said("a span such as 24h")
    executor: Annotated[Literal["none", "policy", "skypilot"], BeforeValidator(_word)] | None = _said(
        "none, policy or skypilot"
    )

    # Prices
    offers: Text | None = _said("the path of a CSV file of own offers")
    only_offers: StrictBool | None = _said("true or false")
    discounts: dict[Text, Annotated[Money, Field(ge=0, lt=1)]] | None = _said(
        "a table of provider = fraction taken off, from 0 to below 1"
    )
    usd_per_gpu_hour: Annotated[Money, Field(ge=0, le=10_000)] | None = _said("dollars from 0 to 10000")

    # Overheads
    setup_minutes: Number | None = _within(0, 100_000, "minutes")
    data_gb: Number | None = _within(0, GB_MAX, "gigabytes (10^9 bytes)")
    egress_gb: Number | None = _within(0, GB_MAX, "gigabytes (10^9 bytes)")
    disk_gb: Number | None = _within(0, GB_MAX, "gigabytes (10^9 bytes)")
    checkpoint_every: Text | None = _said("a span such as 30m")
    eval_fraction: Number | None = _within(0, 1)
    failed_run_multiplier: Number | None = _within(1, 100)
    labelling_usd: Annotated[Money, Field(ge=0, le=USD_MAX)] | None = _said(f"dollars from 0 to {USD_MAX}")
    preference_usd: Annotated[Money, Field(ge=0, le=USD_MAX)] | None = _said(f"dollars from 0 to {USD_MAX}")
    evaluation_usd: Annotated[Money, Field(ge=0, le=USD_MAX)] | None = _said(f"dollars from 0 to {USD_MAX}")
    oncall_usd: Annotated[Money, Field(ge=0, le=USD_MAX)] | None = _said(f"dollars from 0 to {USD_MAX}")

    # Measured runs
    calibrate_with: Texts | None = _said("paths of measured runs (RUN.json) or of a calibration")

    # Control
    top: StrictInt | None = _whole(1, 1000)
    now: Moment | None = _said("a moment such as 2026-11-22T09:00Z")
    robust: StrictBool | None = _said("true or false")
    simulate: StrictInt | None = _whole(1, 1_000_000)
    seed: StrictInt | None = _whole(0, 2**31 - 1)
    account: Annotated[StrictStr, Field(pattern=NAME_PATTERN)] | None = _said("an alias of letters, digits, . _ - /")
    charge: Annotated[list[Annotated[StrictStr, Field(pattern=NAME_PATTERN)]], BeforeValidator(_listed)] | None = _said(
        "ids of budgets, letters, digits, . _ - /"
    )
    dataset_digest: Annotated[StrictStr, Field(pattern="^[0-9a-f]{64}$"), BeforeValidator(_word)] | None = _said(
        "a SHA-256, 64 hexadecimal digits"
    )
    policy: Text | None = _said("the path of a policy")
    requote: Text | None = _said("the path of a plan")
    quota: list[dict[str, Any]] | None = _said("tables [[quota]] of provider, region, gpu, pricing_model and gpus")

    # One recipe on one machine, for `estimate`; `optimizer.app.recipe_table` knows its keys.
    recipe: dict[Text, StrictBool | StrictInt | StrictStr | float | Decimal] | None = _said(
        'a table of single values: [recipe] gpu = "H100-SXM-80GB"'
    )

    @model_validator(mode="wrap")
    @classmethod
    def _complain_in_one_line(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Turn pydantic's report into a JobError, whichever way the job was made."""
        try:
            return handler(values)
        except ValidationError as err:
            key, value, allowed = first_error(err, cls, values)
            raise JobError(where="job", key=key, value=value, allowed=allowed) from err

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], *, where: str) -> JobInput:
        """Return the job that `values` describe; None is "not said".

        Raises JobError naming `where`, the key, its value and what is allowed; for an unknown key the closest one.
        """
        try:
            return cls.model_validate(dict(values))
        except JobError as err:
            raise JobError(where=where, key=err.key, value=err.value, allowed=err.allowed) from err

    def said(self) -> dict[str, object]:
        """Return the fields that were said, by name."""
        return {key: value for key in type(self).model_fields if (value := getattr(self, key)) is not None}

    def overridden_by(self, flags: JobInput | None) -> JobInput:
        """Return this job with every field that `flags` say in place of its own.

        Saying the amount of data one way (tokens; samples; dataset) puts aside what was said in the other ways.
        """
        if flags is None:
            return self
        own, new = self.said(), flags.said()
        if DATA_WAYS & new.keys():
            own = {key: value for key, value in own.items() if key not in DATA_WAYS}
            if "tokens" in new:
                own.pop("epochs", None)
            if "dataset" in new:
                own.pop("tokens_per_sample", None)
        return type(self).model_validate({**own, **new})


DATA_WAYS = frozenset({"tokens", "samples", "dataset"})
"""The keys that say how much data there is: exactly one of them stands in a job for supervised tuning."""
