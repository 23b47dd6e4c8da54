"""Real training steps on random tokens, timed: forward, loss, backward, clipping, optimizer, gradients let go."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from optimizer.physics.axes import Objective, Optimizer, Precision, Tuning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optimizer.physics.recipe import Recipe

    from .probe_case import ProbeTask
    from .probe_device import Device
    from .probe_load import Loaded

LEARNING_RATE = 1e-5
CLIP = 1.0
"""Gradient norm that transformers' trainer clips at by default."""
DPO_BETA = 0.1


def tokens_per_step(recipe: Recipe) -> int:
    """Return the tokens of one optimizer step; a DPO pair is two rows."""
    rows = recipe.micro_batch * recipe.grad_accum * (2 if recipe.objective is Objective.DPO else 1)
    return rows * recipe.seq_len


def fused_adamw() -> bool:
    """Return whether transformers' trainer steps AdamW in one kernel by default, as the installed release has it."""
    from transformers import TrainingArguments

    return getattr(TrainingArguments, "default_optim", "adamw_torch") == "adamw_torch_fused"


def run_steps(
    loaded: Loaded,
    task: ProbeTask,
    device: Device,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[float]:
    """Yield the seconds of each measured optimizer step, after the warm-up; an out-of-memory error passes through."""
    recipe = task.recipe
    optimizer = make_optimizer(loaded.model, recipe)
    scaler = _scaler(recipe, device)
    compute_loss = _dpo_loss if recipe.objective is Objective.DPO else _sft_loss
    batches = _batches(loaded.vocab, recipe, device)
    for at in range(-task.case.warmup, task.case.steps):
        device.synchronize()
        start = clock()
        for _ in range(recipe.grad_accum):
            loss = compute_loss(loaded, next(batches), task, device) / recipe.grad_accum
            (loss if scaler is None else scaler.scale(loss)).backward()
            del loss
        _update(loaded.model, optimizer, scaler)
        device.synchronize()
        if at >= 0:
            yield clock() - start


def make_optimizer(model: Any, recipe: Recipe) -> Any:
    """Return the optimizer over what is trained, as transformers' trainer makes it for this kind."""
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kind = recipe.optimizer
    if kind is Optimizer.ADAMW:
        # None leaves the choice to torch: one copy of all gradients at a time on a GPU.
        return torch.optim.AdamW(trained, lr=LEARNING_RATE, fused=bool(recipe.fused_optimizer) or None)
    if kind is Optimizer.SGD:
        return torch.optim.SGD(trained, lr=LEARNING_RATE)
    if kind is Optimizer.ADAFACTOR:
        from transformers.optimization import Adafactor

        return Adafactor(trained, lr=LEARNING_RATE, scale_parameter=False, relative_step=False)
    return _eight_bit(model, trained, kind)


def _eight_bit(model: Any, trained: list[Any], kind: Optimizer) -> Any:
    """Return AdamW with 8-bit state. Trained embeddings keep 32-bit state, as the trainer has it."""
    import bitsandbytes
    import torch

    paged = kind is Optimizer.PAGED_ADAMW_8BIT
    maker = bitsandbytes.optim.PagedAdamW8bit if paged else bitsandbytes.optim.AdamW8bit
    optimizer = maker(trained, lr=LEARNING_RATE)
    manager = bitsandbytes.optim.GlobalOptimManager.get_instance()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            manager.register_module_override(module, "weight", {"optim_bits": 32})
    return optimizer


def _scaler(recipe: Recipe, device: Device) -> Any:
    """Return a scaler of the loss for fp16 mixed precision, otherwise None."""
    import torch

    return torch.amp.GradScaler(device.kind) if recipe.precision is Precision.FP16_MIXED else None


def _update(model: Any, optimizer: Any, scaler: Any) -> None:
    import torch

    if scaler is not None:
        scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], CLIP)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
    optimizer.zero_grad(set_to_none=True)


def _batches(vocab: int, recipe: Recipe, device: Device) -> Iterator[Any]:
    """Yield micro-batches of random tokens, (rows, seq_len) int64, the chosen rows of DPO before the rejected."""
    import torch

    source = torch.Generator().manual_seed(0)
    rows = recipe.micro_batch * (2 if recipe.objective is Objective.DPO else 1)
    while True:
        # Drawn on the host and moved, as a data loader does.
        yield torch.randint(vocab, (rows, recipe.seq_len), generator=source).to(device.kind)


def _mixed(recipe: Recipe, device: Device) -> Any:
    """Return the context of a forward pass: 16-bit products over fp32 parameters, or nothing in a pure run."""
    import torch

    if recipe.precision in {Precision.BF16_PURE, Precision.FP16_PURE}:
        return nullcontext()
    return torch.autocast(device.kind, dtype=torch.bfloat16 if device.half == "bf16" else torch.float16)


def _sft_loss(loaded: Loaded, tokens: Any, task: ProbeTask, device: Device) -> Any:
    """Return the mean cross-entropy over the next tokens, by the model's own loss."""
    import torch

    with _mixed(task.recipe, device):
        return loaded.model(input_ids=tokens, attention_mask=torch.ones_like(tokens), labels=tokens).loss


def _dpo_loss(loaded: Loaded, tokens: Any, task: ProbeTask, device: Device) -> Any:
    """Return the loss of direct preference optimisation (Rafailov et al. 2023, equation 7), chosen rows first."""
    import torch

    recipe = task.recipe
    policy = _answer_log_probs(loaded.model, tokens, recipe, device)
    with torch.no_grad():
        if recipe.tuning is Tuning.FULL:
            reference = _answer_log_probs(loaded.reference, tokens, recipe, device)
        else:
            with loaded.model.disable_adapter():
                reference = _answer_log_probs(loaded.model, tokens, recipe, device)
    half = tokens.shape[0] // 2
    margin = (policy[:half] - policy[half:]) - (reference[:half] - reference[half:])
    return -torch.nn.functional.logsigmoid(DPO_BETA * margin).mean()


def _answer_log_probs(model: Any, tokens: Any, recipe: Recipe, device: Device) -> Any:
    """Return the log-probability of each row's answer, (rows,): what follows the prompt.

    The logits become fp32 in a mixed run and the rows are taken one by one, as accelerate and TRL do it.
    """
    import torch

    context = _mixed(recipe, device)
    with context:
        logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    if not isinstance(context, nullcontext):
        logits = logits.float()
    logits, following = logits[:, :-1], tokens[:, 1:]
    if logits.dtype == torch.float32:
        picked = logits.gather(-1, following.unsqueeze(-1)).squeeze(-1)
        each = picked - torch.stack([row.logsumexp(-1) for row in logits])
    else:
        pairs = zip(logits, following, strict=True)
        each = torch.stack([row.log_softmax(-1).gather(-1, at.unsqueeze(-1)).squeeze(-1) for row, at in pairs])
    return each[:, recipe.prompt_tokens - 1 :].sum(-1)
