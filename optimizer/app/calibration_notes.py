"""What an answer says of its calibration: what it applies, and what of the answer lies outside what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.physics.tabulate import tabulate
from optimizer.search.calibrated import KINDS, SPANS, strays

from .calibration_in_force import calibration_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.measure.calibration import StackCalibration
    from optimizer.physics.recipe import Recipe
    from optimizer.physics.runs import Runs
    from optimizer.physics.tabulate import Machine
    from optimizer.search.calibrated import CardCalibration, MeasuredRange
    from optimizer.search.results import CalibrationReport
    from optimizer.workload.job import Job

    from .calibration_in_force import InForce


MOST_NAMED = 3
"""Places that a note names; the others are counted."""


def report_on(in_force: InForce | None, job: Job) -> CalibrationReport | None:
    """Return which calibration a job is judged with, and whether anything of it applies; None without one."""
    return calibration_report(in_force, stack=job.stack, stack_known=job.stack_known)


def calibration_notes(in_force: InForce | None, job: Job, placed: Sequence[tuple[Recipe, Machine]]) -> tuple[str, ...]:
    """Return what the reader has to know of the calibration behind `placed`, the recipes on machines that are shown."""
    if in_force is None:
        return ()
    found = in_force.calibration.of(job.stack) if job.stack_known else None
    said = _not_used(in_force.unused)
    if found is None:
        return (*said, _nothing_applies(in_force, job))
    for recipe, machine in placed:
        said += _on_card(found, tabulate([(job.model, recipe, machine)]), machine)
    failed = [one for one in in_force.calibration.failed if one.fits]
    if failed:
        named = ", ".join(one.where for one in failed)
        said.append(f"The calibrated model says that {named} fits, but it ran out of memory: trust its verdict less.")
    return tuple(dict.fromkeys(said))


def outside(runs: Runs, measured: MeasuredRange) -> tuple[str, ...]:
    """Return in words where one run lies outside what was measured: "8 GPUs (measured: 1)"."""
    found = strays(runs, measured)
    words = [
        f"{kind.title} {kind.words[int(kind.of(runs)[0])]} (measured: {', '.join(measured.kinds[name])})"
        for name, kind in KINDS.items()
        if found[name][0].any()
    ]
    for name, span in SPANS.items():
        if found[name][0].any():
            least, most = measured.spans[name]
            ends = _figure(least) if least == most else f"{_figure(least)} to {_figure(most)}"
            words.append(f"{_figure(float(span.of(runs)[0]))} {span.title} (measured: {ends})")
    return tuple(words)


def reach(card: CardCalibration, runs: Runs) -> str:
    """Return whether one run on a measured card lies inside what was measured there: "inside", or where outside."""
    measured = card.speed or card.memory
    found = {} if measured is None else strays(runs, measured)
    titles = [(KINDS.get(name) or SPANS[name]).title for name, (where, _) in found.items() if where.any()]
    inside = "inside, but its runs contradict each other" if card.warnings else "inside"
    return f"outside: {', '.join(titles)}" if titles else inside


def _not_used(unused: Sequence[str]) -> list[str]:
    """Return that measurements were named and are not used; `calibrate` says why, each one."""
    if not unused:
        return []
    named = ", ".join(unused[:MOST_NAMED]) + (f" and {len(unused) - MOST_NAMED} more" if unused[MOST_NAMED:] else "")
    return [f"Not all that was measured is used (tunefare calibrate says why): {named}."]


def _nothing_applies(in_force: InForce, job: Job) -> str:
    stacks = ", ".join(one.stack for one in in_force.calibration.stacks)
    if not job.stack_known:
        return f"The calibration is of several stacks ({stacks}) and the job names none: nothing of it is applied."
    return f"The calibration is of {stacks}, and the job runs {job.stack}: nothing of it is applied."


def _on_card(found: StackCalibration, runs: Runs, machine: Machine) -> list[str]:
    gpu = machine.gpu.id
    card = next((one for one in found.cards if one.gpu == gpu), None)
    if card is None:
        others = ", ".join(one.gpu for one in found.cards)
        learnt = (
            f"Runs of {found.stack} were measured on {others}, not on {gpu}: what was learnt of the stack is applied"
        )
        return [f"{learnt}, the factor of a card is not, and the interval of the speed is that of the model."]
    said = []
    if card.speed is not None:
        said.append(_of_speed(found.stack, card, runs))
        said += card.warnings
    if found.memory:
        said += _of_memory(found.stack, card, runs, said_already=card.speed)
    return said


def _of_speed(stack: str, card: CardCalibration, runs: Runs) -> str:
    measured = card.speed
    rows = f"{card.speed_rows} measured run{'' if card.speed_rows == 1 else 's'}"
    head = f"Speed is calibrated by {rows} of {stack} on {card.gpu}: {card.factor:.3g} times that of the model"
    if card.far_off:
        head += ", so far off that its unit may be wrong (of one GPU or of the job, padding, optimizer steps)"
    strayed = () if measured is None else outside(runs, measured)
    if not strayed and card.warnings:
        return f"{head}; this recipe lies inside what was measured, but what was measured contradicts itself."
    if not strayed:
        return f"{head}; this recipe lies inside what was measured."
    return f"{head}. Outside what was measured: {'; '.join(strayed)}; the interval is wider for it."


def _of_memory(stack: str, card: CardCalibration, runs: Runs, *, said_already: MeasuredRange | None) -> list[str]:
    if card.memory is None:
        return [f"The constants of memory come from runs of {stack} on other cards than {card.gpu}."]
    strayed = outside(runs, card.memory)
    if not strayed or (said_already is not None and strayed == outside(runs, said_already)):
        return []
    return [f"Memory is calibrated too, and this recipe lies outside what was measured: {'; '.join(strayed)}."]


def _figure(value: float) -> str:
    """Return a count as people write it: "2,048", "1.24 billion"."""
    return f"{value / 1e9:.3g} billion" if value >= 1e8 else f"{value:,.0f}"
