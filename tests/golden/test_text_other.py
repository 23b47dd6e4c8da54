"""Estimates, price lists, matrices and sums as people read them."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from optimizer.report.answers import PricedOffer, PriceListAnswer
from optimizer.report.style import Style
from optimizer.report.table import text_width
from optimizer.report.text_calculate import Calculation, format_calculation
from optimizer.report.text_estimate import format_estimate
from optimizer.report.text_explain import format_explanation
from optimizer.report.text_methods import format_methods
from optimizer.report.text_models import format_models
from optimizer.report.text_prices import format_prices
from optimizer.workload.calculator import estimate_cost
from optimizer.workload.decision import decide
from optimizer.workload.matrices import load_matrices
from optimizer.workload.models import load_models
from providers.basis import Basis, Estimate
from providers.offer import PriceClass, PricingModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.report.answers import EstimateAnswer
    from optimizer.search.results import Explanation, Plan

    Compare = Callable[[str, str], None]

NARROW = Style(width=80)


def test_an_estimate_reads_as_written_down(invented_estimate: EstimateAnswer, golden: Compare) -> None:
    golden("estimate.txt", format_estimate(invented_estimate, NARROW))


def test_an_estimate_without_a_price_says_what_would_tell(invented_estimate: EstimateAnswer) -> None:
    unknown = dataclasses.replace(
        invented_estimate, quote=None, offer=None, price_from="unknown", usd_per_gpu_hour_nano=None
    )
    text = format_estimate(unknown, NARROW)
    assert "unknown: no offer of this machine is known; give --usd-per-gpu-hour" in " ".join(text.split())
    assert "The bill" not in text


def test_an_estimate_at_a_given_price_says_so(invented_estimate: EstimateAnswer) -> None:
    text = format_estimate(dataclasses.replace(invented_estimate, offer=None, price_from="given"), NARROW)
    assert "at $1.60 per GPU-hour, as given" in text or "at $1.61 per GPU-hour, as given" in text


def test_an_estimate_says_what_to_know_of_its_offer(invented_estimate: EstimateAnswer) -> None:
    assert invented_estimate.offer is not None
    offer = dataclasses.replace(invented_estimate.offer, flags=("virtualised_gpu",))
    text = format_estimate(dataclasses.replace(invented_estimate, offer=offer), NARROW)
    assert "  Notice     GPU reached over a network\n" in text
    assert "Notice" not in format_estimate(invented_estimate, NARROW)


@pytest.mark.parametrize(
    ("fits", "expected", "verdict"),
    [(True, True, "Fits  "), (False, True, "May fit  "), (False, False, "Does not fit  ")],
)
def test_the_verdict_has_three_values(
    invented_estimate: EstimateAnswer, fits: bool, expected: bool, verdict: str
) -> None:
    factor = 0.5 if fits else 1.2
    usable = invented_estimate.memory.usable_bytes
    need = Estimate(low=usable * 0.4, expected=usable * 0.45, high=usable * factor, basis=Basis.DERIVED)
    changed = dataclasses.replace(
        invented_estimate,
        fits=fits,
        fits_expected=expected,
        memory=dataclasses.replace(invented_estimate.memory, required=need),
    )
    (line,) = [line for line in format_estimate(changed, NARROW).splitlines() if line.startswith(verdict)]
    assert line.endswith("30.0 GiB to spare at the high end" if fits else "lacks 12.0 GiB at the high end")


def test_memory_of_the_host_is_named_when_used(invented_estimate: EstimateAnswer) -> None:
    for host_fits, verdict in ((True, "\n"), (False, ", more than the machine has"), (None, " (what the machine has")):
        text = format_estimate(dataclasses.replace(invented_estimate, host_fits=host_fits), NARROW)
        assert f"  Host RAM   22.0 GiB per node{verdict}" in text
    nothing = Estimate(low=0.0, expected=0.0, high=0.0, basis=Basis.DERIVED)
    without = dataclasses.replace(invented_estimate, memory=dataclasses.replace(invented_estimate.memory, host=nothing))
    assert "Host RAM" not in format_estimate(without, NARROW)


@pytest.fixture
def price_list(invented_plan: Plan) -> PriceListAnswer:
    (choice,) = invented_plan.choices
    now = invented_plan.made_at
    offers = [
        (choice.offer, "fresh"),
        (
            dataclasses.replace(
                choice.offer, provider="cirrus", region="far-away-region-17", zone="far-away-region-17b", variant=None,
                instance_type="giant.superlong.48xlarge", gpu_count=8, unit_price_nano=98_320_000_000,
                pricing_model=PricingModel.SPOT, observed_at=now - timedelta(days=180),
            ),
            "expired",
        ),
        (
            dataclasses.replace(
                choice.offer, provider="own", gpu=None, gpu_name="Zeta 1", gpu_count=1, unit_price_nano=0,
                price_class=PriceClass.OWN, observed_at=now, variant=None,
            ),
            "fresh",
        ),
    ]  # fmt: skip
    rows = tuple(
        PricedOffer(offer=offer, age_s=int((now - offer.observed_at).total_seconds()), freshness=freshness)
        for offer, freshness in offers
    )
    return PriceListAnswer(made_at=now, offers=rows, total=1234, sha256="cd" * 32)


def test_a_price_list_reads_as_written_down(price_list: PriceListAnswer, golden: Compare) -> None:
    golden("prices.txt", format_prices(price_list, NARROW))


def test_a_price_that_no_plan_chooses_is_marked(price_list: PriceListAnswer) -> None:
    flags = (("marketplace",), ("gpu_price_only", "marketplace"), ())
    rows = tuple(
        dataclasses.replace(row, offer=dataclasses.replace(row.offer, flags=flag, gpu="ZETA-9-64GB"))
        for row, flag in zip(price_list.offers, flags, strict=True)
    )
    text = format_prices(dataclasses.replace(price_list, offers=rows), NARROW)
    table = text.splitlines()[2:5]
    assert [line.split()[-1] for line in table] == ["bm", "!-bm", "min"]
    words = " ".join(text.split())
    assert "-: never chosen, --json says why · b: from the bundled list · m: marketplace host" in words
    assert max(text_width(line) for line in text.splitlines()) <= 80


def test_an_empty_price_list_says_so(price_list: PriceListAnswer) -> None:
    text = format_prices(dataclasses.replace(price_list, offers=()), NARROW)
    assert text == "Prices  0 of 1,234 offers, per hour\n  No offer passes the filters.\n"


def test_the_matrices_read_as_written_down(golden: Compare) -> None:
    golden("methods.txt", format_methods(load_matrices(), None, NARROW))


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_of_the_matrices_is_wider_than_the_terminal(width: int) -> None:
    text = format_methods(load_matrices(), None, Style(width=width))
    assert max(text_width(line) for line in text.splitlines()) <= width


def test_a_decision_stands_on_top(golden: Compare) -> None:
    decision = decide(budget_tight=False, low_vram=False, domain_shift=True, alignment=True)
    golden("methods-decision.txt", format_methods(load_matrices(), decision, NARROW))


def test_a_calculation_reads_as_written_down(golden: Compare) -> None:
    inputs = {
        "tokens_per_sample": 400.0, "n_samples": 13_300.0, "epochs": 4.0, "tps_per_gpu": 100.0, "num_gpus": 4.0,
        "utilization": 0.99, "price_per_gpu_hour": 0.26,
    }  # fmt: skip
    golden("calculate.txt", format_calculation(Calculation(**inputs, **estimate_cost(**inputs)), NARROW))


def test_the_list_of_models_never_cuts_a_name() -> None:
    models = load_models()
    text = format_models(models, NARROW)
    for name in models.names():
        assert name in text
    assert max(text_width(line) for line in text.splitlines()) <= 80


def test_an_explanation_reads_as_written_down(invented_explanation: Explanation, golden: Compare) -> None:
    golden("explain.txt", format_explanation(invented_explanation, NARROW))


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("chosen", "It is the choice"),
        ("dearer", "It would do, and costs more"),
        ("absent", "There is no such candidate"),
        ("infeasible", "It breaks a limit"),
    ],
)
def test_a_verdict_is_put_in_words(invented_explanation: Explanation, verdict: str, words: str) -> None:
    text = format_explanation(dataclasses.replace(invented_explanation, verdict=verdict, broken={}), NARROW)
    assert text.splitlines()[0] == f"Why not Zeta 9 on mars?  {words}"
    assert "Limits broken" not in text
    assert ("the choice" in text.partition("\n")[2]) is (verdict != "chosen")


def test_an_explanation_says_what_to_know_of_both_offers(invented_explanation: Explanation) -> None:
    assert invented_explanation.candidate is not None
    offer = dataclasses.replace(invented_explanation.candidate.offer, flags=("restricted_region",))
    asked = dataclasses.replace(invented_explanation.candidate, offer=offer)
    text = format_explanation(dataclasses.replace(invented_explanation, candidate=asked), NARROW)
    assert text.endswith("\nNotice\n  asked about  restricted region, opened on request\n")
    assert "Notice" not in format_explanation(invented_explanation, NARROW)


def test_an_explanation_without_a_candidate_is_a_sentence(invented_explanation: Explanation) -> None:
    alone = dataclasses.replace(invented_explanation, verdict="absent", candidate=None, broken={})
    assert format_explanation(alone, NARROW).count("\n") == 2
