"""The recipes for the night: checked as far as that is possible without a night."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NIGHTLY = ROOT / "docs" / "examples" / "nightly"
PAGE = (ROOT / "docs" / "nightly-refresh.md").read_text(encoding="utf-8")


def need(program: str) -> str:
    found = shutil.which(program) or shutil.which(str(Path(sys.executable).with_name(program)))
    if found is None:
        pytest.skip(f"{program} is not on this machine")
    return found


def refresh_flags() -> set[str]:
    program = Path(sys.executable).with_name("tunefare")
    text = subprocess.run(
        [str(program), "prices", "refresh", "--help"], capture_output=True, text=True, check=True
    ).stdout
    return set(re.findall(r"--[a-z][a-z-]+", text))


def test_unit_files_are_verified_by_systemd(tmp_path: Path) -> None:
    program = need("systemd-analyze")
    for name in ("tunefare-refresh.service", "tunefare-refresh.timer"):
        text = (NIGHTLY / name).read_text().replace("/usr/local/bin/tunefare", "/bin/true")
        (tmp_path / name).write_text(text.replace("User=tunefare", "User=root"))
    done = subprocess.run(
        [
            program,
            "verify",
            "--man=no",
            str(tmp_path / "tunefare-refresh.service"),
            str(tmp_path / "tunefare-refresh.timer"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if "tunefare-refresh" in line]
    assert complaints == []


def test_the_unit_calls_what_there_is() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(NIGHTLY / "tunefare-refresh.service")
    command = unit["Service"]["ExecStart"].split()
    assert command[1:3] == ["prices", "refresh"]
    assert set(re.findall(r"--[a-z][a-z-]+", " ".join(command))) <= refresh_flags()


def test_the_timer_has_a_calendar_that_systemd_reads() -> None:
    program = need("systemd-analyze")
    (calendar,) = re.findall(r"^OnCalendar=(.+)$", (NIGHTLY / "tunefare-refresh.timer").read_text(), re.MULTILINE)
    done = subprocess.run([program, "calendar", calendar], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_workflow_is_one_for_github() -> None:
    done = subprocess.run(
        [need("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(NIGHTLY / "github-actions.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_names_variables_that_there_are() -> None:
    text = (NIGHTLY / "github-actions.yml").read_text()
    named = set(re.findall(r"secrets\.([A-Z_]+)", text))
    known = set(re.findall(r"^#?\s*([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named
    assert named <= known


def cron_line() -> str:
    (line,) = (line for line in (NIGHTLY / "crontab").read_text().splitlines() if line and not line.startswith("#"))
    return line


def test_the_line_of_the_crontab_runs_in_the_environment_of_cron(tmp_path: Path) -> None:
    fields = cron_line().split(maxsplit=5)
    assert all(re.fullmatch(r"\*|\d+", field) for field in fields[:5])
    assert set(re.findall(r"(--[a-z][a-z-]+)", fields[5])) <= refresh_flags()
    # Cron ends a command at an unescaped percent sign.
    assert "%" not in fields[5]
    program = tmp_path / ".local" / "bin" / "tunefare"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$RUNPOD_API_KEY" "$@" > "$HOME/called"\n')
    program.chmod(0o755)
    keys = tmp_path / ".config" / "tunefare" / "env"
    keys.parent.mkdir(parents=True)
    keys.write_text("RUNPOD_API_KEY=a-key\n")
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "someone"}
    subprocess.run(["/bin/sh", "-c", fields[5]], env=environment, check=True)
    called = (tmp_path / "called").read_text()
    assert called.startswith("a-key prices refresh --allow-partial")


def test_the_page_shows_the_line_as_it_is() -> None:
    assert cron_line() in PAGE


def test_the_page_explains_every_reason() -> None:
    from cache.gate import REASONS

    assert all(f"`{reason}`" in PAGE for reason in REASONS)


def test_the_page_names_every_metric() -> None:
    source = (ROOT / "optimizer" / "app" / "metrics_file.py").read_text()
    metrics = set(re.findall(r"tunefare_prices_[a-z_]+", source))
    assert metrics
    assert all(metric in PAGE for metric in metrics)


def test_examples_hold_no_secret() -> None:
    for file in NIGHTLY.iterdir():
        assert not re.search(r"(?i)(api[_-]?key|token)\s*[=:]\s*['\"]?[A-Za-z0-9]{16,}", file.read_text())
    assert os.environ.get("TUNEFARE_CACHE_URL") is None
