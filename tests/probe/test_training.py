"""Training for real, on the CPU: every recipe leaves a RUN.json whose figures agree with each other and the model."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from optimizer.measure.probe_model import FAMILIES
from optimizer.measure.record import parse_run, run_document
from optimizer.physics.axes import Tuning

SCRIPT = Path(__file__).with_name("train_for_real.py")
GRID = Path(__file__).parents[1] / "fixtures" / "probe-grid.toml"
TINY = Path(__file__).parents[1] / "fixtures" / "probe-tiny"


def test_every_recipe_and_family_trains(torch_env: Path, plain_environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [torch_env / "python", "-P", SCRIPT, tmp_path],
        env=plain_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    for name, document in answers["recipes"].items():
        judge_recipe(name, document, fused=answers["fused_adamw"])
    judge_refusals(answers["refused"])
    assert set(answers["families"]) == set(FAMILIES)
    for name, found in answers["families"].items():
        judge_family(name, found)
    judge_experts(answers["experts"])
    judge_command(answers["command"], tmp_path)
    first, second = answers["twice"]
    assert first == second, "the same seed, the same weights"
    assert first[-1] < first[0] - 0.1, "training lowers the loss"


def judge_family(name: str, found: dict[str, Any]) -> None:
    assert found["built"] == found["counted"], name
    assert found["seconds"][0] > 0, name
    # PEFT's all-linear reaches the two projections around OPT-350M's narrow embedding, which the table does not count.
    projections = 2 * 4 * (32 + 64) if name == "opt-post-norm" else 0
    assert found["trained"] == found["adapter"] + projections, name
    assert len(found["notes"]) == (1 if projections else 0), name


def judge_recipe(name: str, document: dict[str, Any], *, fused: bool) -> None:
    run = parse_run(document, where=name)
    assert run.status == "ok", (name, run.error)
    assert run_document(run) | {"probe": document["probe"]} == document, name
    assert (run.gpu, run.source, run.made_at) == (None, "probe", "now")
    assert run.gpu_name.startswith("CPU")
    model, recipe, read = run.model, run.recipe, run.readings
    assert (recipe.stack, recipe.stack_known, recipe.sharding) == ("hf", True, "none")
    assert recipe.fused_optimizer == (fused if recipe.optimizer == "adamw" else None), name
    assert (read.load_peak_bytes, read.allocated_bytes, read.reserved_bytes, read.device_bytes) == (None,) * 4
    rows = recipe.micro_batch * recipe.grad_accum * (2 if recipe.objective == "dpo" else 1)
    assert len(read.step_s) == 2
    assert read.tokens_per_s == pytest.approx(rows * recipe.seq_len / median(read.step_s))
    # The slowest machine trains a model of 0.1M parameters at more than this, the fastest at less.
    assert 1 < read.tokens_per_s < 1e7, name
    if recipe.tuning is Tuning.FULL:
        expected = model.total_params
    else:
        shape = model.adapter(recipe.lora_rank, recipe.target_modules)
        expected = shape.params + (shape.magnitude_params if recipe.tuning is Tuning.DORA else 0)
    assert read.trained_params == expected, name
    assert document["probe"]["built_params"] == model.total_params, name
    assert document["probe"]["notes"] == ["memory was not read: torch counts that of GPUs only"]
    assert {"torch", "transformers", "peft", "bitsandbytes", "python", "tunefare"} <= set(run.versions)
    if name == "lora-two-layers":
        assert (model.layers, model.name) == (2, "probe-tiny (2 of 3 layers)")
        assert (document["probe"]["layers"], document["probe"]["whole_layers"]) == (2, 3)


def judge_refusals(refused: dict[str, str]) -> None:
    assert "--attention flash needs the package flash-attn" in refused["flash"]
    assert "--loss fused runs in Triton kernels, which need a GPU" in refused["fused"]
    assert "paged optimizer state needs a GPU" in refused["paged"]
    assert "can use no GPU here: --device cpu probes the CPU instead" in refused["no-gpu"]
    assert "can build by itself" in refused["unknown-code"]


def judge_experts(document: dict[str, Any]) -> None:
    """What is not as the recipe says is said: transformers holds experts as bare tensors, which stay in 16 bit."""
    run, said = parse_run(document, where="experts"), " ".join(document["probe"]["notes"])
    assert run.model.moe_experts == 4
    assert document["probe"]["built_params"] == run.model.total_params
    if "weights are held in 4 bits" in said:
        assert f"of {run.model.linear_params:,} in the linear layers" in said
    assert run.readings.tokens_per_s is not None


def judge_command(command: list[Any], folder: Path) -> None:
    code, out, err = command
    assert (code, err) == (0, f"tunefare: wrote {folder}/RUN.json\n")
    assert "Probe  probe-tiny  measured" in out
    run = parse_run(json.loads((folder / "RUN.json").read_text(encoding="utf-8")), where="RUN.json")
    assert run.recipe.tuning is Tuning.DORA
    assert run.readings.tokens_per_s is not None


def test_a_grid_goes_on_over_memory_that_runs_out_and_packages_that_lack(
    torch_env: Path, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    command = [torch_env / "tunefare", "probe", "--grid", GRID, "--output-dir", "runs", "--json"]
    done = subprocess.run(command, env=plain_environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["counts"] == {"ok": 1, "oom": 1, "error": 1}
    runs = {case["run"]["status"]: parse_run(case["run"], where="x") for case in answer["cases"]}
    assert runs["oom"].error.startswith("out of memory while loading: ")
    assert (
        runs["error"].error
        == "--attention flash needs the package flash-attn, which is not installed: pip install flash-attn"
    )
    assert runs["ok"].readings.tokens_per_s > 0
    again = subprocess.run(command, env=plain_environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.stderr.count("(measured earlier)") == 3
    assert [case["run"] for case in json.loads(again.stdout)["cases"]] == [case["run"] for case in answer["cases"]]


def test_a_case_that_takes_too_long_is_ended(
    torch_env: Path, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    grid = tmp_path / "long.toml"
    case = f'model = "{TINY}/config.json"\ndevice = "cpu"\nsteps = 10000\n'
    grid.write_text(f"[[case]]\n{case}", encoding="utf-8")
    done = subprocess.run(
        [torch_env / "tunefare", "probe", "--grid", grid, "--output-dir", "runs", "--timeout", "1"],
        env=plain_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "it took longer than 1 s (--timeout) and was ended" in done.stderr
    (file,) = (tmp_path / "runs").iterdir()
    assert parse_run(json.loads(file.read_text(encoding="utf-8")), where="x").status == "error"
