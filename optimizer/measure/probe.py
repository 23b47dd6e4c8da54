"""Measures real training on the device that is there: one case, loaded, stepped, read, recorded."""

from __future__ import annotations

import gc
import os
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from optimizer.physics.axes import Optimizer
from optimizer.physics.recipe import refuse
from providers.errors import JobError
from providers.gpus import load_gpus

from .probe_case import prepare_case
from .probe_device import CUDA, open_device, prepare_imports, read_versions, require_extra
from .probe_load import check_packages, load
from .probe_steps import fused_adamw, run_steps, tokens_per_step
from .record import MeasuredRun, Readings, RunStatus, run_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .probe_case import ProbeCase, ProbeTask
    from .probe_device import Device

SOURCE = "probe"
OUT_OF_MEMORY = ("CUDA out of memory", "CUDA error: out of memory", "HIP out of memory", "can't allocate memory")
"""What errors say that are no OutOfMemoryError of torch: of the driver, of a CPU's allocator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One measured run, and sentences on how to read it. `built_params` is None where loading did not get that far."""

    run: MeasuredRun
    case: ProbeCase
    whole_layers: int
    built_params: int | None = None
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the RUN.json: `tunefare.run/v1`, and under `probe` what only a probe knows."""
        return run_document(self.run) | {
            "probe": {
                "steps": self.case.steps,
                "warmup": self.case.warmup,
                "layers": self.run.model.layers,
                "whole_layers": self.whole_layers,
                "built_params": self.built_params,
                "tokens_per_step": tokens_per_step(self.run.recipe),
                "notes": list(self.notes),
            }
        }


@dataclass(slots=True)
class _Progress:
    """What was read so far: whatever stops a run, this much is known."""

    loaded: bool = False
    load_peak: int | None = None
    trained: int | None = None
    built: int | None = None
    seconds: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def run_probe(
    case: ProbeCase, *, made_at: str, where: str = "command line", scratch: Path | None = None
) -> ProbeResult:
    """Return what training this case on the device took: memory, seconds of each step, tokens/s.

    Running out of memory is a result, with the status `oom` and what was read until then. `scratch` is a folder for a
    checkpoint that later cases may take again (None: a temporary one). Raises JobError for a case that makes no
    sense, ProbeUnavailable for what is missing here.
    """
    # What is wrong with the case, or lacks here, is said at once, not after the seconds that torch takes to load.
    recipe = prepare_case(case, where=where).recipe
    require_extra()
    check_packages(recipe, case.device or CUDA)
    prepare_imports()
    device = open_device(case.device)
    task = _task(case, device, where)
    progress = _Progress()
    problem = ""
    with _folder(scratch) as folder:
        try:
            with warnings.catch_warnings():
                # Advice for the authors of models and trainers: nobody can act on it here.
                warnings.simplefilter("ignore")
                _measure(task, device, folder, progress)
        except (RuntimeError, MemoryError) as err:
            if not _is_out_of_memory(err):
                raise
            problem = " ".join(str(err).split())[:500] or type(err).__name__
    if problem:
        stage = "while training" if progress.loaded else "while loading"
        problem = f"out of memory {stage}: {problem}"
    run = _run(task, device, progress, made_at=made_at, problem=problem)
    gc.collect()
    notes = (*device.notes, *progress.notes)
    return ProbeResult(run=run, case=case, whole_layers=task.whole_layers, built_params=progress.built, notes=notes)


def failed_run(case: ProbeCase, *, made_at: str, reason: str, where: str) -> ProbeResult:
    """Return the record of a case that gave no readings: its process died, or something it needs is missing."""
    task = prepare_case(case, where=where)
    run = MeasuredRun(
        model=task.model,
        recipe=task.recipe,
        gpu=None,
        status=RunStatus.ERROR,
        error=reason,
        made_at=made_at,
        source=SOURCE,
        group=SOURCE,
        versions=read_versions(),
    )
    return ProbeResult(run=run, case=case, whole_layers=task.whole_layers)


def _task(case: ProbeCase, device: Device, where: str) -> ProbeTask:
    """Return the case made ready for this device. Raises JobError for what its chip cannot do."""
    task = prepare_case(case, where=where, half=device.half)
    gpu = None if device.gpu is None else load_gpus().by_id[device.gpu]
    found = None if gpu is None else refuse(task.recipe, gpu=gpu)
    if found is not None:
        raise JobError(
            where=where, key=found.axis, value=getattr(task.recipe, found.axis, device.gpu), allowed=found.reason
        )
    if task.recipe.optimizer is not Optimizer.ADAMW:
        return task
    return replace(task, recipe=replace(task.recipe, fused_optimizer=fused_adamw()))


def _measure(task: ProbeTask, device: Device, scratch: Path, progress: _Progress) -> None:
    """Load and train, writing into `progress` as things become known."""
    device.reset_peaks()
    try:
        loaded = load(task, device, scratch)
        device.synchronize()
        progress.loaded = True
        progress.trained, progress.built, progress.notes = loaded.trained_params, loaded.built_params, loaded.notes
    finally:
        progress.load_peak = device.allocated_peak()
    device.reset_peaks()
    for seconds in run_steps(loaded, task, device):
        progress.seconds += (seconds,)


def _run(task: ProbeTask, device: Device, progress: _Progress, *, made_at: str, problem: str) -> MeasuredRun:
    trained = progress.loaded
    speed = None
    if progress.seconds and not problem:
        speed = tokens_per_step(task.recipe) / median(progress.seconds)
    return MeasuredRun(
        model=task.model,
        recipe=task.recipe,
        gpu=device.gpu,
        gpu_name=device.name,
        status=RunStatus.OUT_OF_MEMORY if problem else RunStatus.OK,
        error=problem,
        readings=Readings(
            load_peak_bytes=progress.load_peak or None,
            allocated_bytes=device.allocated_peak() if trained else None,
            reserved_bytes=device.reserved_peak(),
            device_bytes=device.used_bytes(),
            tokens_per_s=speed,
            step_s=progress.seconds,
            trained_params=progress.trained,
        ),
        made_at=made_at,
        source=SOURCE,
        group=SOURCE,
        versions=read_versions(_cuda_version() if device.kind == CUDA else None),
    )


def _cuda_version() -> str | None:
    import torch

    found = torch.version.cuda or torch.version.hip
    return None if found is None else str(found)


def _is_out_of_memory(err: BaseException) -> bool:
    """Return whether this is memory that ran out: torch's own error, or the driver's and the CPU allocator's words."""
    import torch

    kinds = (torch.cuda.OutOfMemoryError, MemoryError)
    return isinstance(err, kinds) or any(words in str(err) for words in OUT_OF_MEMORY)


@contextmanager
def _folder(scratch: Path | None) -> Iterator[Path]:
    if scratch is not None:
        yield scratch
        return
    with tempfile.TemporaryDirectory(prefix="tunefare-probe-", dir=os.environ.get("TMPDIR")) as name:
        yield Path(name)
