"""One case of a probe, in the words of the command line: checked, and turned into a model and a recipe.

Nothing here needs torch: a whole grid is checked before its first case starts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.physics.axes import Attention, Checkpointing, Loss, Objective, Optimizer, Precision, Stack, Tuning
from optimizer.physics.recipe import WIDTHS, Recipe, refuse
from optimizer.workload.models import ALL_LINEAR, ModelSpec, is_model_path, load_models, model_from_config
from providers.errors import JobError

from .probe_model import config_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.workload.models import ModelTable

QLORA = "qlora"
USUAL_SEQ_LEN = 2048
USUAL_RANK = 16

WORDS: dict[str, tuple[str, ...]] = {
    "method": (*(tuning.value for tuning in Tuning), QLORA),
    "objective": (Objective.SFT.value, Objective.DPO.value),
    "optimizer": tuple(kind.value for kind in Optimizer),
    "attention": tuple(kind.value for kind in Attention),
    "loss": (Loss.STANDARD.value, Loss.FUSED.value),
    "device": ("cpu", "cuda"),
}
"""Keys whose value is one of a few words."""

COUNTS: dict[str, tuple[int, int]] = {
    "lora_rank": (1, 8192),
    "micro_batch": (1, 8192),
    "grad_accum": (1, 8192),
    "seq_len": (2, 10_000_000),
    "steps": (1, 10_000),
    "warmup": (0, 10_000),
    "layers": (1, 10_000),
}
"""Keys whose value is a whole number, with the least and the most of it."""

SWITCHES = frozenset({"checkpointing", "pure_bf16", "kbit_preparation"})
_FLAG_OF_AXIS = {"bits": "quantization", "tuning": "method", "precision": "pure_bf16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCase:
    """What one probe measures. None: `quantization` as the method wants, `seq_len` 2,048 or the model's context,
    `kbit_preparation` wherever weights are quantised, `layers` all of them, `device` the GPU.

    `steps` optimizer steps are measured, after `warmup` steps that are not.
    """

    model: str
    method: str = Tuning.LORA.value
    quantization: int | None = None
    objective: str = Objective.SFT.value
    lora_rank: int = USUAL_RANK
    target_modules: tuple[str, ...] = (ALL_LINEAR,)
    optimizer: str = Optimizer.ADAMW.value
    micro_batch: int = 1
    grad_accum: int = 1
    seq_len: int | None = None
    checkpointing: bool = True
    attention: str = Attention.SDPA.value
    loss: str = Loss.STANDARD.value
    pure_bf16: bool = False
    kbit_preparation: bool | None = None
    steps: int = 10
    warmup: int = 3
    layers: int | None = None
    device: str | None = None


KEYS: tuple[str, ...] = tuple(field.name for field in fields(ProbeCase))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTask:
    """A case made ready: the model that is built (cut to `case.layers`), its recipe, and where its shape comes from.

    `config` is the config.json that was named, None for a model of the table; `whole_layers` what the model has uncut.
    """

    case: ProbeCase
    model: ModelSpec
    recipe: Recipe
    config: Path | None
    whole_layers: int


def read_case(values: Mapping[str, object], *, where: str) -> ProbeCase:
    """Return the case that keys and values describe; a key that is None, or absent, takes its default.

    Raises JobError naming `where`, the key, the value and what is allowed.
    """
    for key, value in values.items():
        if key not in KEYS:
            close = get_close_matches(key, KEYS, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(KEYS)}"
            raise JobError(where=where, key=key, value=value, allowed=f"no such key; {hint}")
    said = {key: _checked(key, value, where) for key, value in values.items() if value is not None}
    if "model" not in said:
        raise JobError(where=where, key="model", value=None, allowed="a model's name, or the path of its config.json")
    return ProbeCase(**said)  # type: ignore[arg-type]  # each value was checked by its key


def prepare_case(case: ProbeCase, *, where: str, half: str = "bf16") -> ProbeTask:
    """Return the model and the recipe of a case; `half` is the 16-bit type that the device computes in.

    Raises JobError for a mix that makes no sense, an adapter target that the model lacks, a row longer than its
    context, more layers than it has; KnowledgeMissing for a model that is not in the table.
    """
    config = _config_path(case.model)
    whole = _models().resolve(case.model) if config is None else model_from_config(config)
    recipe = _recipe(case, whole, half=half, where=where)
    found = refuse(recipe)
    if found is not None:
        key = _FLAG_OF_AXIS.get(found.axis, found.axis)
        raise JobError(where=where, key=key, value=getattr(case, key, None), allowed=found.reason)
    _refuse_preparation(case, recipe, where)
    if recipe.objective is Objective.DPO and recipe.loss is Loss.FUSED:
        allowed = "standard with objective dpo: the fused kernel computes the loss of sft alone"
        raise JobError(where=where, key="loss", value=case.loss, allowed=allowed)
    if recipe.tuning is not Tuning.FULL:
        whole.adapter(recipe.lora_rank, recipe.target_modules, where=where)
    model = cut_model(whole, case.layers, where=where)
    if config is None:
        config_settings(model, where=where, named=case.model)
    return ProbeTask(case=case, model=model, recipe=recipe, config=config, whole_layers=whole.layers)


def cut_model(model: ModelSpec, layers: int | None, *, where: str) -> ModelSpec:
    """Return the model with its first `layers` layers alone, under a name that says so; None leaves it whole."""
    if layers is None or layers == model.layers:
        return model
    if layers > model.layers:
        allowed = f"at most {model.layers}, the layers of {model.name}"
        raise JobError(where=where, key="layers", value=layers, allowed=allowed)
    note = f"cut to {layers} of {model.layers} layers for a probe"
    return replace(
        model,
        name=f"{model.name} ({layers} of {model.layers} layers)",
        hf_id="",
        layers=layers,
        dense_layers=min(model.dense_layers, layers),
        published_params=None,
        notes=f"{model.notes}; {note}" if model.notes else note,
    )


@lru_cache(maxsize=1)
def _models() -> ModelTable:
    """Return the table of models; a grid asks for it once a case."""
    return load_models()


def _config_path(model: str) -> Path | None:
    if not is_model_path(model):
        return None
    path = Path(model).expanduser()
    return path / "config.json" if path.is_dir() else path


def _recipe(case: ProbeCase, model: ModelSpec, *, half: str, where: str) -> Recipe:
    tuning = Tuning.LORA if case.method == QLORA else Tuning(case.method)
    bits = case.quantization or (4 if case.method == QLORA else 16)
    if case.method == QLORA and bits != 4:
        raise JobError(where=where, key="quantization", value=bits, allowed="4 with method qlora, or method lora")
    seq_len = _row_length(case, model, where)
    pairs = case.objective == Objective.DPO
    full = tuning is Tuning.FULL
    usual_preparation = bits < 16 and not case.pure_bf16
    return Recipe(
        tuning=tuning,
        bits=bits,
        objective=Objective(case.objective),
        precision=Precision(f"{half}-{'pure' if case.pure_bf16 else 'mixed'}"),
        lora_rank=USUAL_RANK if full else case.lora_rank,
        target_modules=(ALL_LINEAR,) if full else case.target_modules,
        optimizer=Optimizer(case.optimizer),
        loss=Loss(case.loss),
        attention=Attention(case.attention),
        checkpointing=Checkpointing.FULL if case.checkpointing else Checkpointing.NONE,
        stack=Stack.HF,
        stack_known=True,
        micro_batch=case.micro_batch,
        grad_accum=case.grad_accum,
        seq_len=seq_len,
        prompt_tokens=seq_len - seq_len // 2 if pairs else 0,
        response_tokens=seq_len // 2 if pairs else 0,
        kbit_preparation=usual_preparation if case.kbit_preparation is None else case.kbit_preparation,
    )


def _row_length(case: ProbeCase, model: ModelSpec, where: str) -> int:
    if case.seq_len is None:
        return min(USUAL_SEQ_LEN, model.context)
    if case.seq_len > model.context:
        allowed = f"at most {model.context}, the context of {model.name}"
        raise JobError(where=where, key="seq_len", value=case.seq_len, allowed=allowed)
    return case.seq_len


def _refuse_preparation(case: ProbeCase, recipe: Recipe, where: str) -> None:
    if not recipe.kbit_preparation:
        return
    reason = None
    if recipe.tuning is Tuning.FULL:
        reason = "k-bit preparation freezes every weight: not with full fine-tuning"
    elif case.pure_bf16:
        reason = "k-bit preparation turns what is not quantised into fp32: not with --pure-bf16"
    if reason:
        raise JobError(where=where, key="kbit_preparation", value=True, allowed=reason)


def _checked(key: str, value: object, where: str) -> object:
    """Return the value in the type of its field. Raises JobError for one of another kind, or out of range."""
    if key in WORDS:
        word = value.strip().lower() if isinstance(value, str) else value
        if word not in WORDS[key]:
            raise JobError(where=where, key=key, value=value, allowed=f"one of {', '.join(WORDS[key])}")
        return word
    if key in SWITCHES:
        if not isinstance(value, bool):
            raise JobError(where=where, key=key, value=value, allowed="true or false")
        return value
    if key == "target_modules":
        return _modules(value, where)
    if key == "model":
        if not isinstance(value, str) or not value.strip():
            raise JobError(where=where, key=key, value=value, allowed="a model's name, or the path of its config.json")
        return value.strip()
    low, high = COUNTS.get(key, (min(WIDTHS), max(WIDTHS)))
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise JobError(where=where, key=key, value=value, allowed=f"a whole number from {low} to {high}")
    if key == "quantization" and value not in WIDTHS:
        raise JobError(where=where, key=key, value=value, allowed=f"one of {', '.join(map(str, WIDTHS))}")
    return value


def _modules(value: object, where: str) -> tuple[str, ...]:
    """Return module names from "q_proj,v_proj" or from a list of them."""
    names = value.split(",") if isinstance(value, str) else value
    if isinstance(names, list | tuple) and names and all(isinstance(name, str) and name.strip() for name in names):
        chosen = tuple(dict.fromkeys(name.strip() for name in names))
        if ALL_LINEAR in chosen and len(chosen) > 1:
            raise JobError(where=where, key="target_modules", value=value, allowed="all-linear alone, or names alone")
        return chosen
    raise JobError(where=where, key="target_modules", value=value, allowed="all-linear, or names: q_proj,v_proj")
