"""Plans as people read them, feasible or not. Figures are invented; the layout and the roundings are what is held."""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from optimizer.report.style import Style
from optimizer.report.table import text_width
from optimizer.report.text_infeasible import replace_flag
from optimizer.report.text_plan import format_plan
from optimizer.search.results import PlanStatus
from providers.basis import Basis, Estimate
from providers.offer import PricingModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.search.results import Candidate, NearMiss, Plan

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


def test_an_infeasible_plan_reads_as_written_down(infeasible_plan: Plan, golden: Compare) -> None:
    golden("plan-infeasible.txt", format_plan(infeasible_plan, NARROW, words=WORDS))


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


@pytest.fixture
def infeasible_plan(invented_infeasible_plan: Plan) -> Plan:
    """The invented infeasible plan, its near miss with the flags that let it in."""
    (miss,) = invented_infeasible_plan.near_misses
    near = dataclasses.replace(miss, flags=(("--deadline", ("26h",)),))
    return dataclasses.replace(invented_infeasible_plan, near_misses=(near,))


def test_the_cheapest_way_out_that_flags_open_is_ready_to_type(infeasible_plan: Plan) -> None:
    (miss,) = infeasible_plan.near_misses
    cheap = dataclasses.replace(miss.candidate.quote, expected_usd_micro=2_000_000, low_usd_micro=1, high_usd_micro=3)
    cheaper = dataclasses.replace(miss, candidate=dataclasses.replace(miss.candidate, quote=cheap))
    several = dataclasses.replace(cheaper, flags=(("provider", ()), ("max_gpus", ("8",)), ("--gpu", ("A", "B"))))

    def typed(*misses: NearMiss) -> str:
        words = ["--provider", "nimbus", "--max-gpus=4", "--gpu", "C"]
        text = format_plan(dataclasses.replace(infeasible_plan, near_misses=misses), NARROW, words=words)
        return text.partition("\nNext  the cheapest way out\n")[2].strip()

    assert typed(miss, several) == "$ tunefare plan --max-gpus 8 --gpu A --gpu B"
    assert typed(miss, dataclasses.replace(cheaper, flags=())).endswith("--deadline 26h")
    assert typed(miss, dataclasses.replace(several, priced=False)).endswith("--deadline 26h")
    assert typed(dataclasses.replace(miss, flags=())) == ""


def test_a_relaxed_flag_replaces_the_one_that_was_given() -> None:
    assert replace_flag(WORDS, "--deadline", ["26h"]) == [*WORDS[:3], "--deadline", "26h"]
    assert replace_flag(["job.toml"], "--budget", ["9"]) == ["job.toml", "--budget", "9"]


def test_a_way_out_that_relaxes_several_limits_names_them_all(infeasible_plan: Plan) -> None:
    (miss,) = infeasible_plan.near_misses
    both = dataclasses.replace(
        miss, also=("max_gpus", "host_memory", "provider"), broken={"max_gpus": 16.0, "host_memory": 8.0 * 2**30},
        allows={"max_gpus": 8.0, "host_memory": None},
    )  # fmt: skip
    text = format_plan(dataclasses.replace(infeasible_plan, near_misses=(both,)), NARROW)
    words = " ".join(text.split())
    assert "each way out below relaxes those that it names" in words
    assert (
        "max GPUs 16 GPUs instead of 8 GPUs · host memory 8.0 GiB, and what the machine has is unknown · provider"
        in words
    )
    mixed = format_plan(dataclasses.replace(infeasible_plan, near_misses=(both, miss)), NARROW)
    assert "relaxes the limits that it names and keeps all others" in " ".join(mixed.split())


def test_a_machine_that_nobody_rents_out_has_no_cost(infeasible_plan: Plan) -> None:
    (miss,) = infeasible_plan.near_misses
    dream = dataclasses.replace(miss, priced=False, limit="memory", unit="bytes", required=9e10, allowed=6e10)
    text = format_plan(dataclasses.replace(infeasible_plan, near_misses=(dream,)), NARROW)
    block = text[text.index("Memory 83.8 GiB instead of 55.9 GiB") : text.index("What this rests on")]
    assert block == f"Memory 83.8 GiB instead of 55.9 GiB\n  {miss.sentence}\n\n"


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


def test_flags_of_the_choice_stand_in_words_and_those_of_the_others_as_marks(invented_plan: Plan) -> None:
    def flagged(one: Candidate, *flags: str, variant: str | None = None) -> Candidate:
        return dataclasses.replace(one, offer=dataclasses.replace(one.offer, flags=flags, variant=variant))

    (choice,), (other,) = invented_plan.choices, invented_plan.runners_up
    flags = ("arm_host", "marketplace")
    plan = dataclasses.replace(
        invented_plan,
        choices=(flagged(choice, *flags),),
        runners_up=(flagged(other, "marketplace", variant="community"), flagged(other), flagged(other, *flags)),
    )
    text = format_plan(plan, NARROW)
    assert "  Notice     marketplace host · ARM host: needs aarch64 builds\n" in text
    table = text[text.index("Runners-up") : text.index("Why the others")].splitlines()
    assert [line.split()[-1] for line in table[2:5]] == ["m", "%", "ma"]
    assert table[2].split()[:3] == ["nimbus", "mars-1", "community"]
    assert table[5] == "  m: marketplace or community host · a: ARM host: needs aarch64 builds"
    assert "Notice" not in format_plan(invented_plan, NARROW)


def test_the_widest_row_of_the_others_keeps_to_the_terminal(invented_plan: Plan) -> None:
    (other,) = invented_plan.runners_up
    offer = dataclasses.replace(
        other.offer, provider="thunder-compute", region="australiasoutheast", variant="prototyping", gpu_count=16,
        pricing_model=PricingModel.SPOT, flags=("marketplace", "form_factor_assumed", "own"),
    )  # fmt: skip
    recipe = dataclasses.replace(other.recipe, bits=8)
    wide = dataclasses.replace(
        other, offer=offer, recipe=recipe, gpu=dataclasses.replace(other.gpu, id="RTX-PRO-6000-96GB"), nodes=8
    )
    text = format_plan(dataclasses.replace(invented_plan, runners_up=(other, wide)), NARROW)
    assert max(text_width(line) for line in text.splitlines()) <= 80
    assert "8×16×RTX-PRO-600" in text


def test_a_long_choice_goes_on_under_itself(invented_plan: Plan) -> None:
    (choice,) = invented_plan.choices
    offer = dataclasses.replace(choice.offer, provider="thunder-compute", region="unknown", variant="prototyping")
    plan = dataclasses.replace(invented_plan, choices=(dataclasses.replace(choice, offer=offer, nodes=4),))
    lines = format_plan(plan, NARROW).splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("Cheapest"))
    assert lines[start : start + 2] == [
        "Cheapest  thunder-compute · region unknown · prototyping · 4 × 2 × ZETA-9-64GB ·",
        "          qlora 4-bit",
    ]


def test_a_near_miss_says_what_to_know_of_its_offer(invented_infeasible_plan: Plan) -> None:
    (miss,) = invented_infeasible_plan.near_misses
    offer = dataclasses.replace(miss.candidate.offer, flags=("clamp_suspected",))
    near = dataclasses.replace(miss, candidate=dataclasses.replace(miss.candidate, offer=offer))
    text = format_plan(dataclasses.replace(invented_infeasible_plan, near_misses=(near,)), NARROW)
    assert "  Notice  clamp suspected: the spot price looks like a floor\n" in text


def test_reasons_for_leaving_offers_out_are_few_unless_verbose(invented_plan: Plan) -> None:
    reasons = {"slice: half a card": 5, "gone": 4, "foreign": 3, "odd": 2}
    plan = dataclasses.replace(invented_plan, snapshot=dataclasses.replace(invented_plan.snapshot, unusable=reasons))
    none = dataclasses.replace(plan, choices=(), status=PlanStatus.INFEASIBLE)
    for one in (plan, none):
        assert "14 offers: slice 5 · gone 4 · foreign 3 · other reasons 2\n" in format_plan(one, NARROW)
        assert "14 offers: slice: half a card 5 · gone 4 · foreign 3 · odd 2\n" in format_plan(
            one, NARROW, verbose=True
        )


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
