"""The command itself, without torch: what is wrong is one line, and nothing heavy is loaded to say so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from optimizer.cli import probe as command
from optimizer.cli.main import main
from optimizer.measure import probe, probe_device
from optimizer.measure.probe import ProbeResult, failed_run
from optimizer.measure.probe_case import ProbeCase
from optimizer.measure.record import Readings, RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable

GRID = Path(__file__).parents[2] / "fixtures" / "probe-grid.toml"


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> object:
    def run(*words: object, code: int = 2) -> str:
        assert main(["probe", *(str(word) for word in words)]) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("tunefare: error: ")
        assert err.count("\n") == 1
        return err

    return run


def result(**changes: object) -> ProbeResult:
    made = failed_run(ProbeCase(model="llama-3.2-1b"), made_at="2026-01-02T03:04:05Z", reason="", where="x")
    fields = {name: getattr(made.run, name) for name in type(made.run).__dataclass_fields__}
    return ProbeResult(
        run=type(made.run)(**(fields | changes)),
        case=made.case,
        whole_layers=16,
        built_params=1235814400,
        notes=("a note",),
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "nosuch"], "is not in the model table"),
        ([], "--model = not given"),
        (["--model", "llama-3.2-1b", "--method", "ppo"], "--method = 'ppo': one of full"),
        (
            ["--model", "llama-3.2-1b", "--method", "full", "--quantization", "8"],
            "--quantization = 8: full fine-tuning",
        ),
        (["--model", "llama-3.2-1b", "--timeout", "5"], "--timeout = 5.0: only with --grid"),
        (["--model", "llama-3.2-1b", "--redo"], "--redo = true: only with --grid"),
        (["--grid", GRID], "--output-dir = not given: a folder"),
        (["--grid", GRID, "--output-dir", "x", "--micro-batch", "2"], "--micro-batch = 2: not with --grid"),
        (["--grid", GRID, "--output-dir", "x", "--timeout", "0"], "--timeout = 0.0: seconds above 0"),
        (["--grid", "none.toml", "--output-dir", "x"], "--grid = 'none.toml': a readable TOML or CSV file"),
        (["--grid", GRID, "--output-dir", "x", "--device", "tpu"], "--device = 'tpu': one of cpu, cuda"),
    ],
)
def test_what_is_wrong_is_said_before_torch_is_asked_for(fails: object, words: list[object], says: str) -> None:
    assert says in fails(*words)  # type: ignore[operator]


def test_without_the_extra_the_command_says_what_to_install(fails: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_device, "find_spec", lambda name: None)
    for words in (["--model", "llama-3.2-1b"], ["--grid", GRID, "--output-dir", "x"]):
        assert "tunefare probe needs the extra: pip install 'tunefare[probe]'" in fails(*words)  # type: ignore[operator]
    assert not Path("x").exists()


def test_where_the_result_cannot_go_is_said_before_anything_is_measured(
    fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_device, "find_spec", lambda name: None)
    one = ("--model", "llama-3.2-1b", "--output")
    says = "cannot be written (No such file or directory): the directory"
    assert says in fails(*one, tmp_path / "no" / "RUN.json")
    assert says in fails("--grid", GRID, "--output-dir", tmp_path / "x", "--output", tmp_path / "no" / "grid.json")
    assert "(Is a directory): name a file" in fails(*one, tmp_path)
    kept = tmp_path / "RUN.json"
    kept.write_text("kept", encoding="utf-8")
    assert "needs the extra" in fails(*one, kept)
    assert kept.read_text(encoding="utf-8") == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["RUN.json"]


def test_a_folder_that_cannot_be_made_is_said_before_torch_is_loaded(
    fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_device, "require_extra", lambda: None)
    monkeypatch.setattr(probe_device, "require_gpu", lambda: pytest.fail("torch was loaded first"))
    (tmp_path / "file").write_text("", encoding="utf-8")
    said = fails("--grid", GRID, "--output-dir", tmp_path / "file" / "results")
    assert "a folder that this user may make and write in" in said


def test_a_measured_case_is_text_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    readings = Readings(
        load_peak_bytes=3 * 2**30, allocated_bytes=5 * 2**30, reserved_bytes=6 * 2**30, device_bytes=7 * 2**30,
        tokens_per_s=4321.0, step_s=(0.4, 0.5, 0.45), trained_params=11_272_192,
    )  # fmt: skip
    made = result(status=RunStatus.OK, gpu="L4-24GB", gpu_name="NVIDIA L4", readings=readings)
    monkeypatch.setattr(probe, "run_probe", lambda case, **_: made)
    file = tmp_path / "RUN.json"
    assert main(["probe", "--model", "llama-3.2-1b", "--output", str(file)]) == 0
    out, err = capsys.readouterr()
    for words in (
        "Probe  Llama-3.2-1B  measured", "L4-24GB (NVIDIA L4)", "4,320 tokens/s (median of 3 steps: 450 ms, 400 ms to",
        "Load peak    3.0 GiB", "Allocated    5.0 GiB", "Reserved     6.0 GiB", "On the card  7.0 GiB",
        "11.3M of 1.24B parameters", "· a note",
    ):  # fmt: skip
        assert words in out
    assert err == f"tunefare: wrote {file}\n"
    document = json.loads(file.read_text(encoding="utf-8"))
    assert (document["schema"], document["status"]) == ("tunefare.run/v1", "ok")
    assert document["probe"]["built_params"] == 1235814400
    assert main(["probe", "--model", "llama-3.2-1b", "--json"]) == 0
    assert capsys.readouterr().out == file.read_text(encoding="utf-8")


def test_running_out_of_memory_is_infeasible_and_still_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = result(status=RunStatus.OUT_OF_MEMORY, error="out of memory while training: no more")
    monkeypatch.setattr(probe, "run_probe", lambda case, **_: made)
    assert main(["probe", "--model", "llama-3.2-1b", "--json"]) == command.INFEASIBLE == 7
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "oom"
    assert err == "tunefare: infeasible on this device: out of memory while training: no more\n"


def test_help_and_a_refusal_load_neither_torch_nor_arrays_for_nothing() -> None:
    code = (
        "import sys; from optimizer.cli.main import main; main(['probe', '--help']); "
        "heavy = [n for n in ('torch', 'transformers', 'peft', 'numpy') if n in sys.modules]; "
        "main(['probe', '--model', 'nosuch']); "
        "heavy += [n for n in ('torch', 'transformers', 'peft') if n in sys.modules]; sys.exit(','.join(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == ""
