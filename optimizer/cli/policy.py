"""`tunefare policy`: whether a policy file is sound, and whether it decides as its team means."""

from __future__ import annotations

from typing import Annotated

import typer

from .grouped_help import GroupedCommand
from .options import Json, Output
from .output import deliver, write

PROBLEMS = 2
"""A wrong policy file, and a policy that decides otherwise than its cases say."""

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, pretty_exceptions_enable=False)
PolicyFile = Annotated[str, typer.Argument(metavar="FILE", help="policy file (docs/policy.md)")]


@app.callback()
def policy(context: typer.Context) -> None:
    """What may be spent without asking, and who is asked."""
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")


@app.command("lint", cls=GroupedCommand)
def lint(file: PolicyFile, *, as_json: Json = False, output: Output = None) -> int:
    """Reads a policy file, and says what is wrong with it, or what it says.

    Exit code 2 where anything is wrong: the gate then denies everything. Hints are no errors.
    """
    from optimizer.app.policy_testing import lint_file
    from optimizer.report.json_policy import lint_text
    from optimizer.report.text_policy import format_lint

    answer = lint_file(file)
    deliver(
        text=lambda style: format_lint(answer, style),
        document=lambda: lint_text(answer),
        as_json=as_json,
        output=output,
    )
    return PROBLEMS if answer.problems else 0


@app.command("test", cls=GroupedCommand)
def judge(
    file: PolicyFile,
    cases: Annotated[str, typer.Argument(metavar="CASES.toml", help="cases, and what is to be decided of each")],
    *,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Judges cases by a policy, and compares with what they expect.

    Nothing is asked of a ledger or a price source. Exit code 2 where a case comes out otherwise.
    """
    from optimizer.app.policy_testing import run_cases
    from optimizer.report.json_policy import cases_text
    from optimizer.report.text_policy import format_cases

    answer = run_cases(file, cases)
    deliver(
        text=lambda style: format_cases(answer, style),
        document=lambda: cases_text(answer),
        as_json=as_json,
        output=output,
    )
    return PROBLEMS if answer.failed else 0
