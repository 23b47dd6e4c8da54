from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from optimizer.approval import decision as decision_module
from optimizer.approval.decision import lacking
from optimizer.approval.records import Assurance, Level
from tests.fixtures.gate_world import (
    BASE,
    BUDGETS,
    HOUR,
    NOW,
    USD,
    action,
    judged,
    offer,
    placement,
    plan,
    policy_of,
    quoted,
    state,
)

LIMIT = '[[limit]]\nname = "ours"\n'


def found(text: str, of: object = None, **fields: object) -> list[tuple[str, str]]:
    decision = judged(policy_of(text), of, **fields)  # type: ignore[arg-type]
    return [(one.rule, one.level.value) for one in decision.findings]


@pytest.mark.parametrize(
    ("cap", "committed", "approvals", "denied"),
    [
        (0, 0, 0, False),
        (25 * USD, 0, 0, False),
        (25 * USD + 1, 0, 1, False),
        (500 * USD, 0, 1, False),
        (500 * USD + 1, 0, 2, False),
        (2000 * USD, 0, 2, False),
        (2000 * USD + 1, 0, 2, True),
        (20 * USD, 5 * USD, 0, False),
        (20 * USD, 5 * USD + 1, 1, False),
        (1, 25 * USD, 1, False),
        (1, 2000 * USD, 2, True),
        (20 * USD, -(10**12), 0, False),
    ],
)
def test_tiers_end_at_the_micro_dollar(cap: int, committed: int, approvals: int, denied: bool) -> None:
    decision = judged(policy_of(), plan(action(cap_usd_micro=cap)), committed_usd_micro=committed)
    assert decision.need.approvals == approvals
    assert decision.denied is denied
    assert decision.judged_usd_micro == cap + max(0, committed)
    assert decision.policy_sha256 == policy_of().sha256


def test_what_a_tier_asks_is_handed_on() -> None:
    need = judged(policy_of(), plan(action(cap_usd_micro=600 * USD))).need
    assert need.groups == ("leads", "finance")
    assert need.assurance is Assurance.SSH_SIGNATURE
    assert (need.distinct, need.requester_may_approve) == (True, False)
    assert need.tier_up_to_usd_micro == 2000 * USD


@pytest.mark.parametrize(
    ("level", "approvals", "denied"), [("advise", 0, False), ("approve", 1, False), ("deny", 0, True)]
)
def test_three_levels_of_a_limit(level: str, approvals: int, denied: bool) -> None:
    decision = judged(policy_of(f'{LIMIT}level = "{level}"\nmax_gpus = 7\nmessage = "small only"'))
    (finding,) = decision.findings
    assert (finding.rule, finding.level) == ("ours", Level(level))
    assert finding.message == "small only (up to 8 GPUs at once, at most 7 are allowed)"
    assert (decision.need.approvals, decision.denied) == (approvals, denied)


def test_a_finding_that_asks_for_approval_never_lowers_what_the_tier_asks() -> None:
    text = f'{LIMIT}level = "approve"\nmax_gpus = 7'
    assert judged(policy_of(text), plan(action(cap_usd_micro=600 * USD))).need.approvals == 2
    assert judged(policy_of(text), plan(action(cap_usd_micro=30 * USD))).need.approvals == 1


def test_an_approval_that_nobody_can_give_denies() -> None:
    base = BASE.replace('approvals = 2\nfrom = ["leads", "finance"]', "approvals = 0")
    text = f'{LIMIT}level = "approve"\nmax_gpus = 7'
    decision = judged(policy_of(text, base=base), plan(action(cap_usd_micro=600 * USD)))
    assert decision.denied
    assert decision.findings[-1].rule == "tier"


OURS = [("ours", "deny")]


@pytest.mark.parametrize(
    ("text", "kept", "broken"),
    [
        ('allow = { provider = ["nimbus"] }', {}, {"provider": "cumulus"}),
        ('allow = { provider = ["NIMBUS", "other"] }', {}, {"provider": "cumulus"}),
        ('allow = { region = ["north-*"] }', {}, {"region": "south-1"}),
        ('deny = { region = ["south-*"] }', {}, {"region": "South-1"}),
        ('deny = { provider = ["cumulus"] }', {}, {"provider": "Cumulus"}),
        ('allow = { pricing_model = ["on_demand"] }', {}, {"pricing_model": "spot"}),
        ('deny = { pricing_model = ["spot", "reserved"] }', {}, {"pricing_model": "reserved"}),
        ('allow = { region = ["north-1"] }', {}, {"region": "north-11"}),
        ('allow = { region = ["north"] }', {"region": "north"}, {"region": "north[1]"}),
        ('max_usd_per_hour = "2.00"', {}, {"max_unit_price_nano": 2_000_000_001}),
    ],
)
def test_limits_on_offers_count_for_fallbacks_too(
    text: str, kept: dict[str, object], broken: dict[str, object]
) -> None:
    assert found(LIMIT + text, plan(action(placements=(placement(offer=offer(**kept)),)))) == []
    assert found(LIMIT + text, plan(action(placements=(placement(offer=offer(**broken)),)))) == OURS
    last = (offer(**kept), offer(**broken))
    assert found(LIMIT + text, plan(action(placements=(placement(offer=offer(**kept), fallbacks=last),)))) == OURS
    second = (placement(offer=offer(**kept)), placement(offer=offer(**broken), gpus_per_node=1))
    assert found(LIMIT + text, plan(action(placements=second)))[:1] == OURS


@pytest.mark.parametrize("name", ["A100-SXM-80GB", "a100-80gb", "A100*", "a100-sxm-*"])
def test_gpus_go_by_any_of_their_names(name: str) -> None:
    assert found(f'{LIMIT}deny = {{ gpu = ["{name}"] }}') == OURS
    assert found(f'{LIMIT}allow = {{ gpu = ["{name}"] }}') == []
    other = plan(action(placements=(placement(gpu="H100-SXM-80GB"),)))
    assert found(f'{LIMIT}allow = {{ gpu = ["{name}"] }}', other) == OURS
    assert found(f'{LIMIT}deny = {{ gpu = ["{name}"] }}', other) == []


@pytest.mark.parametrize(
    ("text", "kept", "broken"),
    [
        ("max_gpus = 16", {"nodes": 2}, {"nodes": 1, "runs": 3}),
        ('max_usd_per_hour = "6.00"', {"nodes": 3}, {"nodes": 2, "runs": 2}),
        ('max_duration = "5h"', {}, {"time_limit_s": 5 * HOUR + 1}),
    ],
)
def test_limits_on_amounts(text: str, kept: dict[str, object], broken: dict[str, object]) -> None:
    assert found(LIMIT + text, plan(action(placements=(placement(**kept),)))) == []
    assert found(LIMIT + text, plan(action(placements=(placement(**broken),)))) == OURS


def test_dollars_per_job_are_the_cap() -> None:
    text = f'{LIMIT}max_usd_per_job = "10.00"'
    assert found(text, plan(action(cap_usd_micro=10 * USD))) == []
    assert found(text, plan(action(cap_usd_micro=10 * USD + 1))) == OURS


@pytest.mark.parametrize(("model", "age"), [("on_demand", 24 * HOUR), ("spot", 15 * 60)])
def test_price_ages_by_pricing_model(model: str, age: int) -> None:
    text = f'{LIMIT}max_price_age = {{ on_demand = "24h", spot = "15m" }}'
    base = plan(action(placements=(placement(offer=offer(pricing_model=model)),)))
    assert found(text, quoted(base, observed_at=NOW - timedelta(seconds=age))) == []
    assert found(text, quoted(base, observed_at=NOW - timedelta(seconds=age + 1))) == OURS
    every = f'{LIMIT}max_price_age = "{age}s"'
    assert found(every, quoted(base, observed_at=NOW - timedelta(seconds=age + 1))) == OURS


def test_bases_by_strength() -> None:
    text = f'{LIMIT}least_basis = {{ memory = "published", throughput = "measured" }}'
    assert found(text, plan(memory_basis="measured", throughput_basis="measured")) == []
    assert found(text, plan(memory_basis="derived", throughput_basis="measured")) == OURS
    assert found(text, plan(memory_basis="published", throughput_basis="published")) == OURS
    asked = '[defaults]\nleast_basis = { memory = "derived" }\n'
    assert found(asked, plan(memory_basis="assumed", throughput_basis="assumed")) == [("least_basis", "deny")]
    assert found("", plan(memory_basis="assumed")) == []
    assert found(asked, plan(memory_basis="wishful")) == [("policy", "deny")]


def test_defaults_hold_for_every_plan() -> None:
    week = timedelta(days=7)
    assert found("", plan(made_at=NOW - week)) == []
    assert found("", plan(made_at=NOW - week - timedelta(seconds=1))) == [("plan_max_age", "deny")]
    assert found("", quoted(plan(), price_class="list")) == [("allow_list_price", "deny")]
    assert found("[defaults]\nallow_list_price = true\n", quoted(plan(), price_class="list")) == []
    assert found("", plan(action(deadline_at=NOW))) == [("time", "deny")]
    assert found("", plan(made_at=NOW + timedelta(minutes=6))) == [("time", "deny")]
    assert found("", quoted(plan(), observed_at=NOW + timedelta(minutes=6))) == [("time", "deny")]


def test_budgets() -> None:
    states = (state("org", 5000), state("team", 1000, parent="org"))
    mine = plan(action(budgets=("team",), cap_usd_micro=20 * USD))
    assert found(BUDGETS, mine, states=states) == []
    assert found(BUDGETS, plan(), states=states) == [("budget", "deny")]
    assert found(BUDGETS, plan(action(budgets=("else",))), states=states) == [("budget", "deny")]
    assert found(BUDGETS, mine, states=states[1:]) == [("budget", "deny")]
    assert found(BUDGETS, mine, states=()) == [("budget", "deny"), ("budget", "deny")]
    nearly = (state("org", 5000), state("team", 1000, posted=780))
    assert found(BUDGETS, mine, states=nearly) == []
    assert found(BUDGETS, plan(replace(mine.action, cap_usd_micro=20 * USD + 1)), states=nearly) == [
        ("soft_limit", "advise")
    ]
    other = (state("org", 4999), state("team", 1000))
    assert found(BUDGETS, mine, states=other) == [("budget", "advise")]


def test_what_does_not_fit_into_a_budget_is_said_and_is_not_the_policys_to_deny() -> None:
    states = (state("org", 5000, posted=4990), state("team", 1000, posted=1100), state("foreign", 0))
    decision = judged(policy_of(BUDGETS), plan(action(budgets=("team",), cap_usd_micro=20 * USD)), states=states)
    assert not decision.denied
    assert [one.budget.id for one in decision.budgets] == ["org", "team"]
    assert [(one.budget.id, missing) for one, missing in lacking(decision.budgets, 20 * USD)] == [
        ("org", 10 * USD),
        ("team", 120 * USD),
    ]
    assert lacking(decision.budgets, 0)[0][0].budget.id == "team"


@pytest.mark.parametrize("name", ["default_findings", "limit_findings", "_rule_findings", "_tiered", "_charged"])
@pytest.mark.parametrize("error", [RuntimeError, KeyError, RecursionError, MemoryError, ZeroDivisionError])
def test_any_error_denies(name: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise error("broken")

    policy = policy_of(f"{LIMIT}max_gpus = 100")
    monkeypatch.setattr(decision_module, name, fail)
    decision = judged(policy)
    assert decision.denied
    assert decision.findings[0].rule == "policy"
    assert error.__name__ in decision.findings[0].message
