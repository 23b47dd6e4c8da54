"""The use cases of `tunefare policy`: lint a policy, judge a team's cases by it."""

from __future__ import annotations

from pathlib import Path

from optimizer.approval.canonical import read_bytes
from optimizer.approval.policy import lint_policy
from optimizer.approval.policy_cases import judge, load_cases
from optimizer.approval.policy_notes import notes_of
from optimizer.report.policy_answers import CasesAnswer, LintAnswer

from .policy_files import beside, read_policy


def lint_file(path: str) -> LintAnswer:
    """Return what a policy file says, and every problem in it. Raises JobError only where it cannot be read at all."""
    file = Path(path)
    policy, problems = lint_policy(read_bytes(file, what="policy file"), where=str(file), read_file=beside(file))
    return LintAnswer(where=str(file), policy=policy, problems=problems, notes=notes_of(policy) if policy else ())


def run_cases(path: str, cases: str) -> CasesAnswer:
    """Return what the policy decides of every case of a file. Raises JobError for a wrong policy or wrong cases."""
    policy, file = read_policy(Path(path)), Path(cases)
    read = load_cases(read_bytes(file, what="file of cases"), where=str(file), read_file=beside(file))
    return CasesAnswer(policy=policy, results=tuple(judge(policy, one) for one in read))
