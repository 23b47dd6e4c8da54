"""One recipe on one machine as a person reads it: does it fit, how fast, how long, for how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.offer import NANO

from .colour import Meaning
from .describe import (
    bill_lines,
    describe_calibration,
    describe_defaults,
    describe_flags,
    describe_gpus,
    describe_job,
    describe_memory,
    describe_place,
    describe_pricing,
    describe_recipe,
    describe_snapshot,
    format_quote_range,
)
from .figures import (
    format_age,
    format_dollars,
    format_gib,
    format_hourly,
    format_ppm,
    format_rate,
    format_span,
    format_span_range,
)
from .objective import describe_objective
from .table import format_heading, format_list, format_pairs, join_sections
from .text_verbose import memory_sections, step_section, time_section

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.search.results import Quote

    from .answers import EstimateAnswer
    from .style import Style


HOST_VERDICTS: dict[bool | None, str] = {
    True: "",
    False: ", more than the machine has",
    None: " (what the machine has is unknown)",
}


def format_estimate(answer: EstimateAnswer, style: Style) -> str:
    """Return an estimate as text: the verdict, memory by reading and by part, speed, time and cost."""
    machine = describe_gpus(answer.gpus_per_node, answer.nodes, answer.gpu.id)
    return join_sections(
        [
            [format_heading(f"{describe_job(answer.job)} · {machine}", "", style)],
            _verdict(answer, style),
            *memory_sections(answer.memory, style),
            step_section(answer.speed, style),
            time_section(answer.duration_parts_s, answer.duration_s.basis.value, style),
            _bill(answer.quote, style),
            _rests_on(answer, style),
        ]
    )


def _verdict(answer: EstimateAnswer, style: Style) -> list[str]:
    speed = answer.speed.tokens_per_s
    duration = answer.duration_s
    rate = f"{format_rate(speed.expected)} tokens/s ({format_rate(speed.low)} – {format_rate(speed.high)})"
    span = format_span_range(duration.low, duration.high)
    pairs = [
        ("Memory", describe_memory(answer.memory, style)),
        ("Speed", f"{rate}, bound by {answer.speed.bound} (basis {speed.basis.value})"),
        ("Time", f"{format_span(duration.expected, like=duration.high)} (80 % within {span}){_chance(answer)}"),
        ("Cost", describe_cost(answer)),
        *([("Notice", notice)] if answer.offer and (notice := describe_flags(answer.offer)) else []),
        ("Recipe", describe_recipe(answer.recipe)),
        ("Quality", f"{answer.quality} (complexity {answer.complexity})"),
        ("Objective", describe_objective(answer.job.objective)),
    ]
    if answer.memory.host.expected:
        host = f"{format_gib(answer.memory.host.high)} per node{HOST_VERDICTS[answer.host_fits]}"
        pairs.insert(1, ("Host RAM", host))
    if answer.memory.nvme.expected:
        pairs.insert(2, ("NVMe", f"{format_gib(answer.memory.nvme.high)} per node"))
    return [_fit_line(answer, style), *format_pairs(pairs, style)]


def _fit_line(answer: EstimateAnswer, style: Style) -> str:
    missing = answer.memory.needed.high - answer.memory.usable_bytes
    if answer.fits:
        return f"{style.paint('Fits', Meaning.GOOD)}  {format_gib(-missing)} to spare at the high end"
    if answer.fits_expected:
        text = f"by the central estimate, but lacks {format_gib(missing)} at the high end"
        return f"{style.paint('May fit', Meaning.TIGHT)}  {text}"
    return f"{style.paint('Does not fit', Meaning.BROKEN)}  lacks {format_gib(missing)} at the high end"


def _chance(answer: EstimateAnswer) -> str:
    if answer.finish_probability_ppm is None:
        return ""
    return f", in time: {format_ppm(answer.finish_probability_ppm)}"


def describe_cost(answer: EstimateAnswer) -> str:
    """Return the cost with its range and where its price comes from, or that it is unknown and what would tell."""
    if answer.quote is None:
        return "unknown: no offer of this machine is known; give --usd-per-gpu-hour"
    amount = f"{format_dollars(answer.quote.expected_usd_micro)} ({format_quote_range(answer.quote)})"
    return f"{amount} at {_price_source(answer)}"


def _price_source(answer: EstimateAnswer) -> str:
    hourly = "" if answer.usd_per_gpu_hour_nano is None else format_hourly(answer.usd_per_gpu_hour_nano / NANO)
    if answer.offer is None:
        return f"{hourly} per GPU-hour, as given"
    offer = answer.offer
    age = _age(offer.observed_at, answer.made_at)
    return (
        f"{hourly} per GPU-hour: {describe_place(offer)} {offer.instance_type}, {describe_pricing(offer)}, "
        f"{offer.price_class.value} price, {age} old"
    )


def _age(observed_at: datetime, now: datetime) -> str:
    return format_age((now - observed_at).total_seconds())


def _bill(quote: Quote | None, style: Style) -> list[str]:
    if quote is None or len([item for item in quote.items if item.usd_micro]) < 2:
        return []
    return [format_heading("The bill", "expected", style), *bill_lines(quote.items, style)]


def _rests_on(answer: EstimateAnswer, style: Style) -> list[str]:
    pairs = [
        ("GPU", f"{answer.gpu.id}, {format_gib(answer.memory.usable_bytes)} usable ({answer.gpu.usable_basis.value})")
    ]
    if answer.snapshot is not None:
        pairs.append(("Prices", describe_snapshot(answer.snapshot, answer.made_at)))
    if answer.calibration is not None:
        pairs.append(("Calibration", describe_calibration(answer.calibration)))
    if answer.job.defaults_used:
        pairs.append(("Defaults", describe_defaults(answer.job.defaults_used)))
    lines = [format_heading("What this rests on", "", style), *format_pairs(pairs, style)]
    return [*lines, *format_list(answer.notes, style)]
