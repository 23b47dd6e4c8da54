from __future__ import annotations

import sys
import time

import pytest

from optimizer.approval.rules import Counter, compile_rule
from optimizer.approval.rules_check import RuleError
from optimizer.approval.rules_facts import ROOTS, offer_facts, whole_facts
from tests.fixtures.gate_world import USD, action, judged, offer, placement, plan, policy_of

SWEEP = tuple(placement(nodes=1 + at % 3, offer=offer(region=f"north-{at}")) for at in range(1000))


def ruled(when: str, of: object = None, *, level: str = "deny", **fields: object) -> list[tuple[str, str]]:
    text = f"[[rule]]\nname = \"ours\"\nlevel = \"{level}\"\nmessage = \"said\"\nwhen = '''{when}'''\n"
    decision = judged(policy_of(text), of, **fields)  # type: ignore[arg-type]
    return [(one.rule, one.message) for one in decision.findings]


FIRES = [("ours", "said")]


@pytest.mark.parametrize(
    ("when", "fires"),
    [
        ('action.objective == "sft"', True),
        ('action.objective == "ppo"', False),
        ("action.cap_usd_micro > 9999999", True),
        ("action.cap_usd_micro > 10000000", False),
        ('action.region.startsWith("north")', True),
        ('action.region in ["south-1", "east-1"]', False),
        ('action.region.matches("^north-[0-9]+$")', True),
        ("action.zone == null", True),
        ('action.zone == "a"', False),
        ("action.gpus == 8 && action.usd_micro_per_hour == 2000000", True),
        ("action.time_limit_s > 4 * 3600 && action.nodes * action.gpus_per_node >= 8", True),
        ("action.placements.all(p, p.nodes == 1) && size(action.placements) == 1", True),
        ('action.placements.exists(p, p.fallbacks.exists(f, f.region == "south-1"))', False),
        ("size(action.budgets) == 0", True),
        ('plan.memory_basis == "published" && plan.throughput_basis != "measured"', True),
        ("plan.age_s == 300 && plan.price_age_s == 300 && !plan.list_price", True),
        ('plan.made_at.startsWith("2026-11-24")', True),
        ("plan.cost_high_usd_micro - plan.cost_expected_usd_micro == 1000000", True),
        ('request.requester.endsWith("@example.com") && request.assurance == "os-user"', True),
        ("request.judged_usd_micro == 13000000 && request.committed_usd_micro == 3000000", True),
        ("has(action.zone) || true", True),
        ("action.nodes > 1 ? true : action.runs == 1", True),
    ],
)
def test_what_rules_can_ask(when: str, fires: bool) -> None:
    assert ruled(when, committed_usd_micro=3 * USD) == (FIRES if fires else [])


def test_a_rule_asks_every_offer_that_the_action_authorises() -> None:
    when = 'action.pricing_model == "spot"'
    hidden = (placement(), placement(fallbacks=(offer(), offer(pricing_model="spot"))))
    assert ruled(when, plan(action(placements=hidden))) == FIRES
    assert ruled(when, plan(action(placements=(placement(), placement(runs=2))))) == []


def test_offers_that_are_alike_in_what_a_rule_reads_are_asked_once() -> None:
    large = action(placements=SWEEP)
    assert len(list(offer_facts(large, frozenset({"provider"})))) == 1
    assert len(list(offer_facts(large, frozenset({"nodes", "cap_usd_micro"})))) == 3
    assert len(list(offer_facts(large, frozenset({"region"})))) == 1000
    assert list(offer_facts(large, frozenset())) == [{}]
    (facts,) = offer_facts(action(), ROOTS["action"])
    assert facts.keys() | whole_facts(action(), ROOTS["action"]).keys() == ROOTS["action"]


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("action.cap_usd_micro / 0 == 1", "cannot be evaluated"),
        ("action.cap_usd_micro", "is neither true nor false"),
        ('"yes"', "is neither true nor false"),
        ("null", "is neither true nor false"),
        ("[true]", "is neither true nor false"),
        ("1", "is neither true nor false"),
        ("action.cap_usd_micro > 9223372036854775807 * 2", "cannot be evaluated"),
        ("action.objective > 5", "cannot be evaluated"),
        ('action.zone < "a"', "cannot be evaluated"),
        ('action.region.matches("(")', "cannot be evaluated"),
        ("action.placements[9].nodes == 1", "cannot be evaluated"),
        ('action.placements.exists(p, p.typo == "x")', "cannot be evaluated"),
        ("action.placements.map(p, p.nodes)", "is neither true nor false"),
    ],
)
def test_a_rule_without_an_answer_denies_and_says_where(when: str, said: str) -> None:
    for level in ("advise", "approve", "deny"):
        ((name, message),) = ruled(when, level=level)
        assert name == "ours"
        assert message.startswith("policy.toml: rule ours: when ")
        assert said in message
        assert len(message) < 300
        assert message.isprintable()


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("action.objectiv == 'x'", "action.objectiv is unknown: did you mean action.objective?"),
        ("plan.action == 1", "plan.action is unknown"),
        ("request.now > 1", "request.now is unknown"),
        ("nope.x == 1", "nope is unknown: known are action, plan, request"),
        ("action == 1", "action is read by its fields"),
        ("[action].exists(a, a.provider == 'x')", "action is read by its fields"),
        ('action["provider"] == "x"', "action is read by its fields"),
        ("(action).provider == 'x'", "action is read by its fields"),
        ("action.cap_usd_micro > 25.0", "whole numbers only"),
        ("action.cap_usd_micro > 25u", "whole numbers only"),
        ("action.cap_usd_micro > 9223372036854775808", "a number beyond"),
        ("action.placements.reduce(r, i, 0, r + i) > 1", "reduce() is unknown"),
        ("action.placements.min() == 1", "min() is unknown"),
        ("action.placements.exists(action, true)", "exists takes a name of its own"),
        ("action.placements.exists(p)", "exists takes a name of its own"),
        ("action.placements.exists(1, true)", "exists takes a name of its own"),
        ("now() > 1", "now() is unknown"),
        ('timestamp("2026-01-01T00:00:00Z") == 1', "timestamp() is unknown"),
        (".action.provider == 'x'", "cannot begin with a dot"),
        ("action{provider: 1}", "objects cannot be made"),
        ("google.protobuf.Int32Value{value: 1} == 1", "objects cannot be made"),
        ("action.objective ==", "cannot be read at"),
        ('action.objective == "x', "cannot be read at line 1, column 21"),
        ("__import__('os').system('true')", "__import__() is unknown"),
        ("action.__class__ == 1", "action.__class__ is unknown"),
        ("1; DROP TABLE budgets", "cannot be read at"),
        ("(" * 17 + "true" + ")" * 17, "nested more than 16 deep"),
        ("!" * 1500 + "true", "is too deep"),
        ("||".join(["true"] * 330), "is too deep"),
        ("[1].map(a, a)" + ".map(a, a)" * 7 + " == [1]", "more than 6 macros"),
        ("true\u0000", "cannot be read at"),
    ],
)
def test_what_no_rule_may_hold(when: str, said: str) -> None:
    limit = sys.getrecursionlimit()
    with pytest.raises(RuleError, match=r".") as caught:
        compile_rule(when)
    assert said in str(caught.value)
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize(
    "when",
    [
        "action.placements.all(p, action.placements.all(q, action.placements.all(r, p.nodes + q.nodes > r.nodes)))",
        "size(action.placements.map(p, action.placements.map(q, action.placements))) > 0",
        "action.placements.exists(p, p.region == 'x') || action.region == 'y' || size(action.placements) > 1000",
        "size([action.placements]" + ".map(a, a + a + a)" * 6 + "[0]) > 1",
    ],
)
def test_rules_that_multiply_are_stopped(when: str) -> None:
    before = time.monotonic()
    ((_, message),) = ruled(when, plan(action(placements=SWEEP)))
    assert "takes too many steps" in message or "too large a value" in message
    # Counted, and not timed: the limit is generous for a slow machine, the answer is the same on every one.
    assert time.monotonic() - before < 30


def test_what_a_rule_builds_is_bounded() -> None:
    doubling = '["' + "x" * 60 + '"]' + ".map(a, a + a)" * 6
    assert compile_rule(f"size({doubling}[0]) == 3840").holds({"action": {}}, [{}], steps=Counter())
    ((_, message),) = ruled('["' + "x" * 200 + '"]' + ".map(a, a + a + a)" * 6 + ' == ["x"]')
    assert "builds too large a value" in message


def test_the_deepest_rule_that_is_let_through_can_be_judged() -> None:
    assert ruled("||".join(["false"] * 240) + "||action.nodes == 1") == FIRES
    assert ruled("(" * 16 + "action.nodes == 1" + ")" * 16) == FIRES
    assert ruled("!" * 150 + "(action.nodes == 1)") == FIRES


def test_a_thousand_offers_are_judged_within_the_steps() -> None:
    large = plan(action(placements=SWEEP))
    assert ruled('action.region.startsWith("south")', large) == []
    assert ruled('action.region == "north-999" && size(action.placements) == 1000', large) == FIRES
    assert ruled('action.placements.exists(p, p.region == "north-999")', large) == FIRES
