"""`tunefare probe`: measures real training on the GPU that is there, one case or a grid of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from providers.errors import JobError

from .inputs import COMMAND_LINE
from .options import HOW, JOB_FLAGS, RECIPE, RECIPE_FLAGS, WHAT, Flag, Flags, Json, Output, parse_number, takes_flags

if TYPE_CHECKING:
    from optimizer.measure.probe_case import ProbeCase
    from optimizer.measure.probe_grid_file import GridCase

PROBING = "The probe"
GRID = "Many cases"
INFEASIBLE = 7
USAGE = 2

OWN: dict[str, Flag] = {
    "seq_len": Flag("seq_len", int, "N", "tokens per row (default 2048, at most the model's context)"),
    "method": Flag("method", str, "METHOD", "full, lora, qlora, dora or rslora (default lora)"),
    "quantization": Flag("quantization", int, "BITS", "16, 8 or 4, width of frozen weights (default 16; qlora: 4)"),
    "objective": Flag("objective", str, "OBJECTIVE", "sft or dpo (default sft)"),
    "loss": Flag("loss", str, "KIND", "cross-entropy: standard or fused (liger-kernel; default standard)"),
    "micro_batch": Flag("micro_batch", int, "N", "sequences per forward pass, pairs for dpo (default 1)"),
    "grad_accum": Flag("grad_accum", int, "N", "forward passes per optimizer step (default 1)"),
}
"""Flags whose words or defaults are the probe's own; the others are those of `plan` and `estimate`."""


def _taken(flags: tuple[Flag, ...], keys: tuple[str, ...]) -> tuple[Flag, ...]:
    known = {flag.key: flag for flag in flags} | OWN
    return tuple(known[key] for key in keys)


GROUPS = {
    WHAT: _taken(JOB_FLAGS[WHAT], ("model", "seq_len")),
    HOW: _taken(JOB_FLAGS[HOW], ("method", "quantization", "objective", "lora_rank", "target_modules", "optimizer")),
    RECIPE: (
        *_taken(
            (*RECIPE_FLAGS, *JOB_FLAGS[HOW]),
            ("micro_batch", "grad_accum", "checkpointing", "attention", "loss", "pure_bf16"),
        ),
        Flag(
            "kbit_preparation",
            bool,
            "",
            "PEFT's upcast to fp32 (default: on 8 and 4 bit weights)",
            "--kbit-preparation/--no-kbit-preparation",
        ),
    ),
    PROBING: (
        Flag("steps", int, "N", "optimizer steps that are measured (default 10)"),
        Flag("warmup", int, "N", "steps before them that are not (default 3)"),
        Flag("layers", int, "N", "cut the model to its first N layers, and say so"),
        Flag("device", str, "KIND", "cuda or cpu (default cuda; a CPU has a speed, no memory readings)"),
    ),
}

Grid = Annotated[
    str | None,
    typer.Option(
        "--grid",
        metavar="FILE",
        help="measure every case of a TOML or CSV file, each in a process of its own",
        rich_help_panel=GRID,
        show_default=False,
    ),
]
OutputDir = Annotated[
    str | None,
    typer.Option(
        "--output-dir",
        metavar="DIR",
        help="one RUN.json a case goes here; cases that have one are skipped",
        rich_help_panel=GRID,
        show_default=False,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="S",
        help="seconds for one case (default 900)",
        rich_help_panel=GRID,
        show_default=False,
        parser=parse_number,
    ),
]
Redo = Annotated[bool, typer.Option("--redo", help="measure cases again that have a result", rich_help_panel=GRID)]
RedoFailed = Annotated[
    bool, typer.Option("--redo-failed", help="measure those again that ended in an error", rich_help_panel=GRID)
]
USUAL_TIMEOUT_S = 900.0


@takes_flags(GROUPS)
def probe(
    *,
    flags: Flags,
    grid: Grid = None,
    output_dir: OutputDir = None,
    timeout: Timeout = None,
    redo: Redo = False,
    redo_failed: RedoFailed = False,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Real training steps on the GPU that is there: memory, speed, as a RUN.json. Random weights, no download."""
    of_a_grid = {"output_dir": output_dir, "timeout": timeout, "redo": redo or None, "redo_failed": redo_failed or None}
    if grid is None:
        _refuse(of_a_grid, "only with --grid")
        return _one(flags, as_json=as_json, output=output)
    _refuse({key: value for key, value in flags.items() if key != "device"}, "not with --grid: say it in the file")
    if output_dir is None:
        raise JobError(where=COMMAND_LINE, key="output_dir", value=None, allowed="a folder for one RUN.json a case")
    if timeout is not None and not 0 < timeout < 1e7:
        raise JobError(where=COMMAND_LINE, key="timeout", value=timeout, allowed="seconds above 0")
    return _many(
        grid,
        Path(output_dir),
        flags,
        timeout_s=timeout or USUAL_TIMEOUT_S,
        redo=redo,
        redo_failed=redo_failed,
        as_json=as_json,
        output=output,
    )


def _refuse(given: Flags, allowed: str) -> None:
    for key, value in given.items():
        if value is not None:
            raise JobError(where=COMMAND_LINE, key=key, value=value, allowed=allowed)


def _one(flags: Flags, *, as_json: bool, output: str | None) -> int:
    from optimizer.measure.probe import run_probe
    from optimizer.measure.record import RunStatus

    from .output import deliver, tell
    from .probe_files import run_text
    from .probe_text import format_probe

    case = _case(flags)
    _check_output(output)
    result = run_probe(case, made_at=_now())
    document = result.document()
    deliver(
        text=lambda style: format_probe(result, style),
        document=lambda: run_text(document),
        as_json=as_json,
        output=output,
    )
    if result.run.status is not RunStatus.OUT_OF_MEMORY:
        return 0
    tell(f"infeasible on this device: {result.run.error}")
    return INFEASIBLE


def _case(flags: Flags) -> ProbeCase:
    from optimizer.measure.probe_case import read_case

    return read_case(flags, where=COMMAND_LINE)


def _many(
    grid: str,
    folder: Path,
    flags: Flags,
    *,
    timeout_s: float,
    redo: bool,
    redo_failed: bool,
    as_json: bool,
    output: str | None,
) -> int:
    from optimizer.measure.probe_grid import GridPlan, run_grid
    from optimizer.measure.record import RunStatus

    from .output import deliver, tell
    from .probe_files import grid_text, write_run
    from .probe_text import format_grid

    cases = _cases(grid, folder, output, flags.get("device"))
    plan = GridPlan(
        folder=folder,
        write=write_run,
        now=_now,
        tell=tell,
        timeout_s=timeout_s,
        redo=redo,
        redo_failed=redo_failed,
    )
    with _ended_by_term():
        results = run_grid(cases, plan)
    deliver(
        text=lambda style: format_grid(results, style),
        document=lambda: grid_text(results),
        as_json=as_json,
        output=output,
    )
    failed = sum(result.run.status is RunStatus.ERROR for result in results)
    return USAGE if failed == len(results) else 0


def _check_output(output: str | None) -> None:
    """Raise JobError where the file for the result cannot be written: measured for nothing otherwise."""
    from optimizer.app.writing import check_writable

    if output is not None:
        check_writable(output)


def _cases(grid: str, folder: Path, output: str | None, device: object) -> list[GridCase]:
    """Return the cases of the grid, once it is sure that their results can be written and what all need is here."""
    from optimizer.measure.probe_device import CPU, require_extra, require_gpu
    from optimizer.measure.probe_grid_file import read_grid

    from .probe_files import open_folder

    cases = read_grid(grid, device=None if device is None else _case({"model": "any", "device": device}).device)
    _check_output(output)
    require_extra()
    open_folder(folder)
    if any(case.case.device != CPU for case in cases):
        # One line now instead of one failed case after the other.
        require_gpu()
    return cases


@contextmanager
def _ended_by_term() -> Iterator[None]:
    """Let SIGTERM end a grid like Ctrl-C does, so that no checkpoint of many gigabytes stays behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _now() -> str:
    from optimizer.app.clock import current_time
    from optimizer.report.json_text import moment

    return moment(current_time()) or ""
