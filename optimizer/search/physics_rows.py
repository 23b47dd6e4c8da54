"""Physics on machine classes: memory, speed and duration of every grid point, prices not needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.axes import Offload, code
from optimizer.physics.duration import (
    checkpoint_bytes,
    checkpoint_download_bytes,
    checkpoint_interval_s,
    checkpoint_write_s,
    estimate_duration,
)
from optimizer.physics.memory import estimate_memory
from optimizer.physics.runs import Runs
from optimizer.physics.tabulate import machine_columns, model_columns
from optimizer.physics.throughput import estimate_throughput

from .calibrated import calibrated, with_measured_memory, with_measured_speed
from .columns import slim, take
from .grid import precision_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.duration import DurationColumns
    from optimizer.physics.results import MemoryColumns, ThroughputColumns
    from optimizer.physics.runs import Bools, Floats
    from optimizer.physics.tabulate import Machine
    from optimizer.workload.job import Job

    from .calibrated import Names
    from .grid import GridRows, RecipeGrid
    from .tables import Tables

IMAGE_BYTES = 30e9
"""Disk for the system, drivers and training software. Assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicsRows:
    """What physics says of n grid points, arrays of shape (n,): bytes per GPU or per node, seconds of the whole job."""

    memory: MemoryColumns
    speed: ThroughputColumns
    duration: DurationColumns
    needed_bytes: Floats
    """High end of the larger of the training and the load requirement, per GPU."""
    host_bytes: Floats
    nvme_bytes: Floats
    offloads: Bools
    disk_bytes: Floats
    """Disk per node: image, weights as published, data, two checkpoints (or what the job states)."""
    finish_s: Floats
    """Time within which the run ends with the confidence asked for."""
    restart_s: Floats
    segment_s: Floats
    """Work between two checkpoints and the write of one: what an interruption can destroy."""
    checkpoint_every_s: Floats
    """Seconds of training between two checkpoints: what the job states, otherwise what the duration assumes; 0: none
    but the last."""
    checkpoint_write_s: Floats

    @property
    def count(self) -> int:
        """Number of grid points."""
        return int(self.needed_bytes.shape[0])


def evaluate_rows(
    job: Job, grid: RecipeGrid, rows: GridRows, machines: Sequence[Machine], tables: Tables
) -> PhysicsRows:
    """Return memory, speed and duration of the grid points on their machines; `rows` must not be empty."""
    precisions = [precision_for(machine.gpu) for machine in machines]
    recipe = take(grid.columns, rows.base)
    sizes, position = np.unique(rows.micro_batch, return_inverse=True)
    padded = job.lengths is not None and not job.packing
    padding = np.array([job.padding_factor(int(size)) for size in sizes])
    row_tokens = np.array([job.row_tokens(int(size)) or job.seq_len for size in sizes])
    runs = Runs(
        model=model_columns(job.model),
        recipe=replace(
            recipe,
            micro_batch=rows.micro_batch.astype(np.float64),
            grad_accum=rows.grad_accum.astype(np.float64),
            padding_factor=padding[position] if padded else np.ones(1),
            row_tokens=row_tokens[position] if padded else np.full(1, float(job.seq_len)),
        ),
        machine=take(slim(machine_columns(machines, precisions)), rows.machine),
    )
    return evaluate_runs(job, runs, tables, gpu=np.array([machine.gpu.id for machine in machines])[rows.machine])


def evaluate_runs(job: Job, runs: Runs, tables: Tables, *, gpu: Names) -> PhysicsRows:
    """Return memory, speed and duration of runs that are already laid out, every array of shape (n,).

    `gpu` names the GPU of each run: a calibration is of one card.
    """
    shape = (runs.count,)
    cards = tables.calibration
    runs = calibrated(runs, gpu, cards)
    memory = with_measured_memory(estimate_memory(runs, tables.memory), runs, gpu, cards)
    speed = with_measured_speed(estimate_throughput(runs, tables.speed), runs, gpu, cards, tables.speed)
    duration = estimate_duration(
        runs=runs, throughput=speed, tokens=float(job.tokens), overheads=job.overheads, constants=tables.speed
    )
    parts = duration.parts_s
    every = checkpoint_interval_s(runs, job.overheads.checkpoint_every_s, tables.speed.duration)
    write = checkpoint_write_s(runs, tables.speed.duration)
    disk = job.overheads.disk_bytes
    if disk is None:
        checkpoint = checkpoint_bytes(runs, tables.speed.duration)
        need = IMAGE_BYTES + checkpoint_download_bytes(runs) + job.overheads.data_bytes + 2.0 * checkpoint
    else:
        need = np.full(1, float(disk))
    return PhysicsRows(
        memory=memory,
        speed=speed,
        duration=duration,
        needed_bytes=np.broadcast_to(memory.needed.high, shape),
        host_bytes=np.broadcast_to(memory.host.high, shape),
        nvme_bytes=np.broadcast_to(memory.nvme.high, shape),
        offloads=np.broadcast_to(runs.recipe.offload != code(Offload.NONE), shape),
        disk_bytes=np.broadcast_to(need, shape),
        finish_s=np.broadcast_to(duration.quantile(job.confidence_ppm / 1e6), shape),
        restart_s=np.broadcast_to(parts["setup"] + parts["download"] + parts["load"], shape),
        # Without checkpoints all of the training is lost.
        segment_s=np.broadcast_to(np.where(every > 0.0, every, parts["train"]) + write, shape),
        checkpoint_every_s=np.broadcast_to(every, shape),
        checkpoint_write_s=np.broadcast_to(write, shape),
    )
