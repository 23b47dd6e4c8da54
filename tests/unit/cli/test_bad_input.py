"""Wrong input through the real command: one line naming place, key, value and what is allowed; the right exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Fails = Callable[..., str]

NOW = "2026-11-22T09:00Z"
JOB = ("--model", "llama-3.1-8b", "--tokens", "1M", "--now", NOW)


def test_an_unknown_model_names_what_comes_close(fails: Fails) -> None:
    line = fails(2, "plan", "--model", "llama-3.1-8c", "--tokens", "1M")
    assert "llama-3.1-8c" in line
    assert "Llama-3.1-8B" in line


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--gpu", "H100-SXM-81GB"), ("gpu", "H100-SXM-81GB")),
        (("--exclude-gpu", "nosuchchip"), ("exclude", "nosuchchip")),
        (("--method", "magic"), ("--method", "magic", "qlora")),
        (("--quantization", "5"), ("--quantization", "5", "16, 8, 4")),
        (("--objective", "rlvr"), ("--objective", "rlvr", "sft, dpo or ppo")),
        (("--quality-floor", "superb"), ("--quality-floor", "superb", "highest")),
        (("--max-complexity", "none"), ("--max-complexity", "none", "very-high")),
        (("--pricing-model", "reserved"), ("--pricing-model = 'reserved': any of on_demand, spot",)),
        (("--loss", "huber"), ("--loss", "huber", "standard, triton or fused")),
        (("--attention", "ring"), ("--attention", "ring", "flash, sdpa or eager")),
        (("--gpu", "A100"), ("--gpu = 'A100': one GPU, and that could be any of A100-SXM-40GB, A100-PCIE-40GB",)),
        (("--seed", "-1"), ("seed = -1",)),
        (("--executor", "me"), ("--executor", "me", "skypilot")),
        (("--optimizer", "lion"), ("--optimizer", "lion", "adamw")),
        (("--stack", "jax"), ("--stack", "jax", "torchtune")),
        (("--region", "atlantis-1"), ("region", "atlantis-1")),
        (("--provider", "nosuchcloud"), ("provider", "nosuchcloud")),
        (("--provider", "awz"), ("provider", "awz", "aws")),
        (("--deadline", "soon"), ("deadline", "soon", "36h")),
        (("--deadline", "2020-01-01T00:00Z"), ("deadline", "2020-01-01")),
        (("--deadline", "-3h"), ("deadline", "-3h")),
        (("--confidence", "1.5"), ("--confidence", "1.5")),
        (("--confidence", "nan"), ("--confidence", "nan")),
        (("--budget", "NaN"), ("--budget", "NaN")),
        (("--budget", "-5"), ("--budget", "-5")),
        (("--budget", "lots"), ("--budget", "lots")),
        (("--seq-len", "0"), ("--seq-len", "0")),
        (("--global-batch", "-1"), ("--global-batch", "-1")),
        (("--max-gpus", "0"), ("--max-gpus", "0")),
        (("--lora-rank", "1e9"), ("--lora-rank", "1000000000")),
        (("--failed-run-multiplier", "0.5"), ("--failed-run-multiplier", "0.5")),
        (("--eval-fraction", "inf"), ("--eval-fraction", "inf")),
        (("--checkpoint-every", "often"), ("checkpoint", "often")),
        (("--top", "0"), ("--top", "0")),
        (("--now", "yesterday"), ("now", "yesterday")),
        (("--now", "2026-11-22T09:00"), ("now", "2026-11-22T09:00")),
        (("--only-offers",), ("only-offers", "--offers")),
        (("--offers", "/no/such/file.csv"), ("/no/such/file.csv",)),
    ],
)
def test_a_bad_flag_is_named_with_what_is_allowed(fails: Fails, words: tuple[str, ...], named: tuple[str, ...]) -> None:
    line = fails(2, "plan", *JOB, *words)
    for part in named:
        assert part in line, line


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e30", "1e400", "12.5", "many", ""])
def test_a_count_that_is_none_is_refused(fails: Fails, value: str) -> None:
    line = fails(2, "plan", "--model", "llama-3.1-8b", f"--tokens={value}")
    assert "--tokens" in line


def test_a_job_without_data_or_model_says_what_is_missing(fails: Fails) -> None:
    assert "model" in fails(2, "plan")
    assert "tokens" in fails(2, "plan", "--model", "llama-3.1-8b")


def test_dpo_needs_its_own_numbers(fails: Fails) -> None:
    assert "pairs" in fails(2, "plan", "--model", "llama-3.1-8b", "--objective", "dpo")
    assert "rollouts" in fails(2, "plan", "--model", "llama-3.1-8b", "--objective", "ppo")


def test_the_unknown_flag_and_command_are_usage_errors(fails: Fails) -> None:
    assert "--frobnicate" in fails(2, "plan", "--frobnicate")
    assert "frobnicate" in fails(2, "frobnicate")
    assert "(see 'tunefare calculate --help')" in fails(2, "calculate")
    assert "why-not" in fails(2, "explain", *JOB)
    assert "nosuchthing" in fails(2, "explain", *JOB, "--why-not", "nosuchthing")


def test_a_job_file_names_the_key_that_is_wrong(fails: Fails, tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text('model = "llama-3.1-8b"\ntoken = 5\n')
    line = fails(2, "plan", job)
    assert str(job) in line
    assert "did you mean tokens?" in line
    job.write_text('model = "llama-3.1-8b"\ntokens = "five"\n')
    line = fails(2, "plan", job)
    assert str(job) in line
    assert "tokens = 'five'" in line
    job.write_text("model = \n")
    assert str(job) in fails(2, "plan", job)
    job.write_bytes(b"\xff\xfe")
    assert str(job) in fails(2, "plan", job)


def test_a_recipe_belongs_to_estimate(fails: Fails, tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text('model = "llama-3.1-8b"\ntokens = 5\n[recipe]\ngpu = "T4"\n')
    assert "recipe = ['gpu']: only with `tunefare estimate`" in fails(2, "plan", job)
    assert "recipe = ['gpu']: only with `tunefare estimate`" in fails(2, "explain", job, "--why-not", "T4")
    job.write_text('model = "llama-3.1-8b"\ntokens = 5\n[recipe]\ngpu = "T4"\nshardin = "none"\n')
    assert "recipe.shardin = 'none': unknown key; did you mean sharding?" in fails(2, "estimate", job)


def test_a_job_file_that_is_not_there(fails: Fails, tmp_path: Path) -> None:
    assert "none.toml" in fails(2, "plan", tmp_path / "none.toml")
    assert str(tmp_path) in fails(2, "plan", tmp_path)


def test_a_broken_line_of_a_dataset_is_named(fails: Fails, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "one"}\n{"text": "two"\n{"text": "three"}\n')
    line = fails(2, "plan", "--model", "llama-3.1-8b", "--dataset", data, "--epochs", "1")
    assert "data.jsonl" in line
    assert "2" in line
    data.write_text("")
    assert "data.jsonl" in fails(2, "plan", "--model", "llama-3.1-8b", "--dataset", data, "--epochs", "1")


def test_a_model_config_that_lacks_a_field(fails: Fails, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4}))
    line = fails(2, "plan", "--model", config, "--tokens", "1M")
    assert "config.json" in line
    config.write_text("{")
    assert "config.json" in fails(2, "plan", "--model", config, "--tokens", "1M")


def test_an_empty_price_list_is_named(fails: Fails, tmp_path: Path) -> None:
    offers = tmp_path / "offers.csv"
    offers.write_text("provider,instance_type,gpu,gpu_count,price_usd_per_hour\n")
    line = fails(9, "plan", *JOB, "--offers", offers, "--only-offers")
    assert str(offers) in line
    assert "rows = 0" in line


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_an_output_that_cannot_be_written_leaves_nothing(fails: Fails, tmp_path: Path, extra: tuple[str, ...]) -> None:
    plain = tmp_path / "plain"
    plain.write_text("keep me")
    for target in (tmp_path / "no" / "plan.json", plain / "plan.json", tmp_path):
        line = fails(2, "methods", "--output", target, *extra)
        assert "--output" in line
        assert str(target) in line
    assert plain.read_text() == "keep me"
    assert sorted(tmp_path.iterdir()) == [plain]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_respected(fails: Fails, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "--output" in fails(2, "methods", "--output", tmp_path / "methods.json")


@pytest.mark.parametrize("value", ["nan", "0", "-4", "inf", "x"])
def test_the_calculator_takes_finite_positive_numbers_only(fails: Fails, value: str) -> None:
    line = fails(
        2, "calculate", "--samples", "10", f"--tokens-per-sample={value}", "--tps-per-gpu", "5",
        "--price-per-gpu-hour", "1",
    )  # fmt: skip
    assert "tokens" in line


def test_the_calculator_names_the_flag_that_was_typed(fails: Fails) -> None:
    words = ("--tokens-per-sample", "5", "--tps-per-gpu", "5", "--price-per-gpu-hour", "1")
    assert fails(2, "calculate", *words, "--samples", "0").startswith(
        "command line: --samples = 0.0: a number above 0, at most 9007199254740991"
    )
    assert "--gpus" in fails(2, "calculate", *words, "--samples", "1", "--gpus", "-1")
    assert "--utilization" in fails(2, "calculate", *words, "--samples", "1", "--utilization", "1.5")


def test_filters_of_a_price_list_are_checked(fails: Fails) -> None:
    assert "H100-SXM-81GB" in fails(2, "prices", "list", "--gpu", "H100-SXM-81GB")
    assert "nosuchcloud" in fails(2, "prices", "list", "--provider", "nosuchcloud")
    assert "atlantis" in fails(2, "prices", "list", "--region", "atlantis")
    assert "free" in fails(2, "prices", "list", "--pricing-model", "free")
    assert "min" in fails(2, "prices", "list", "--min-gpus", "0")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "gpu"),
        (("--gpu", "nosuchchip"), "nosuchchip"),
        (("--gpu", "H100-SXM-80GB", "--gpus", "0"), "gpus"),
        (("--gpu", "H100-SXM-80GB", "--attention", "magic"), "magic"),
        (("--gpu", "H100-SXM-80GB", "--sharding", "zero9"), "zero9"),
        (("--gpu", "H100-SXM-80GB", "--offload", "tape"), "tape"),
        (("--gpu", "H100-SXM-80GB", "--loss", "huber"), "huber"),
        (("--gpu", "H100-SXM-80GB", "--micro-batch", "-2"), "micro-batch"),
        (("--gpu", "H100-SXM-80GB", "--usd-per-gpu-hour", "-1"), "usd-per-gpu-hour"),
        (("--gpu", "H100-SXM-80GB", "--method", "full", "--quantization", "4"), "16"),
        (("--gpu", "H100-SXM-80GB", "--method", "qlora", "--quantization", "16"), "4"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(fails: Fails, words: tuple[str, ...], named: str) -> None:
    assert named in fails(2, "estimate", *JOB, *words)


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (
            ("--attention", "flash"),
            "--attention = 'flash': makes no sense: FlashAttention needs compute capability 8.0",
        ),
        (("--pure-bf16",), "--pure-bf16 = true: makes no sense: T4-16GB has no bf16 units"),
        (("--sharding", "ddp"), "--sharding = 'ddp': makes no sense: ddp spreads work over several GPUs"),
        (("--offload", "nvme", "--sharding", "fsdp"), "--offload = 'nvme': makes no sense: NVMe offload exists in"),
    ],
)
def test_the_flag_at_fault_in_a_recipe_is_named(fails: Fails, words: tuple[str, ...], flag: str) -> None:
    assert flag in fails(2, "estimate", *JOB, "--gpu", "T4-16GB", *words)


def test_an_estimate_takes_one_gpu(fails: Fails) -> None:
    line = fails(2, "estimate", *JOB, "--gpu", "T4", "--gpu", "L4")
    assert line == "command line: --gpu = ['T4', 'L4']: one GPU: nothing is searched here"


def test_cases_that_cannot_be_read(fails: Fails, tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    assert fails(2, "estimate", "--cases", path).startswith(f"command line: --cases = '{path}': a readable CSV file")


def test_what_does_nothing_beside_another_flag_is_refused(fails: Fails, tmp_path: Path) -> None:
    cases = tmp_path / "cases.csv"
    cases.write_text("model\n")
    alone = "not with --cases, which reads its own file, and writes CSV"
    assert fails(2, "estimate", "--cases", cases, "--json") == f"command line: --json = true: {alone}"
    assert fails(2, "estimate", "--cases", cases, "--gpu", "T4") == f"command line: --gpu = ['T4']: {alone}"
    assert fails(2, "estimate", "job.toml", "--cases", cases) == f"command line: JOB.toml = 'job.toml': {alone}"
    alone = "not with --list-models, which takes --json and --output only"
    assert fails(2, "estimate", "--list-models", "--model", "x") == f"command line: --model = 'x': {alone}"
    assert fails(2, "estimate", "--list-models", "--cases", cases) == f"command line: --cases = '{cases}': {alone}"


def test_a_misspelt_variable_is_named(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEFARE_ONLY_OFERS", "1")
    assert "TUNEFARE_ONLY_OFERS = '1': unknown variable; did you mean TUNEFARE_ONLY_OFFERS?" in fails(2, "plan", *JOB)


def test_an_output_link_that_leads_nowhere_says_so(fails: Fails, tmp_path: Path) -> None:
    link = tmp_path / "plan.json"
    link.symlink_to(tmp_path / "gone" / "plan.json")
    line = fails(2, "methods", "--output", link)
    assert f"--output = '{link}'" in line
    assert f"it links to {tmp_path / 'gone' / 'plan.json'}, whose directory does not exist" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", [("methods",), ("methods", "--json"), ("plan", "--help"), ("prices", "list")])
def test_a_full_disk_is_one_line_and_no_bug(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", "from optimizer.cli.main import run; run()", *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "tunefare: error: the output cannot be written (No space left on device)\n"
