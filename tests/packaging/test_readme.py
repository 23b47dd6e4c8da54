"""Every tunefare command that the README shows runs as it stands, and every file that it names exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
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


def run_line(line: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of the README in the checkout, as it stands there, with no setting of the tests' own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TUNEFARE_")}
    return subprocess.run(
        [sys.executable, "-c", "from optimizer.cli.main import run; run()", *shlex.split(line)[1:]],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_readme_shows_commands_code_and_links() -> None:
    assert len(COMMANDS) >= 8
    assert PYTHON
    assert LINKS


@pytest.mark.parametrize("line", COMMANDS)
def test_command_of_the_readme_runs(line: str) -> None:
    done = run_line(line)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_plan_that_the_readme_shows_is_the_one_that_comes_out() -> None:
    shown = SHOWN.search(README)
    assert shown is not None
    printed = run_line(shown[1]).stdout.partition(SHOWN_UNTIL)[0]
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
