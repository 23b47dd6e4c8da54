from __future__ import annotations

import dataclasses

import pytest

from optimizer.report.style import Style
from optimizer.report.text_spot import spot_section
from tests.fixtures.spot_market import on_demand, planned, spot_job, spot_offer

OFFERS = [spot_offer(1.0), spot_offer(1.2, region="region-2"), on_demand(3.0)]


def said(executor, *, hours=48.0, offers=OFFERS, **answer):
    (choice,) = planned(spot_job(executor=executor, hours=hours, pricing_models=("spot",)), offers).choices
    choice = dataclasses.replace(choice, spot=dataclasses.replace(choice.spot, **answer))
    return " ".join(" ".join(spot_section(choice, Style(width=100))).split())


@pytest.mark.parametrize(
    ("executor", "hours", "words"),
    [
        ("none", 48.0, "there is no net, so the deadline may be missed"),
        ("skypilot", 48.0, "in another region if need be; there is no on-demand net"),
        ("policy", 48.0, "on-demand machines keep the deadline"),
        ("policy", None, "without a deadline nothing hurries"),
    ],
)
def test_it_says_who_acts(executor, hours, words):
    assert words in said(executor, hours=hours)


def test_skypilot_has_nowhere_else_to_go_with_one_region():
    assert "no other region offers it" in said("skypilot", offers=[spot_offer(1.0), on_demand(3.0)])


def test_a_policy_is_a_table_with_its_net():
    text = said("policy")
    assert "wait for spot" in text
    assert "Safety net: at" in text
    assert "Earlier deadlines cost more:" in text
    assert "a budget is checked against this" in text
    assert "examplecloud toy.large in region-2" in text


@pytest.mark.parametrize(("executor", "hours"), [("none", 48.0), ("skypilot", 48.0), ("policy", None)])
def test_without_a_policy_there_is_no_table_and_no_worst_case(executor, hours):
    text = said(executor, hours=hours)
    assert "Safety net" not in text
    assert "nothing bounds the cost" in text
    assert "on-demand machines keep" not in text


def test_an_earlier_deadline_is_left_out_where_there_is_none():
    assert "Earlier deadlines" not in said("policy", deadline_costs=())


def test_a_machine_that_stays_has_no_such_section():
    (choice,) = planned(spot_job(pricing_models=("on_demand",)), OFFERS).choices
    assert spot_section(choice, Style()) == []
