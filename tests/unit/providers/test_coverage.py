"""What the price list does not cover, in words."""

from __future__ import annotations

from dataclasses import replace

from providers.bundled import load_bundled_offers
from providers.coverage import MULTI_GPU_PRICES_UNKNOWN, missing_multi_gpu, multi_gpu_note
from providers.gpus import load_gpus

OFFERS = load_bundled_offers(load_gpus())


def test_the_fact_is_true_of_the_list() -> None:
    several = {offer.provider for offer in OFFERS if offer.gpu_count > 1}
    assert {offer.provider for offer in OFFERS} - several == MULTI_GPU_PRICES_UNKNOWN


def test_only_providers_asked_for_are_named() -> None:
    assert missing_multi_gpu(["aws", "RunPod", "lambda", "nimbus"]) == ("lambda", "runpod")
    assert missing_multi_gpu(["aws"]) == ()
    assert len(missing_multi_gpu()) == 21


def test_a_machine_of_the_users_own_file_fills_the_gap() -> None:
    one = next(offer for offer in OFFERS if offer.provider == "lambda")
    assert missing_multi_gpu(["lambda", "vast"], offers=OFFERS) == ("lambda", "vast")
    assert missing_multi_gpu(["lambda", "vast"], offers=[replace(one, gpu_count=8)]) == ("vast",)


def test_the_sentence() -> None:
    assert multi_gpu_note(()) is None
    note = "Prices of machines with several GPUs at {} are not known: name yours with --offers FILE.csv."
    assert multi_gpu_note(["vast"]) == note.format("vast")
    assert multi_gpu_note(["lambda", "vast"]) == note.format("lambda and vast")
    assert multi_gpu_note("abcde") == note.format("a, b, c, d and e")
    assert multi_gpu_note("abcdef") == note.format("a, b, c, d and 2 more providers")
