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
    found = asked("t4 no offload")
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
        ("8 GPUs", "gpu_count", 8),
        ("zero3", "shardings", {"zero3"}),
        ("ZeRO-3", "shardings", {"zero3"}),
        ("zero 2", "shardings", {"zero2"}),
        ("without sharding", "shardings", {"none", "ddp"}),
        ("offload", "offloads", {"cpu", "nvme"}),
        ("CPU offload", "offloads", {"cpu"}),
        ("no offload", "offloads", {"none"}),
        ("Hyper Cloud", "providers", {"hyper cloud"}),
    ],
)
def test_spec(text, field, value):
    spec = parsed(text)
    assert getattr(spec, field) == value
    others = {one.name for one in fields(spec)} - {"text", field}
    assert not any(getattr(spec, other) for other in others)


@pytest.mark.parametrize(
    ("text", "value"),
    [("checkpointing", True), ("gradient checkpointing", True), ("without activation checkpointing", False)],
)
def test_spec_knows_checkpointing(text, value):
    assert parsed(text).checkpointing is value


@pytest.mark.parametrize(
    ("text", "method", "bits"), [("lora-8bit", "lora", 8), ("QLoRA 4-bit", "qlora", 4), ("dora4", "dora", 4)]
)
def test_spec_knows_methods_with_their_width(text, method, bits):
    assert (parsed(text).methods, parsed(text).bits) == ({method}, bits)


def test_how_state_is_held_selects_recipes():
    assert asked("no checkpointing").candidate.recipe.checkpointing.value == "none"
    assert asked("checkpointing").candidate.recipe.checkpointing.value == "full"
    assert asked("fsdp on 2 GPUs").candidate.recipe.sharding.value == "fsdp"
    assert asked("fsdp on 2 GPUs").candidate.offer.gpu_count == 2
    assert asked("cpu offload").candidate.recipe.offload.value == "cpu"
    nothing = asked("qlora zero3 offload")  # ZeRO-3 does not move 4-bit weights
    assert nothing.verdict == "absent"
    assert "no recipe of that kind makes sense there" in nothing.sentence


def test_a_typing_error_is_answered_with_the_nearest_name():
    with pytest.raises(JobError, match="did you mean us-east-1") as caught:
        parsed("H100 in us-east-11")
    assert caught.value.value == "us-east-11"


def test_why_an_offer_is_left_out_is_counted_reason_by_reason():
    offers = [
        make_offer(),
        make_offer(region="r2", instance_type="gone", flags=("retired",)),
        make_offer(region="r3", instance_type="gone", flags=("retired",)),
        make_offer(region="r4", instance_type="gone", flags=("gpu_price_only",)),
        make_offer(region="r5", instance_type="slice", gpu=None, flags=("fractional",)),
    ]

    def sentence(spec):
        return why_not(make_job(), make_snapshot(offers), tables(), now=NOW, spec=spec).sentence

    assert sentence("gone").startswith(
        "gone: 3 offers match, and none of them can be used: the provider has withdrawn the type (2); the price of the"
    )
    assert sentence("gone in r2") == (
        "gone in r2: 1 offer matches, and it cannot be used: the provider has withdrawn the type."
    )
    assert "a slice of a GPU" in sentence("slice")


def test_absent_names_the_word_that_is_one_too_many():
    found = asked("T4 in us-east-1")
    assert "leaving out the place 1 does, such as 1x T4-16GB at examplecloud in region-1" in found.sentence


def test_an_explanation_carries_the_age_of_the_prices():
    found = asked("T4")
    assert found.snapshot == plan(make_job(), MARKET, tables(), now=NOW).snapshot
    assert found.snapshot.oldest_observed_at == NOW


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
