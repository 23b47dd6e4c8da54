"""Measured runs as rows to fit to: which of them can be used, on which machine, and why the others cannot."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.physics.recipe import refusal
from optimizer.physics.tabulate import Machine, peak_flops_per_s, tabulate
from providers.errors import TunefareError

from .record import RunStatus, run_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optimizer.physics.runs import Runs
    from providers.gpus import GpuTable

    from .record import MeasuredRun


AGAIN = ": counted once"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRun:
    """A measured run and where it was read: the file, and its place in it."""

    where: str
    run: MeasuredRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A run that can be fitted to, its machine, and the digest of its record (`sha256`, hexadecimal)."""

    where: str
    run: MeasuredRun
    machine: Machine
    digest: str

    @property
    def stack(self) -> str:
        """The software that ran it."""
        return self.run.recipe.stack.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A run that was not used, and why, in one clause."""

    where: str
    reason: str

    @property
    def again(self) -> bool:
        """Whether the run was used, and stands in another place as well."""
        return self.reason.endswith(AGAIN)


def run_digest(run: MeasuredRun) -> str:
    """Return the SHA-256 of the run's record in canonical JSON: equal runs have equal digests, wherever they lie."""
    text = json.dumps(run_document(run), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def usable_rows(runs: Iterable[NamedRun], gpus: GpuTable) -> tuple[tuple[Row, ...], tuple[Skipped, ...]]:
    """Return the runs that can be fitted to, ordered by digest, and the others with the reason.

    Runs that ended out of memory are among the rows: they bound what fits. A run that is there twice counts once.
    """
    rows: dict[str, Row] = {}
    skipped: list[Skipped] = []
    for named in runs:
        reason = _why_not(named.run, gpus)
        if reason is not None:
            skipped.append(Skipped(where=named.where, reason=reason))
            continue
        digest = run_digest(named.run)
        if digest in rows:
            skipped.append(Skipped(where=named.where, reason=f"the same run as {rows[digest].where}{AGAIN}"))
            continue
        rows[digest] = Row(where=named.where, run=named.run, machine=machine_of_run(named.run, gpus), digest=digest)
    return tuple(rows[digest] for digest in sorted(rows)), tuple(skipped)


def machine_of_run(run: MeasuredRun, gpus: GpuTable) -> Machine:
    """Return the machine of a run. Raises KeyError for a GPU that the table lacks."""
    return Machine(
        gpu=gpus.by_id[run.gpu or ""],
        gpu_count=run.gpus_per_node,
        nodes=run.nodes,
        network_bytes_per_s=run.network_bytes_per_s,
    )


def lay_out(rows: Sequence[Row]) -> Runs:
    """Return the rows as columns of shape (n,)."""
    return tabulate([(row.run.model, row.run.recipe, row.machine) for row in rows])


def _why_not(run: MeasuredRun, gpus: GpuTable) -> str | None:
    if run.status is RunStatus.ERROR:
        return f"the run failed: {run.error or 'no reason stated'}"
    gpu = gpus.by_id.get(run.gpu or "")
    if gpu is None:
        return f"the GPU table does not know {run.gpu or run.gpu_name or 'its GPU'}"
    reason = refusal(run.recipe, gpu=gpu, gpus=run.gpus)
    if reason is not None:
        return f"the recipe makes no sense: {reason}"
    try:
        tabulate([(run.model, run.recipe, machine_of_run(run, gpus))])
    except (TunefareError, ValueError) as err:
        return " ".join(str(err).split())
    read = run.readings
    speed = read.tokens_per_s is not None and peak_flops_per_s(gpu, run.recipe.precision) is not None
    memory = any(value is not None for value in (read.allocated_bytes, read.reserved_bytes, read.device_bytes))
    if run.status is RunStatus.OK and not speed and not memory:
        return "it reads neither speed nor memory"
    return None
