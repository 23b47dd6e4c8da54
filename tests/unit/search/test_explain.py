from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import pytest

from optimizer.search.explain import why_not
from optimizer.search.planner import plan
from optimizer.search.spec import parse_spec
from providers.errors import JobError
from providers.offer import PriceClass, PricingModel
from tests.fixtures.search_world import NOW, USD, make_job, make_offer, make_snapshot, tables

MARKET = make_snapshot(
    [
        make_offer(),
        make_offer(
            gpu="H100-SXM-80GB",
            provider="hyper cloud",
            region="us-east-1",
            instance_type="toy.h100",
            unit_price_nano=4 * USD,
        ),
        make_offer(gpu="H100-PCIE-80GB", region="eu-1", instance_type="toy.pcie", unit_price_nano=3 * USD),
        make_offer(gpu="T4-16GB", instance_type="t4", unit_price_nano=USD // 5),
        make_offer(
            pricing_model=PricingModel.SPOT, unit_price_nano=USD // 10, price_class=PriceClass.LIST, zone="region-1b"
        ),
        make_offer(gpu="A100-SXM-80GB", gpu_count=2, instance_type="toy.two", unit_price_nano=2 * USD),
        make_offer(gpu_count=3, instance_type="toy.three"),
        make_offer(gpu="NO-SUCH", instance_type="toy.secret"),
    ]
)


def asked(spec, **changes):
    return why_not(make_job(**changes), MARKET, tables(), now=NOW, spec=spec)


def parsed(text):
    return parse_spec(text, offers=MARKET.offers, gpus=tables().gpus)


def test_a_dearer_one_is_compared_with_the_choice():
    found = asked("H100 in us-east-1")
    assert found.verdict == "dearer"
    assert found.candidate.offer.instance_type == "toy.h100"
    assert found.choice.offer.gpu == "A100-SXM-80GB"
    own, best = found.candidate.quote.expected_usd_micro, found.choice.quote.expected_usd_micro
    assert (f"{own / best:.1f} times as much" if own > 3 * best else " % more") in found.sentence
    assert found.sentence.count("$") == 2


def test_the_choice_agrees_with_the_plan():
    job = make_job()
    found = asked("a100")
    assert found.verdict == "chosen"
    (choice,) = plan(job, MARKET, tables(), now=NOW).choices
    assert replace(found.candidate, slacks=choice.slacks) == choice
    assert "That is the choice" in found.sentence


def test_a_broken_limit_is_named_with_its_numbers():
    found = asked("t4")
    assert found.verdict == "infeasible"
    assert set(found.broken) == {"memory"}
    needed, usable = found.broken["memory"]
    assert needed > usable == tables().gpus.by_id["T4-16GB"].usable_bytes
    assert "are usable" in found.sentence


def test_spot_that_was_not_asked_for():
    found = asked("spot")
    assert (found.verdict, set(found.broken)) == ("infeasible", {"pricing_model"})
    assert "is spot, which was not asked for" in found.sentence


def test_methods_beyond_the_job_are_looked_at():
    found = asked("qlora")
    assert (found.verdict, set(found.broken)) == ("infeasible", {"method"})
    assert asked("qlora", methods=("lora", "qlora"), quantization_bits=()).verdict == "dearer"


def test_rslora_is_answered_by_loras_row():
    assert asked("rslora", methods=("lora", "rslora"), quantization_bits=()).verdict == "chosen"


def test_nodes_beyond_the_job_are_looked_at():
    found = asked("2 nodes")
    assert (found.verdict, found.candidate.nodes, set(found.broken)) == ("infeasible", 2, {"max_nodes"})


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("T4 in eu-1", "none of the 8 offers matches all of that"),
        ("toy.secret", "1 offer matches, and it cannot be used: GPU unknown to the table"),
        ("toy.three", "3 GPUs do not divide the global batch of 16"),
        ("qlora 16-bit", "no recipe of that method and width makes sense"),
    ],
)
def test_absent_says_why_nothing_matches(spec, says):
    found = asked(spec)
    assert (found.verdict, found.candidate) == ("absent", None)
    assert says in found.sentence


def test_an_infeasible_job_still_explains():
    found = asked("H100", deadline_at=NOW + timedelta(seconds=5))
    assert found.verdict == "infeasible"
    assert found.choice is None
    assert "the deadline leaves 5s" in found.sentence
    assert "the choice" not in found.sentence


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("H100", "gpus", {gpu.id for gpu in tables().gpus.by_id.values() if gpu.chip == "H100"}),
        ("H100-SXM-80GB", "gpus", {"H100-SXM-80GB"}),
        ("t4", "gpus", {"T4-16GB"}),
        ("hyper cloud", "providers", {"hyper cloud"}),
        ("on US-EAST-1", "regions", {"us-east-1"}),
        ("region-1b", "regions", {"region-1b"}),
        ("toy.two", "instance_types", {"toy.two"}),
        ("full fine-tuning", "methods", {"full"}),
        ("lora, qlora", "methods", {"lora", "qlora"}),
        ("4-bit", "bits", 4),
        ("8 bits", "bits", 8),
        ("8x", "gpu_count", 8),
        ("x2", "gpu_count", 2),
        ("2 nodes", "nodes", 2),
        ("on-demand", "pricing_model", PricingModel.ON_DEMAND),
        ("preemptible", "pricing_model", PricingModel.SPOT),
    ],
)
def test_spec(text, field, value):
    spec = parsed(text)
    assert getattr(spec, field) == value
    others = {one.name for one in fields(spec)} - {"text", field}
    assert not any(getattr(spec, other) for other in others)


def test_spec_combines():
    spec = parsed("qlora on 2x A100 + spot in region-1")
    assert (spec.methods, spec.gpu_count, spec.pricing_model, spec.regions) == (
        {"qlora"}, 2, PricingModel.SPOT, {"region-1"},
    )  # fmt: skip
    assert "A100-SXM-80GB" in spec.gpus


@pytest.mark.parametrize(
    ("text", "word"), [("H1000", "H1000"), ("A100 in atlantis", "atlantis"), ("", ""), ("in the", "in the")]
)
def test_spec_refuses_what_it_does_not_know(text, word):
    with pytest.raises(JobError) as caught:
        parsed(text)
    assert (caught.value.key, caught.value.value) == ("why-not", word)
