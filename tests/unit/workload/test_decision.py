"""The decision flow: every one of its 16 answers."""

from __future__ import annotations

from itertools import product

import pytest

from optimizer.workload.decision import decide

ANSWERS = [True, False]


@pytest.mark.parametrize(("tight", "low", "shift", "alignment"), list(product(ANSWERS, repeat=4)))
def test_every_combination_leads_where_the_flow_says(tight: bool, low: bool, shift: bool, alignment: bool) -> None:
    decision = decide(budget_tight=tight, low_vram=low, domain_shift=shift, alignment=alignment)
    if tight or low:
        expected = ("qlora", 4, "none")
    elif shift:
        expected = ("full", 16, "zero3")
    else:
        expected = ("lora", 16, "none")
    assert (decision.method, decision.bits, decision.sharding) == expected
    assert decision.objectives == (("sft", "dpo", "ppo") if alignment else ("sft",))


def test_the_domain_is_not_asked_about_when_the_budget_decides() -> None:
    decision = decide(budget_tight=True, low_vram=False, domain_shift=True, alignment=False)
    assert len(decision.path) == 2
    assert not any("domain" in sentence for sentence in decision.path)
    assert decision.path[0].startswith("The budget is tight:")


def test_both_reasons_are_named_when_both_hold() -> None:
    decision = decide(budget_tight=True, low_vram=True, domain_shift=False, alignment=False)
    assert decision.path[0].startswith("The budget is tight and the GPU memory is low:")


def test_the_path_has_one_sentence_per_question_asked() -> None:
    decision = decide(budget_tight=False, low_vram=False, domain_shift=True, alignment=True)
    assert len(decision.path) == 3
    assert "ZeRO-3" in decision.path[1]
    assert "DPO or RLHF" in decision.path[2]
