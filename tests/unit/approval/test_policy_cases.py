from __future__ import annotations

import pytest

from optimizer.approval.policy_cases import judge, load_cases
from providers.errors import JobError
from tests.fixtures.gate_world import BUDGETS, policy_of

HEAD = 'schema = "tunefare.policy-cases/v1"\n'


def run(text: str, *, policy: str = "") -> dict[str, tuple[str, ...]]:
    cases = load_cases((HEAD + text).encode(), where="c.toml")
    return {one.name: judge(policy_of(policy), one).differences for one in cases}


def case(text: str, expect: str = "allow") -> str:
    return f'[[case]]\nname = "it"\nexpect = "{expect}"\n{text}\n'


def test_an_ordinary_run_is_allowed() -> None:
    assert run(case("")) == {"it": ()}


def test_the_cap_is_what_it_may_cost_where_it_is_not_said() -> None:
    text = case('usd_per_hour = "3.00"\ntime_limit = "90m"\nnodes = 2\nruns = 2\nfixed = "7.00"')
    (found,) = load_cases((HEAD + text).encode(), where="c.toml")
    assert found.plan.action.cap_usd_micro == 25_000_000
    assert run(text) == {"it": ()}
    assert run(
        case('usd_per_hour = "3.00"\ntime_limit = "90m"\nnodes = 2\nruns = 2\nfixed = "7.000001"', "approve")
    ) == {"it": ()}


def test_every_difference_is_said() -> None:
    text = case('cap = "30.00"\napprovals = 2\nfrom = ["finance"]\nfindings = ["ours", "tier"]')
    limit = "".join(
        f'[[limit]]\nname = "{name}"\nlevel = "{level}"\nmax_gpus = 0\n'
        for name, level in (("ours", "approve"), ("other", "advise"))
    )
    assert run(text, policy=limit) == {
        "it": (
            "allow expected, approve decided",
            "2 approvals expected, 1 needed",
            "from finance expected, from leads needed",
            "not found: tier",
            "not expected, but found: other",
        )
    }


def test_a_denial_says_why() -> None:
    limit = '[[limit]]\nname = "ours"\nmax_gpus = 0'
    assert run(case(""), policy=limit) == {
        "it": ("allow expected, deny decided", "ours: up to 1 GPUs at once, at most 0 are allowed")
    }


def test_cases_are_laid_over_their_base() -> None:
    text = (
        '[base]\nbudgets = ["team"]\ncap = "20.00"\n'
        + case("")
        + '[[case]]\nname = "bare"\nbudgets = []\nexpect = "deny"'
    )
    assert run(text, policy=BUDGETS) == {"it": (), "bare": ()}


def test_budgets_used_and_over() -> None:
    base = '[base]\nbudgets = ["team"]\ncap = "20.00"\n'
    used = (
        case('used = { team = "980.00" }')
        + '[[case]]\nname = "over"\nexpect = "over-budget"\nused = { team = "980.000001" }'
    )
    parent = '\n[[case]]\nname = "parent"\nexpect = "over-budget"\nused = { org = "4999.00" }'
    assert run(base + used + parent, policy=BUDGETS) == {"it": (), "over": (), "parent": ()}


def test_placements_and_fallbacks_are_laid_over_the_case() -> None:
    text = case(
        'region = "north-1"\n'
        'placements = [{ nodes = 2 }, { region = "south-1", fallbacks = [{ pricing_model = "spot" }] }]',
        "deny",
    )
    (found,) = load_cases((HEAD + text).encode(), where="c.toml")
    first, second = found.plan.action.placements
    assert (first.offer.region, first.nodes, second.offer.region, second.nodes) == ("north-1", 2, "south-1", 1)
    assert [(one.region, one.pricing_model) for one in second.fallbacks] == [("south-1", "spot")]
    for limit in ('deny = { region = ["south-*"] }', 'deny = { pricing_model = ["spot"] }', "max_gpus = 2"):
        assert run(text, policy=f'[[limit]]\nname = "ours"\n{limit}') == {"it": ()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "c.toml: case = not given"),
        ("case = []", "c.toml: case = 'a list': at least one entry"),
        (case("", "maybe"), "c.toml: case 1: expect = 'maybe': allow, approve, deny or over-budget"),
        (case("") + case(""), "c.toml: case 2: name = 'it': each name once"),
        (case("cap = -1"), "c.toml: case 1: cap = -1: dollars"),
        (case("copmute = 1"), "c.toml: case 1: copmute = 1: unknown key"),
        (case("nodes = 0"), "c.toml: case 'it': nodes = 0: at least 1"),
        (case('plan = "../plan.json"'), "the path of a file beside the policy"),
        (case('plan = "plan.json"'), "c.toml: case 'it': plan = 'plan.json': a file that can be read"),
        (case('plan = "plan.json"\nnodes = 2'), "c.toml: case 'it': nodes = '2': not beside a plan"),
        (case('usd_per_hour = "999999999"\nnodes = 1000\nruns = 1000'), "at most a thousand million dollars"),
        (case('requester = "\\u001b[2J"'), "c.toml: case 1: requester = '[2J'"),
    ],
)
def test_wrong_cases_are_named(text: str, said: str) -> None:
    with pytest.raises(JobError) as caught:
        load_cases((HEAD + text).encode(), where="c.toml")
    assert said in str(caught.value)


def test_a_plan_that_is_none_is_named() -> None:
    text = (HEAD + case('plan = "plan.json"')).encode()
    with pytest.raises(JobError, match=r"case 'it': plan = 'plan.json': a plan file \("):
        load_cases(text, where="c.toml", read_file=lambda _: b'{"schema": "other"}')
