"""The example study, 10,000 scenarios, on every engine: equal bytes, also on Ray; and nobody left behind after Ctrl-C.

Ray is an extra. Where this environment lacks it, one of its own is made (`pip install ray`, needs a network), or the
one named by TUNEFARE_RAY_PYTHON is used; without either the test is skipped and says why.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "study.py"
JOB = ROOT / "docs" / "examples" / "llama-ner.toml"


@pytest.fixture(scope="module")
def python_with_ray(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has Ray and this source tree."""
    named = os.environ.get("TUNEFARE_RAY_PYTHON")
    if named:
        return named
    if importlib.util.find_spec("ray") is not None:
        return sys.executable
    home = tmp_path_factory.mktemp("ray")
    venv.create(home, with_pip=True)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[ray]"],
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"Ray cannot be installed here: {done.stderr.strip()[-300:]}")
    return str(python)


def _run(python: str, *engines: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, str(EXAMPLE), *engines], capture_output=True, text=True, check=False, timeout=600, cwd=ROOT
    )


def test_concurrent_futures_give_the_bytes_of_one_process() -> None:
    done = _run(sys.executable, "serial", "threads", "processes")
    print(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "over 10,000 scenarios" in done.stdout


def test_ray_gives_the_bytes_of_one_process(python_with_ray: str) -> None:
    done = _run(python_with_ray, "serial", "processes", "ray")
    print(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "ray: 10,000 scenarios" in done.stderr
    assert "all engines give the same bytes" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="process groups")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_study(how: signal.Signals) -> None:
    """Ctrl-C reaches the whole group, as from a terminal, and reads as one line; a kill reaches the parent alone."""
    code = "from optimizer.cli.main import run; run()"
    words = ["study", str(JOB), "--scenarios", "1000000", "--engine", "processes", "--workers", "3"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT,
    )  # fmt: skip
    time.sleep(6.0)
    assert process.poll() is None
    assert len(_alive(process.pid)) >= 4
    if how is signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    _, said = process.communicate(timeout=30)
    until = time.monotonic() + 10.0
    while _alive(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert _alive(process.pid) == []
    assert "Traceback" not in said
    if how is signal.SIGINT:
        assert (process.returncode, said) == (130, "tunefare: error: interrupted\n")


def _alive(group: int) -> list[int]:
    """Return the processes of a group that have not ended."""
    listed = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, pgid, state in rows if int(pgid) == group and not state.startswith("Z")]
