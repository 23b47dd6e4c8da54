"""Laws of policies: more rules never allow more, higher limits never deny more, and no input is a surprise."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.approval.policy import lint_policy
from optimizer.approval.records import Decision, Level
from optimizer.approval.rules import compile_rule
from optimizer.approval.rules_check import RuleError
from tests.fixtures.gate_world import BASE, HOUR, USD, action, judged, offer, placement, plan, policy_of

PROVIDERS = st.sampled_from(["nimbus", "cumulus", "Stratus"])
MODELS = st.sampled_from(["on_demand", "spot", "reserved"])
OFFERS = st.builds(offer, provider=PROVIDERS, pricing_model=MODELS, max_unit_price_nano=st.integers(0, 90 * 10**9))
PLACEMENTS = st.builds(
    placement,
    offer=OFFERS,
    fallbacks=st.lists(OFFERS, max_size=2).map(tuple),
    nodes=st.integers(1, 4),
    runs=st.integers(1, 3),
    time_limit_s=st.integers(1, 100 * HOUR),
    gpu=st.sampled_from(["A100-SXM-80GB", "H100-SXM-80GB", "SOMETHING-ELSE"]),
)
PLANS = st.builds(
    plan,
    st.builds(
        action,
        placements=st.lists(PLACEMENTS, min_size=1, max_size=3).map(tuple),
        objective=st.sampled_from(["sft", "ppo"]),
        cap_usd_micro=st.integers(0, 2500 * USD),
    ),
    memory_basis=st.sampled_from(["measured", "published", "derived", "assumed"]),
)
CONDITIONS = st.sampled_from(
    [
        'action.objective == "ppo"',
        'action.pricing_model == "spot"',
        'action.provider == "nimbus" && action.nodes > 1',
        "action.cap_usd_micro > 100000000",
        "action.cap_usd_micro / (action.nodes - 1) > 1",
        "action.nodes",
    ]
)
LIMITS = st.sampled_from(
    [
        'allow = { provider = ["nimbus"] }',
        'deny = { pricing_model = ["spot"] }',
        'deny = { gpu = ["h100"] }',
        "max_gpus = 16",
        'max_usd_per_hour = "20.00"',
        'max_usd_per_job = "100.00"',
        'max_duration = "24h"',
        'least_basis = { memory = "derived" }',
    ]
)
LEVELS = st.sampled_from(["advise", "approve", "deny"])


def table(kind: str, name: str, level: str, what: str) -> str:
    said = f"message = 'said'\nwhen = '''{what}'''" if kind == "rule" else what
    return f'[[{kind}]]\nname = "{name}"\nlevel = "{level}"\n{said}\n'


@st.composite
def policies(draw: st.DrawFn) -> str:
    kinds = draw(st.lists(st.sampled_from(["rule", "limit"]), max_size=3))
    return "".join(
        table(kind, f"n{at}", draw(LEVELS), draw(CONDITIONS if kind == "rule" else LIMITS))
        for at, kind in enumerate(kinds)
    )


def strictness(decision: Decision) -> tuple[bool, int]:
    return decision.denied, 0 if decision.denied else decision.need.approvals


@given(policies(), st.sampled_from(["rule", "limit"]), LEVELS, st.data())
@settings(max_examples=60, deadline=None)
def test_one_more_rule_or_limit_never_allows_more(text: str, kind: str, level: str, data: Any) -> None:
    what = data.draw(CONDITIONS if kind == "rule" else LIMITS)
    of, committed = data.draw(PLANS), data.draw(st.integers(0, 600 * USD))
    before = judged(policy_of(text), of, committed_usd_micro=committed)
    after = judged(policy_of(text + table(kind, "more", level, what)), of, committed_usd_micro=committed)
    assert strictness(after) >= strictness(before)
    assert {one.rule for one in before.findings} <= {one.rule for one in after.findings}


@given(PLANS, st.integers(0, 3000 * USD), st.integers(1, 3000 * USD), LEVELS)
@settings(max_examples=60, deadline=None)
def test_a_higher_limit_never_denies_more(of: Any, low: int, more: int, level: str) -> None:
    def decision(usd_micro: int) -> Decision:
        dollars = f"{usd_micro // USD}.{usd_micro % USD:06d}"
        hours = max(1, usd_micro // (30 * USD))
        gpus = usd_micro // (40 * USD)
        limits = (
            f'max_usd_per_job = "{dollars}"\nmax_usd_per_hour = "{dollars}"\n'
            f'max_duration = "{hours}h"\nmax_gpus = {gpus}'
        )
        return judged(policy_of(table("limit", "ours", level, limits)), of)

    before, after = decision(low), decision(low + more)
    assert strictness(after) <= strictness(before)
    assert len(after.findings) <= len(before.findings)


@given(st.integers(1, 2000 * USD), st.integers(0, 500 * USD), st.integers(0, 3000 * USD))
@settings(max_examples=100, deadline=None)
def test_a_higher_tier_never_asks_more_and_a_dearer_action_never_less(up_to: int, more: int, cap: int) -> None:
    def decision(first: int, usd_micro: int) -> Decision:
        base = BASE.replace("25.00", f"{first // USD}.{first % USD:06d}")
        base = base.replace("500.00", "2500.00").replace('"2000.00"', '"3000.00"')
        return judged(policy_of(base=base), plan(action(cap_usd_micro=usd_micro)))

    assert strictness(decision(up_to + more, cap)) <= strictness(decision(up_to, cap))
    assert strictness(decision(up_to, cap + 1)) >= strictness(decision(up_to, cap))


@given(PLANS, st.integers(0, 600 * USD), st.integers(0, 600 * USD))
@settings(max_examples=60, deadline=None)
def test_what_was_committed_never_helps(of: Any, committed: int, more: int) -> None:
    policy = policy_of(
        '[[rule]]\nname = "n"\nlevel = "deny"\nmessage = "m"\nwhen = "request.judged_usd_micro > 90000000"'
    )
    before = judged(policy, of, committed_usd_micro=committed)
    assert strictness(judged(policy, of, committed_usd_micro=committed + more)) >= strictness(before)


@given(PLANS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_placements_changes_nothing(of: Any, random: Any) -> None:
    text = table("rule", "spot", "approve", 'action.pricing_model == "spot"') + table(
        "rule", "many", "deny", 'action.provider == "cumulus" && action.nodes > 2'
    )
    shuffled = list(of.action.placements)
    random.shuffle(shuffled)
    other = plan(
        action(placements=tuple(shuffled), objective=of.action.objective, cap_usd_micro=of.action.cap_usd_micro),
        memory_basis=of.memory_basis,
    )
    assert judged(policy_of(text), of).findings == judged(policy_of(text), other).findings


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_policy_or_named_problems(data: bytes) -> None:
    for held in (data, BASE.encode() + data, BASE.encode()[: len(data)] + data):
        policy, problems = lint_policy(held, where="p.toml")
        assert (policy is None) == bool(problems)
        assert all(str(one).isprintable() for one in problems)


@given(st.text(alphabet="action.plgnoes()[]{}|&=<>!?:+-*/%'\"\\, 019u\n", max_size=80))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_rule_with_an_answer_or_an_error_that_says_so(text: str) -> None:
    try:
        compile_rule(text)
    except RuleError:
        return
    decision = judged(policy_of(table("rule", "any", "deny", text)) if "'''" not in text else policy_of())
    assert all(one.level is Level.DENY for one in decision.findings)
