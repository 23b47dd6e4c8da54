"""What the command does around its commands: exit codes, one line per failure, nothing heavy loaded for help."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from optimizer.cli import errors, main, output
from optimizer.cli.main import COMMANDS
from optimizer.version import VERSION
from providers.errors import PricesUnavailable, ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAVY = ("numpy", "scipy", "pandas", "pydantic", "rich")


def test_the_version_is_that_of_the_distribution(tunefare: Callable[..., object]) -> None:
    outcome = tunefare("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"tunefare {VERSION}\n", "")


def test_without_a_command_there_is_help(tunefare: Callable[..., object]) -> None:
    outcome = tunefare()
    assert outcome.code == 0
    assert outcome.out == tunefare("--help").out
    assert all(f"  {name} " in outcome.out for name in COMMANDS)


def test_a_group_without_a_command_shows_its_commands(tunefare: Callable[..., object]) -> None:
    outcome = tunefare("prices")
    assert (outcome.code, outcome.err) == (0, "")
    assert "\n  list  " in outcome.out


def test_completion_knows_commands_and_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {
        **os.environ,
        "_TUNEFARE_COMPLETE": "complete_bash",
        "COMP_WORDS": "tunefare plan --bud",
        "COMP_CWORD": "2",
    }
    launch = "import sys; from optimizer.cli.main import run; sys.argv = ['tunefare']; run()"
    done = subprocess.run([sys.executable, "-c", launch], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["--budget"]


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], ["plan", "--help"], ["estimate", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    probe = (
        "import sys; from optimizer.cli.main import main; main(sys.argv[1:]); "
        f"sys.exit(','.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", probe, *words], capture_output=True, text=True, check=False)
    assert done.stderr == "\n"


def test_help_of_a_command_imports_neither_arrays_nor_the_other_commands() -> None:
    probe = (
        "import sys; from optimizer.cli.main import main; main(['plan', '--help']); "
        "print(sorted(n for n in sys.modules if n.startswith('optimizer.cli.')), file=sys.stderr); "
        f"print([n for n in {HEAVY[:3]!r} if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    modules, heavy = done.stderr.splitlines()
    assert "optimizer.cli.plan" in modules
    assert "optimizer.cli.estimate" not in modules
    assert heavy == "[]"


def test_an_expected_failure_is_one_line_with_its_own_code(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise PricesUnavailable("nothing\nto see\x1b[31m here")

    assert errors.report_failures(fail, traceback=False) == 9
    assert capsys.readouterr().err == "tunefare: error: nothing to see [31m here\n"
    assert errors.report_failures(_raising(ProviderError("x")), traceback=True) == 9


def test_a_bug_is_one_line_that_says_how_to_see_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors.report_failures(_raising(KeyError("lost")), traceback=False) == 1
    line = capsys.readouterr().err
    assert line.startswith("tunefare: error: KeyError: 'lost'; this is a bug")
    assert "--traceback" in line
    assert line.count("\n") == 1
    with pytest.raises(KeyError, match="lost"):
        errors.report_failures(_raising(KeyError("lost")), traceback=True)


def test_an_interruption_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors.report_failures(_raising(KeyboardInterrupt()), traceback=False) == 130
    assert capsys.readouterr().err == "tunefare: error: interrupted\n"


def test_a_command_interrupted_inside_typer_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, tunefare: Callable[..., object]
) -> None:
    monkeypatch.setattr("optimizer.workload.matrices.load_matrices", _raising(KeyboardInterrupt()))
    outcome = tunefare("methods")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "tunefare: error: interrupted\n")


@pytest.mark.parametrize(("words", "variable"), [(["--traceback"], ""), ([], "1")])
def test_a_traceback_is_shown_when_asked_for(monkeypatch: pytest.MonkeyPatch, words: list[str], variable: str) -> None:
    if variable:
        monkeypatch.setenv("TUNEFARE_TRACEBACK", variable)
    monkeypatch.setattr("optimizer.workload.matrices.load_matrices", _raising(ZeroDivisionError("bug")))
    with pytest.raises(ZeroDivisionError):
        main.main(["methods", *words])


def test_a_reader_that_left_is_no_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    launch = "import sys; from optimizer.cli.main import run; sys.argv = ['tunefare', 'methods']; run()"
    with os.fdopen(write, "w") as closed:
        done = subprocess.run([sys.executable, "-c", launch], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_shadowed_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "__init__.py").write_text("raise SystemExit('the other cache was imported')\n")
    launch = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from optimizer.cli.main import run; "
        "sys.argv = ['tunefare', '--help']; run()"
    )
    done = subprocess.run([sys.executable, "-c", launch], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tunefare: error: package 'cache' comes from {tmp_path / 'cache'}, not from ")
    assert done.stderr.count("\n") == 1


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from optimizer.cli import shadowing

    assert shadowing.find_shadow() is None
    monkeypatch.setattr(shadowing, "find_spec", lambda name: None)
    assert "install tunefare again" in str(shadowing.find_shadow())


def test_output_goes_to_the_file_and_stdout_keeps_the_text(tunefare: Callable[..., object], tmp_path: Path) -> None:
    target = tmp_path / "methods.json"
    outcome = tunefare("methods", "--output", target)
    assert outcome.code == 0
    assert "Fine-tuning approach trade-offs" in outcome.out
    assert outcome.err == f"tunefare: wrote {target}\n"
    assert json.loads(target.read_text())["schema"] == "tunefare.methods/v1"
    quiet = tunefare("methods", "--json", "--output", target)
    assert (quiet.out, quiet.err) == ("", f"tunefare: wrote {target}\n")
    assert tunefare("methods", "--json").out == target.read_text()


@pytest.mark.parametrize(
    ("variables", "terminal", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colours_need_a_terminal_and_no_objection(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], terminal: bool, coloured: bool
) -> None:
    class Screen(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return terminal

    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Screen())
    assert output.choose_style().colour is coloured


@pytest.mark.parametrize(
    ("encoding", "unicode"), [("utf-8", True), ("ascii", False), ("latin-1", False), (None, False)]
)
def test_signs_beyond_ascii_need_an_encoding_that_has_them(
    monkeypatch: pytest.MonkeyPatch, encoding: str | None, unicode: bool
) -> None:
    class Screen(io.StringIO):
        pass

    Screen.encoding = encoding  # type: ignore[misc,assignment]
    monkeypatch.setattr(sys, "stdout", Screen())
    assert output.choose_style().unicode is unicode


def _raising(error: BaseException) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise error

    return fail
