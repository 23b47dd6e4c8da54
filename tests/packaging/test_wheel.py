"""The wheel holds exactly three packages with their data, and the installed command runs from it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"optimizer", "providers", "cache"}

pytestmark = pytest.mark.packaging


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel as pip would, without its dependencies: they are in the environment that runs the tests."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-index", "--no-compile", "--target", str(target), str(wheel)),
        ],
        check=True,
        capture_output=True,
    )
    return target


def run_installed(target: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(target), "COLUMNS": "80"}
    command = [sys.executable, str(target / "bin" / "tunefare"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def test_top_level_is_three_packages_and_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    assert len(top) == len(PACKAGES) + 1


def test_every_tracked_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    on_disk = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert on_disk - packed == set()
    assert {f"{package}/py.typed" for package in PACKAGES} <= packed


def test_installed_command_plans_from_its_own_data(installed: Path, tmp_path: Path) -> None:
    done = run_installed(installed, "plan", "--model", "llama-3.1-8b", "--tokens", "2000000", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"tunefare.plan/v1"' in done.stdout


def test_installed_packages_do_not_come_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import optimizer, providers, cache; print(optimizer.__file__, providers.__file__, cache.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    assert all(path.startswith(str(installed)) for path in done.stdout.split())
