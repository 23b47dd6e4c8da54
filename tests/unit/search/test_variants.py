from __future__ import annotations

import pytest

from optimizer.physics.axes import Tuning
from optimizer.search.variants import all_variants, variants_of
from providers.errors import JobError
from tests.fixtures.search_world import make_job


def pairs(job):
    return [(variant.method, variant.bits) for variant in variants_of(job)]


def test_without_a_list_every_method_at_every_sensible_width():
    assert pairs(make_job(methods=(), quantization_bits=())) == [
        ("full", 16), ("lora", 16), ("lora", 8), ("qlora", 4), ("dora", 16), ("dora", 8), ("dora", 4),
    ]  # fmt: skip


def test_rslora_shares_the_variant_of_lora_when_both_are_asked_for():
    both = variants_of(make_job(methods=("lora", "rslora"), quantization_bits=(16,)))
    assert [variant.tunings for variant in both] == [(Tuning.LORA, Tuning.RSLORA)]


def test_rslora_alone_is_evaluated_as_itself():
    (alone,) = variants_of(make_job(methods=("rslora",), quantization_bits=(8,)))
    assert (alone.tuning, alone.bits, alone.tunings) == (Tuning.RSLORA, 8, (Tuning.RSLORA,))


def test_lora_without_a_width_is_16_and_8_and_with_4_it_is_qlora():
    assert pairs(make_job(methods=("lora",), quantization_bits=())) == [("lora", 16), ("lora", 8)]
    assert pairs(make_job(methods=("lora",), quantization_bits=(4,))) == [("qlora", 4)]


def test_widths_alone_leave_out_methods_that_cannot_have_them():
    assert pairs(make_job(methods=(), quantization_bits=(4,))) == [("qlora", 4), ("dora", 4)]


@pytest.mark.parametrize(
    ("method", "bits", "reason"), [("qlora", 16, "needs 4"), ("full", 4, "needs 16"), ("full", 8, "needs 16")]
)
def test_a_senseless_pair_is_refused_with_the_reason(method, bits, reason):
    with pytest.raises(JobError, match=reason) as caught:
        variants_of(make_job(methods=(method,), quantization_bits=(bits,)))
    assert caught.value.key == "quantization"


def test_all_variants_marks_what_was_not_asked_for():
    everything = all_variants(make_job(methods=("lora",), quantization_bits=(16,)))
    asked = [(variant.method, variant.bits) for variant in everything if variant.allowed]
    assert asked == [("lora", 16)]
    names = {(tuning.value, variant.bits) for variant in everything for tuning in variant.tunings}
    assert len(names) == 10  # full 16, three tunings at three widths
