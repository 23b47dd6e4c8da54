"""Plans as people read them, feasible or not. Figures are invented; the layout and the roundings are what is held."""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from optimizer.report.style import Style
from optimizer.report.table import text_width
from optimizer.report.text_infeasible import relaxing_flag, replace_flag
from optimizer.report.text_plan import format_plan
from optimizer.search.results import PlanStatus
from providers.basis import Basis, Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.search.results import Plan

    Compare = Callable[[str, str], None]

WORDS = ["job.toml", "--model", "meta-llama/Llama-3.1-8B", "--deadline", "24h"]
NARROW = Style(width=80)


def test_a_plan_reads_as_written_down(invented_plan: Plan, golden: Compare) -> None:
    golden("plan.txt", format_plan(invented_plan, NARROW, words=WORDS))


def test_a_verbose_plan_shows_what_is_behind_the_figures(invented_plan: Plan, golden: Compare) -> None:
    golden("plan-verbose.txt", format_plan(invented_plan, NARROW, words=WORDS, verbose=True))


def test_a_plan_in_ascii_holds_nothing_else(invented_plan: Plan, golden: Compare) -> None:
    text = format_plan(invented_plan, Style(width=80, unicode=False), words=WORDS)
    assert text.isascii()
    golden("plan-ascii.txt", text)


def test_a_sweep_reads_as_written_down(invented_sweep: Plan, golden: Compare) -> None:
    golden("plan-sweep.txt", format_plan(invented_sweep, NARROW))


def test_an_infeasible_plan_reads_as_written_down(invented_infeasible_plan: Plan, golden: Compare) -> None:
    golden("plan-infeasible.txt", format_plan(invented_infeasible_plan, NARROW, words=WORDS))


@pytest.mark.parametrize("width", [72, 80, 100, 132])
@pytest.mark.parametrize("colour", [False, True])
def test_no_line_is_wider_than_the_terminal(invented_sweep: Plan, width: int, colour: bool) -> None:
    text = format_plan(invented_sweep, Style(width=width, colour=colour), words=WORDS, verbose=True)
    assert max(text_width(line) for line in text.splitlines()) <= width


def test_colour_adds_escapes_and_changes_nothing_else(invented_plan: Plan) -> None:
    plain = format_plan(invented_plan, NARROW, words=WORDS, verbose=True)
    coloured = format_plan(invented_plan, Style(width=80, colour=True), words=WORDS, verbose=True)
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_the_bill_adds_up_to_the_cent(invented_plan: Plan) -> None:
    text = format_plan(invented_plan, NARROW)
    bill = text[text.index("The bill") : text.index("Runners-up")]
    amounts = [Decimal(found) for found in re.findall(r"\$([\d.]+)$", bill, flags=re.MULTILINE)]
    assert sum(amounts[:-1]) == amounts[-1] == Decimal("7.65")


def test_memory_beyond_what_is_usable_is_said_to_be(invented_plan: Plan) -> None:
    (choice,) = invented_plan.choices
    usable = choice.memory.usable_bytes
    need = Estimate(low=usable, expected=usable * 1.1, high=usable * 1.25, basis=Basis.DERIVED)
    tight = dataclasses.replace(choice, memory=dataclasses.replace(choice.memory, required=need))
    text = format_plan(dataclasses.replace(invented_plan, choices=(tight,)), Style(colour=True))
    assert "75.0 GiB of 60.0 GiB per GPU" in text
    assert "\x1b[31m████████████████████\x1b[0m  125 %" in text


def test_a_plan_stopped_by_the_clock_does_not_claim_to_be_cheapest(invented_plan: Plan) -> None:
    text = format_plan(dataclasses.replace(invented_plan, status=PlanStatus.TIME_LIMIT), NARROW)
    assert "Best found in the time allowed" in text
    assert "Cheapest" not in text


def test_without_a_deadline_nothing_is_said_of_one(invented_plan: Plan) -> None:
    job = dataclasses.replace(invented_plan.job, deadline_at=None)
    text = format_plan(dataclasses.replace(invented_plan, job=job), NARROW)
    assert "deadline" not in text.replace("deadline 3", "")
    assert "in time" not in text
    assert "Tue 6 May 2031 08:14 UTC" in text


def test_a_free_machine_is_no_division_by_zero(invented_plan: Plan) -> None:
    (choice,) = invented_plan.choices
    free = dataclasses.replace(choice.quote, low_usd_micro=0, expected_usd_micro=0, high_usd_micro=0, items=())
    text = format_plan(dataclasses.replace(invented_plan, choices=(dataclasses.replace(choice, quote=free),)), NARROW)
    assert re.search(r"^  Cost +\$0 ", text, flags=re.MULTILINE)


def test_a_near_miss_names_the_flag_that_would_let_it_in(invented_infeasible_plan: Plan) -> None:
    (miss,) = invented_infeasible_plan.near_misses
    assert relaxing_flag(miss) == ("--deadline", "26h")
    over = dataclasses.replace(miss, limit="budget", unit="usd_micro", required=12_000_001.0, allowed=5_000_000.0)
    assert relaxing_flag(over) == ("--budget", "13")
    floor = dataclasses.replace(miss, limit="quality_floor", unit="levels", required=4.0, allowed=2.0)
    assert relaxing_flag(floor) == ("--quality-floor", "med-high")
    ceiling = dataclasses.replace(miss, limit="max_complexity", unit="levels", required=2.0, allowed=0.0)
    assert relaxing_flag(ceiling) == ("--max-complexity", "high")
    assert relaxing_flag(dataclasses.replace(miss, limit="memory", unit="bytes")) is None
    assert relaxing_flag(dataclasses.replace(miss, required=float("inf"))) is None


def test_a_relaxed_flag_replaces_the_one_that_was_given() -> None:
    assert replace_flag(WORDS, "--deadline", "26h") == [*WORDS[:3], "--deadline", "26h"]
    assert replace_flag(["job.toml"], "--budget", "9") == ["job.toml", "--budget", "9"]


def test_nothing_near_is_said_in_words(invented_infeasible_plan: Plan) -> None:
    alone = dataclasses.replace(invented_infeasible_plan, near_misses=())
    assert "breaks more than one limit" in format_plan(alone, NARROW)
    empty = dataclasses.replace(alone, solver=dataclasses.replace(alone.solver, candidates=0))
    assert "No offer passes" in format_plan(empty, NARROW)


def test_each_kind_of_limit_is_named_in_its_own_words(invented_infeasible_plan: Plan) -> None:
    (miss,) = invented_infeasible_plan.near_misses

    def read(**changes: object) -> str:
        changed = dataclasses.replace(miss, **changes)  # type: ignore[arg-type]
        return format_plan(dataclasses.replace(invented_infeasible_plan, near_misses=(changed,)), NARROW)

    text = read(limit="quality_floor", unit="levels", required=4.0, allowed=2.0)
    assert "Quality floor med-high instead of highest" in text
    assert "Max complexity high instead of low" in read(
        limit="max_complexity", unit="levels", required=2.0, allowed=0.0
    )
    assert "Budget $12.00 instead of $5.00" in read(limit="budget", unit="usd_micro", required=12e6, allowed=5e6)
    assert "Max GPUs 8 GPUs instead of 4 GPUs" in read(limit="max_gpus", unit="GPUs", required=8.0, allowed=4.0)
    place = read(limit="provider", unit="", required=1.0, allowed=0.0, sentence="Only elsewhere.")
    assert "Provider\n" in place
    assert "Only elsewhere." in place
    assert "Only elsewhere." not in read(sentence="Only elsewhere.")


def test_a_rival_says_what_is_known_of_its_price(invented_plan: Plan) -> None:
    (priced, unknown) = invented_plan.rivals
    rivals = (
        dataclasses.replace(priced, vendor="A", low_usd_micro=2_000_000, high_usd_micro=3_000_000, source_date="2031"),
        dataclasses.replace(priced, vendor="A", low_usd_micro=None, high_usd_micro=9_000_000, source_date="2030"),
        unknown,
    )
    text = format_plan(dataclasses.replace(invented_plan, rivals=rivals), NARROW)
    assert "  A        tiny $2.00 – $3.00 (2031) · tiny up to $9.00 (2030)\n" in text
    assert "  unknown  Stratus huge\n" in text
    assert "Managed services  priced per training token, for 21.3M tokens\n" in text
    assert "Managed" not in format_plan(dataclasses.replace(invented_plan, rivals=()), NARROW)


def test_a_command_is_quoted_and_keeps_flags_with_their_values(invented_plan: Plan) -> None:
    words = [
        "my job.toml",
        "--tokens-per-sample",
        "400",
        "--gpu",
        "H100-SXM-80GB",
        "--gpu",
        "A100-SXM-80GB",
        "--no-packing",
    ]
    lines = format_plan(invented_plan, NARROW, words=words).splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("  $ tunefare explain"))
    assert lines[start] == "  $ tunefare explain 'my job.toml' --tokens-per-sample 400 --gpu H100-SXM-80GB \\"
    assert lines[start + 1] == "      --gpu A100-SXM-80GB --no-packing --why-not spot"
