"""Builds what a probe trains, the way training programs load it: so that the load peak is a real one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optimizer.physics.axes import Attention, Loss, Objective, Optimizer, Tuning
from optimizer.workload.models import ALL_LINEAR
from providers.errors import JobError

from .probe_checkpoint import random_checkpoint
from .probe_device import CUDA, ProbeUnavailable, require_package
from .probe_model import count_params, model_config, note_of_count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optimizer.physics.recipe import Recipe

    from .probe_case import ProbeTask
    from .probe_device import Device

IMPLEMENTATIONS = {Attention.SDPA: "sdpa", Attention.EAGER: "eager", Attention.FLASH: "flash_attention_2"}
CHECKPOINTING = {"use_reentrant": False}
ADAPTER_DROPOUT = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model ready to be trained. `reference` is a frozen copy of it (DPO with full fine-tuning), otherwise None.

    `built_params` are those of the base model, `trained_params` those that an optimizer gets.
    """

    model: Any
    reference: Any
    vocab: int
    built_params: int
    trained_params: int
    notes: tuple[str, ...]


def check_packages(recipe: Recipe, kind: str) -> None:
    """Raise ProbeUnavailable, naming the package, where the recipe asks for one that a device of this kind lacks."""
    if recipe.bits < 16:
        require_package("bitsandbytes", f"weights of {recipe.bits} bits")
    if "8bit" in recipe.optimizer.value:
        require_package("bitsandbytes", f"the optimizer {recipe.optimizer}")
    if recipe.optimizer is Optimizer.PAGED_ADAMW_8BIT and kind != CUDA:
        raise ProbeUnavailable("paged optimizer state needs a GPU: use adamw-8bit on a CPU")
    if recipe.attention is Attention.FLASH:
        require_package("flash-attn", "--attention flash", module="flash_attn")
    if recipe.loss is Loss.FUSED:
        if kind != CUDA:
            raise ProbeUnavailable(
                "--loss fused runs in Triton kernels, which need a GPU: use --loss standard on a CPU"
            )
        require_package("liger-kernel", "--loss fused", module="liger_kernel")


def load(task: ProbeTask, device: Device, scratch: Path) -> Loaded:
    """Return the task's model on the device, wrapped and frozen as its recipe says.

    `scratch` takes the checkpoint that k-bit weights are loaded from. Raises JobError or ProbeUnavailable for what
    cannot be built here.
    """
    recipe = task.recipe
    config = model_config(task)
    built = count_params(config)
    model = _base(config, task, device, scratch)
    reference = None
    if recipe.objective is Objective.DPO and recipe.tuning is Tuning.FULL:
        reference = _random(config, recipe, device, _half(device)).requires_grad_(requires_grad=False).eval()
    if recipe.loss is Loss.FUSED:
        _fuse_loss(model)
    model = _for_training(model, task)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    notes = (
        note_of_count(built, task.model),
        _note_of_trained(trained, task),
        _note_of_width(model, task) if recipe.bits < 16 else None,
    )
    return Loaded(
        model=model,
        reference=reference,
        vocab=int(config.vocab_size),
        built_params=built,
        trained_params=trained,
        notes=tuple(note for note in notes if note is not None),
    )


def _note_of_trained(trained: int, task: ProbeTask) -> str | None:
    """Return a sentence where more or less is trained than the recorded shape counts, otherwise None."""
    recipe, model = task.recipe, task.model
    counted = model.total_params
    if recipe.tuning is not Tuning.FULL:
        shape = model.adapter(recipe.lora_rank, recipe.target_modules)
        counted = shape.params + (shape.magnitude_params if recipe.tuning is Tuning.DORA else 0)
    if trained == counted:
        return None
    return f"{trained:,} parameters are trained, the recorded shape and recipe count {counted:,}"


def _note_of_width(model: Any, task: ProbeTask) -> str | None:
    """Return a sentence where other weights are quantised than the linear layers of the blocks, otherwise None.

    bitsandbytes replaces modules: experts that transformers holds as bare tensors stay as they are.
    """
    narrow = sum(
        module.in_features * module.out_features
        for module in model.modules()
        # PEFT's wrappers carry the same names.
        if type(module).__name__ in {"Linear4bit", "Linear8bitLt"}
        and type(module).__module__.startswith("bitsandbytes")
    )
    linear = task.model.linear_params
    if narrow == linear:
        return None
    return f"{narrow:,} weights are held in {task.recipe.bits} bits, of {linear:,} in the linear layers"


def _base(config: Any, task: ProbeTask, device: Device, scratch: Path) -> Any:
    import torch

    if task.recipe.bits < 16:
        return _quantised(config, task.recipe, device, scratch)
    # Full fine-tuning in mixed precision keeps fp32 weights; frozen ones are 16 bits wide.
    mixed = task.recipe.tuning is Tuning.FULL and not task.case.pure_bf16
    return _random(config, task.recipe, device, torch.float32 if mixed else _half(device))


def _random(config: Any, recipe: Recipe, device: Device, dtype: Any) -> Any:
    """Return the model with random weights, made on the device itself: nothing passes through the host."""
    import torch
    import transformers

    torch.manual_seed(0)
    with torch.device(device.kind), _known_attention(config, recipe):
        return transformers.AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=IMPLEMENTATIONS[recipe.attention]
        )


def _quantised(config: Any, recipe: Recipe, device: Device, scratch: Path) -> Any:
    """Return the model with its linear layers in NF4 or LLM.int8, read from a checkpoint of random weights."""
    import transformers

    half = _half(device)
    place = random_checkpoint(config, scratch, half)
    device.reset_peaks()
    try:
        with _known_attention(config, recipe):
            model, found = transformers.AutoModelForCausalLM.from_pretrained(
                place,
                quantization_config=_quantization(recipe, half),
                dtype=half,
                device_map={"": 0 if device.kind == CUDA else device.kind},
                attn_implementation=IMPLEMENTATIONS[recipe.attention],
                output_loading_info=True,
            )
    except (ImportError, NotImplementedError) as err:
        reason = " ".join(str(err).split())[:240]
        raise ProbeUnavailable(f"weights of {recipe.bits} bits cannot be had on {device.name}: {reason}") from err
    if found.get("missing_keys"):
        missing = sorted(found["missing_keys"])
        allowed = f"16 bits for this family: its k-bit weights are loaded under other names ({missing[0]} is missing)"
        raise JobError(where="probe", key="quantization", value=recipe.bits, allowed=allowed)
    return model


@contextmanager
def _known_attention(config: Any, recipe: Recipe) -> Iterator[None]:
    """Turn the refusal of an attention kernel, which transformers knows family by family, into one line."""
    try:
        yield
    except ValueError as err:
        if "attention implementation" not in str(err):
            raise
        import transformers

        allowed = f"eager: transformers {transformers.__version__} builds {config.model_type} without this kernel"
        raise JobError(where="probe", key="attention", value=recipe.attention.value, allowed=allowed) from err


def _quantization(recipe: Recipe, half: Any) -> Any:
    import transformers

    if recipe.bits == 8:
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=half,
        bnb_4bit_use_double_quant=recipe.double_quant,
    )


def _for_training(model: Any, task: ProbeTask) -> Any:
    """Return the model with checkpointing, k-bit preparation and adapters as the recipe says, in training mode."""
    recipe = task.recipe
    if recipe.tuning is Tuning.FULL:
        if task.case.checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=CHECKPOINTING)
        return model.train()
    import peft

    if recipe.kbit_preparation:
        model = peft.prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=task.case.checkpointing, gradient_checkpointing_kwargs=CHECKPOINTING
        )
    elif task.case.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=CHECKPOINTING)
    adapters = peft.LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=2 * recipe.lora_rank,
        lora_dropout=ADAPTER_DROPOUT,
        target_modules=_targets(task),
        use_dora=recipe.tuning is Tuning.DORA,
        use_rslora=recipe.tuning is Tuning.RSLORA,
        task_type="CAUSAL_LM",
    )
    return peft.get_peft_model(model, adapters).train()


def _targets(task: ProbeTask) -> str | list[str]:
    """Return the adapter's targets as PEFT takes them: embedding and head by the names of this family."""
    layout, targets = task.model.layout, task.recipe.target_modules
    if targets == (ALL_LINEAR,):
        return ALL_LINEAR
    own = {"embed_tokens": layout.embedding, "lm_head": layout.head}
    return [own.get(name, name) for name in targets]


def _fuse_loss(model: Any) -> None:
    """Let Liger's kernel compute head and loss in one, chunk by chunk; everything else stays as it was."""
    from liger_kernel.transformers import monkey_patch

    kind = model.config.model_type
    if kind not in monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN:
        known = ", ".join(sorted(monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN))
        raise ProbeUnavailable(f"--loss fused: the installed liger-kernel knows no model type {kind!r}, but {known}")
    others = dict.fromkeys(("rope", "rms_norm", "layer_norm", "swiglu", "geglu", "cross_entropy"), False)
    monkey_patch._apply_liger_kernel_to_instance(model=model, fused_linear_cross_entropy=True, **others)  # noqa: SLF001


def _half(device: Device) -> Any:
    import torch

    return torch.bfloat16 if device.half == "bf16" else torch.float16
