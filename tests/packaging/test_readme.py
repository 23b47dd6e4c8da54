"""Every tunefare command that the README shows runs as it stands, and every file that it names exists."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.compile(r"(?<=```console\n)\$ (tunefare plan .* --now \S+)\n(.*?)(?=^```)", flags=re.MULTILINE | re.DOTALL)
SHOWN_UNTIL = "\nWhy the others lost"
COMMANDS = re.findall(r"^\$ (tunefare .+)$", README, flags=re.MULTILINE)
PYTHON = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
LINKS = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]

pytestmark = pytest.mark.packaging


ANSWER = """
import contextlib, io, json, shlex, sys
from optimizer.cli.main import main

def told(stream):
    stream.seek(0)
    return stream.read()

answers = {}
for line in json.load(sys.stdin):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=sys.stdout.encoding) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(shlex.split(line)[1:])
    answers[line] = (code, told(out), told(err))
print(json.dumps(answers))
"""


@cache
def answers() -> dict[str, tuple[int, str, str]]:
    """Return exit code, stdout and stderr of every command line of the README, as they stand there.

    They run in the checkout, with no setting of the tests' own, and in one process: starting costs more than answering.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TUNEFARE_")}
    done = subprocess.run(
        [sys.executable, "-c", ANSWER],
        input=json.dumps(COMMANDS),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line: (code, out, err) for line, (code, out, err) in json.loads(done.stdout).items()}


def test_readme_shows_commands_code_and_links() -> None:
    assert len(COMMANDS) >= 8
    assert PYTHON
    assert LINKS


@pytest.mark.parametrize("line", COMMANDS)
def test_command_of_the_readme_runs(line: str) -> None:
    code, out, err = answers()[line]
    assert code == 0, err
    assert out.strip()


def test_the_plan_that_the_readme_shows_is_the_one_that_comes_out() -> None:
    shown = SHOWN.search(README)
    assert shown is not None
    printed = answers()[shown[1]][1].partition(SHOWN_UNTIL)[0]
    if os.environ.get("TUNEFARE_UPDATE_GOLDEN") == "1":
        start, end = shown.span(2)
        (ROOT / "README.md").write_text(README[:start] + printed + README[end:], encoding="utf-8")
        return
    assert shown[2] == printed


@pytest.mark.parametrize("code", PYTHON)
def test_python_of_the_readme_runs(code: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("link", LINKS)
def test_linked_file_exists(link: str) -> None:
    assert (ROOT / link).exists()
