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
COMMANDS = re.findall(r"^\$ (tunefare .+)$", README, flags=re.MULTILINE)
PYTHON = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
LINKS = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]

pytestmark = pytest.mark.packaging


def test_readme_shows_commands_code_and_links() -> None:
    assert len(COMMANDS) >= 8
    assert PYTHON
    assert LINKS


@pytest.mark.parametrize("line", COMMANDS)
def test_command_of_the_readme_runs(line: str, tmp_path: Path) -> None:
    words = shlex.split(line)[1:]
    words = [str(ROOT / word) if (ROOT / word).exists() else word for word in words]
    done = subprocess.run(
        [sys.executable, "-c", "from optimizer.cli.main import run; run()", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


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
