from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from optimizer.cli.main import main
from tests.fixtures.gate_world import BASE

if TYPE_CHECKING:
    from pathlib import Path

CASES = """
schema = "tunefare.policy-cases/v1"
[[case]]
name = "right"
expect = "allow"
[[case]]
name = "wrong"
cap = "26.00"
expect = "allow"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_text(BASE)
    (tmp_path / "cases.toml").write_text(CASES)
    return tmp_path / "policy.toml"


def test_lint_of_a_sound_policy(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "lint", str(policy)]) == 0
    page = capsys.readouterr().out
    assert "problems     none" in page
    assert "above $2,000.00: denied" in page
    assert main(["policy", "lint", str(policy), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["valid"] is True
    assert document["policy"]["tiers"][0]["up_to_usd_micro"] == 25_000_000


def test_lint_names_every_problem_and_ends_with_2(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy.write_text(BASE.replace('from = ["leads"]', 'from = ["boss"]').replace("500.00", "5.00"))
    assert main(["policy", "lint", str(policy)]) == 2
    page = capsys.readouterr().out
    assert "2 problems: nothing is allowed by this policy" in page
    assert "tier 2: up_to: '5.00': more than the tier before (25.00)" in page
    assert main(["policy", "lint", str(policy), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["valid"] is False
    assert document["policy"] is None
    assert [one["key"] for one in document["problems"]] == ["tier 2: up_to", "tier 2: from"]


def test_failing_cases_end_with_2_and_are_explained(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = str(policy.parent / "cases.toml")
    assert main(["policy", "test", str(policy), cases]) == 2
    page = capsys.readouterr().out
    assert "1 of 2 cases fail" in page
    assert "allow expected, approve decided" in page
    assert main(["policy", "test", str(policy), cases, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert [one["passed"] for one in document["cases"]] == [True, False]
    (policy.parent / "cases.toml").write_text(CASES.replace('cap = "26.00"', ""))
    assert main(["policy", "test", str(policy), cases]) == 0


@pytest.mark.parametrize("words", [["lint"], ["test"]])
def test_files_that_cannot_be_read(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = [str(tmp_path / "cases.toml")] if words == ["test"] else []
    for name in ("none.toml", "."):
        assert main(["policy", *words, str(tmp_path / name), *more]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_wrong_policy_tests_nothing(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy.write_text(BASE.replace("25.00", "x"))
    assert main(["policy", "test", str(policy), str(policy.parent / "cases.toml")]) == 2
    assert "tier 1: up_to = 'x'" in capsys.readouterr().err


def test_names_cannot_steer_a_terminal(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy.write_text(BASE + '[[rule]]\nname = "x"\nlevel = "deny"\nmessage = "\\u001b[31m[/x]"\nwhen = "\\u001b[2J"\n')
    assert main(["policy", "lint", str(policy)]) == 2
    assert "\x1b" not in capsys.readouterr().out
