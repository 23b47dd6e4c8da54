"""The runner of a grid, with children that train nothing: they answer, run out of memory, hang, crash or are killed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from optimizer.cli.probe_files import grid_text, open_folder, write_run
from optimizer.cli.probe_text import format_grid
from optimizer.measure.probe import failed_run
from optimizer.measure.probe_case import ProbeCase
from optimizer.measure.probe_grid import GridPlan, GridResult, run_grid
from optimizer.measure.probe_grid_file import read_grid
from optimizer.measure.record import RunStatus, parse_run
from optimizer.report.style import Style
from providers.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path

    from optimizer.measure.probe_grid_file import GridCase

CHILD = """
import json, os, signal, sys, time
order = json.loads(sys.stdin.readline())
batch = order["case"]["micro_batch"]
with open(sys.argv[1], "a") as log:
    log.write(f"{batch} {os.path.isdir(order['scratch'])}\\n")
if batch == 2:
    os.kill(os.getpid(), signal.SIGKILL)
if batch == 3:
    time.sleep(60)
if batch == 4:
    raise RuntimeError("the kernel of this case is broken")
if batch == 5:
    sys.stderr.write("some advice\\na package is missing\\n")
    sys.exit(2)
if batch == 6:
    sys.exit(0)
with open(sys.argv[2]) as template:
    run = json.load(template)
run["status"], run["made_at"], run["recipe"]["micro_batch"] = "oom" if batch == 7 else "ok", order["made_at"], batch
run["readings"]["tokens_per_s"] = None if batch == 7 else 1234.5
with open(order["output"], "w") as output:
    json.dump(run, output)
"""
"""Stands in for the process of one case, by its micro-batch."""


@pytest.fixture
def cases(tmp_path: Path) -> list[GridCase]:
    file = tmp_path / "grid.toml"
    file.write_text('[[sweep]]\nmodel = "llama-3.2-1b"\nmicro_batch = [1, 2, 4, 5, 6, 7, 8]\n', encoding="utf-8")
    return read_grid(file)


class Runner:
    def __init__(self, folder: Path) -> None:
        self.folder, self.talk, self.log = folder, [], folder / "started"
        (folder / "child.py").write_text(CHILD, encoding="utf-8")
        template = failed_run(ProbeCase(model="llama-3.2-1b"), made_at="", reason="", where="x").document()
        write_run(folder / "template.json", template)
        self.results_in = folder / "runs"
        open_folder(self.results_in)

    def run(self, cases: list[GridCase], **changes: object) -> list[GridResult]:
        plan = GridPlan(
            folder=self.results_in,
            write=write_run,
            now=lambda: "2026-01-02T03:04:05Z",
            tell=self.talk.append,
            command=(
                sys.executable,
                "-P",
                *(str(self.folder / name) for name in ("child.py", "started", "template.json")),
            ),
            **changes,  # type: ignore[arg-type]
        )
        return run_grid(cases, plan)

    def started(self) -> list[str]:
        return self.log.read_text().split("\n")[:-1] if self.log.exists() else []


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_the_grid_goes_on_whatever_a_case_does(cases: list[GridCase], runner: Runner) -> None:
    results = runner.run(cases)
    ended = {result.run.recipe.micro_batch: (result.run.status.value, result.run.error) for result in results}
    assert ended[1] == ("ok", "")
    assert ended[2] == ("error", "it was killed by SIGKILL, as the system does when the host's memory runs out")
    assert ended[4] == ("error", "it ended with code 1: RuntimeError: the kernel of this case is broken")
    assert ended[5] == ("error", "a package is missing")
    assert ended[6] == ("error", "it ended without a result")
    assert ended[7][0] == "oom"
    assert ended[8][0] == "ok"
    assert all(line.endswith("True") for line in runner.started())
    assert len(runner.talk) == 7
    assert "ok: memory not read, 1,234 tokens/s" in runner.talk[0]
    for result in results:
        document = json.loads(result.file.read_text(encoding="utf-8"))
        assert parse_run(document, where="x") == result.run
        assert (result.run.made_at, result.run.source) == ("2026-01-02T03:04:05Z", "probe")
    assert sorted(path.suffix for path in runner.results_in.iterdir()) == [".json"] * 7


def test_a_case_that_hangs_is_ended(cases: list[GridCase], runner: Runner, tmp_path: Path) -> None:
    file = tmp_path / "hang.toml"
    file.write_text('[[case]]\nmodel = "llama-3.2-1b"\nmicro_batch = 3\n', encoding="utf-8")
    (result,) = runner.run(read_grid(file), timeout_s=1.0)
    assert result.run.status is RunStatus.ERROR
    assert result.run.error == "it took longer than 1 s (--timeout) and was ended"


def test_what_is_there_is_not_measured_again(cases: list[GridCase], runner: Runner) -> None:
    few = [case for case in cases if case.case.micro_batch in {1, 6, 8}]
    first = runner.run(few)
    assert len(runner.started()) == 3
    again = runner.run(few)
    assert len(runner.started()) == 3
    assert [one.run for one in again] == [one.run for one in first]
    assert all(one.earlier for one in again)
    assert "(measured earlier)" in runner.talk[-1]
    runner.run(few, redo_failed=True)
    assert runner.started()[3:] == ["6 True"]
    runner.run(few, redo=True)
    assert len(runner.started()) == 7


def test_a_file_that_holds_no_run_is_measured_anew(cases: list[GridCase], runner: Runner) -> None:
    (runner.results_in / f"{cases[0].name}.json").write_text("half a fi", encoding="utf-8")
    (result,) = runner.run(cases[:1])
    assert (result.run.status, result.earlier) == (RunStatus.OK, False)
    assert "holds no run: measured anew" in runner.talk[0]


def test_an_interruption_leaves_what_is_done_and_no_child(cases: list[GridCase], runner: Runner) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    runner.talk = type("Talk", (), {"append": staticmethod(interrupt)})()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        runner.run(cases[:2])
    assert [path.name for path in runner.results_in.iterdir()] == [f"{cases[0].name}.json"]
    assert len(runner.started()) == 1


def test_the_summary_counts_and_shows_every_case(cases: list[GridCase], runner: Runner) -> None:
    results = runner.run([case for case in cases if case.case.micro_batch in {1, 6, 7}])
    text = format_grid(results, Style(width=120))
    assert "3 cases  1 measured, 1 out of memory, 1 failed" in text
    assert "1,230" in text
    assert f"· {results[1].name}: it ended without a result" in text.replace("\n    ", " ")
    document = json.loads(grid_text(results))
    assert document["schema"] == "tunefare.probe-grid/v1"
    assert document["counts"] == {"ok": 1, "oom": 1, "error": 1}
    assert [case["run"]["status"] for case in document["cases"]] == ["ok", "error", "oom"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(JobError, match="a folder that this user may make"):
        open_folder(tmp_path / "file" / "runs")
