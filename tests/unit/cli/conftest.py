"""The command, run in this process: exit code, stdout and stderr."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from optimizer.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def tunefare(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run(*words: object) -> Outcome:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def fails(tunefare: Callable[..., Outcome]) -> Callable[..., str]:
    """Run a command that has to fail with `code`: one line on stderr, nothing on stdout. Return that line."""

    def run(code: int, *words: object) -> str:
        outcome = tunefare(*words)
        assert (outcome.code, outcome.out) == (code, ""), outcome
        assert outcome.err.startswith("tunefare: error: ")
        assert outcome.err.count("\n") == 1
        assert outcome.err.endswith("\n")
        assert "Traceback" not in outcome.err
        assert "this is a bug" not in outcome.err
        return outcome.err.removeprefix("tunefare: error: ").rstrip()

    return run
