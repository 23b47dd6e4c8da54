"""The environment with torch, which the tests of the probe start their processes in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def torch_env() -> Path:
    """Return the folder of programs of `.venv-probe` (or of PROBE_VENV); without it skip, under CI fail."""
    programs = Path(os.environ.get("PROBE_VENV") or ROOT / ".venv-probe").resolve() / "bin"
    if not (programs / "tunefare").exists():
        reason = "needs torch: `make probe-env` makes the environment .venv-probe"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return programs


@pytest.fixture
def plain_environment() -> dict[str, str]:
    """Return an environment for a process that is to find our packages in its own interpreter.

    One thread: the models are so small that handing work over takes longer than doing it.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"COLUMNS": "100", "OMP_NUM_THREADS": "1"}
