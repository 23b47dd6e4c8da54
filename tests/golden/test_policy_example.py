"""The documented policy, word for word as specified: it lints clean and decides a table of cases to the millionth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from optimizer.approval.policy import lint_policy
from optimizer.approval.policy_cases import judge, load_cases
from optimizer.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
POLICY, CASES = EXAMPLES / "policy.toml", EXAMPLES / "policy-cases.toml"


def test_the_example_lints_clean() -> None:
    policy, problems = lint_policy(POLICY.read_bytes(), where="policy.toml")
    assert problems == ()
    assert policy is not None
    assert policy.ledger_id == "team-nlp-ledger"
    assert [(one.up_to_usd_micro, one.approvals, one.groups) for one in policy.tiers] == [
        (25_000_000, 0, ()),
        (500_000_000, 1, ("team-leads",)),
        (20_000_000_000, 2, ("team-leads", "finops")),
    ]
    assert [(one.id, one.limit_usd_micro, one.soft_ppm, one.parent) for one in policy.budgets] == [
        ("org", 50_000_000_000, None, None),
        ("team-nlp", 12_000_000_000, 800_000, "org"),
    ]
    assert policy.defaults.quote_max_age_s["spot"] == 900
    assert policy.defaults.plan_max_age_s == 7 * 86_400


def test_its_digest_never_changes_by_itself(golden: Callable[[str, str], None]) -> None:
    # An approval given yesterday names this digest: a release that changes it makes every one of them void.
    policy, _ = lint_policy(POLICY.read_bytes(), where="policy.toml")
    assert policy is not None
    golden("policy-canonical.json", json.dumps({"sha256": policy.sha256, **policy.document()}, indent=1) + "\n")


def test_it_decides_every_case_of_the_table() -> None:
    policy, _ = lint_policy(POLICY.read_bytes(), where="policy.toml")
    assert policy is not None
    cases = load_cases(CASES.read_bytes(), where="policy-cases.toml")
    assert len(cases) >= 15
    assert {one.expect for one in cases} == {"allow", "approve", "deny", "over-budget"}
    assert {one.name: judge(policy, one).differences for one in cases if judge(policy, one).differences} == {}


@pytest.mark.parametrize("words", [["lint", "policy.toml"], ["test", "policy.toml", "policy-cases.toml"]])
def test_the_commands_as_a_person_reads_them(
    words: list[str],
    golden: Callable[[str, str], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(EXAMPLES)
    assert main(["policy", *words]) == 0
    golden(f"policy-{words[0]}.txt", capsys.readouterr().out)
    assert main(["policy", *words, "--json"]) == 0
    golden(f"policy-{words[0]}.json", capsys.readouterr().out.replace(_version(), "VERSION"))


def _version() -> str:
    from optimizer.version import VERSION

    return VERSION
