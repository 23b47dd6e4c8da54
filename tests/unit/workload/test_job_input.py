"""The job as written: kinds, ranges, the file, and flags over it."""

from __future__ import annotations

import ast
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from optimizer.physics import axes
from optimizer.workload import matrices, vocabulary
from optimizer.workload.job_file import read_job_file
from optimizer.workload.job_input import GB_MAX, TOKENS_MAX, USD_MAX, JobInput
from providers.errors import JobError

FLAGS = """
model tokens samples tokens_per_sample epochs dataset seq_len global_batch packing runs method quantization
objective lora_rank target_modules optimizer stack pairs prompt_tokens response_tokens rollouts reward_model
deadline confidence budget quality_floor max_complexity provider region gpu exclude_gpu max_gpus max_nodes
pricing_model max_price_age executor offers only_offers discounts usd_per_gpu_hour setup_minutes data_gb
egress_gb disk_gb checkpoint_every eval_fraction failed_run_multiplier labelling_usd preference_usd
evaluation_usd oncall_usd top now name tokenizer loss attention recipe calibrate_with robust simulate seed quota
account charge dataset_digest policy requote
""".split()  # noqa: SIM905  # sixty words read better than sixty strings


def read(**values: object) -> JobInput:
    return JobInput.from_mapping(values, where="job.toml")


def test_every_job_flag_is_a_field() -> None:
    assert set(JobInput.model_fields) == set(FLAGS)
    assert JobInput().said() == {}
    assert all(field.description for field in JobInput.model_fields.values())


def test_repeatable_flags_take_one_value_several_or_a_list_with_commas() -> None:
    assert read(method="qlora").method == ["qlora"]
    assert read(method="QLoRA, dora").method == ["qlora", "dora"]
    assert read(method=["full", "lora"]).method == ["full", "lora"]
    assert read(quantization=4).quantization == [4]
    assert read(quantization="16,4").quantization == [16, 4]
    assert read(target_modules="q_proj,v_proj").target_modules == ["q_proj", "v_proj"]
    assert read(gpu="A100-SXM-80GB").gpu == ["A100-SXM-80GB"]
    assert read(pricing_model="On-Demand,spot").pricing_model == ["on_demand", "spot"]


def test_money_is_exact() -> None:
    assert read(budget=500).budget == Decimal(500)
    assert read(budget=0.1).budget == Decimal("0.1")
    assert read(budget="$12.345").budget == Decimal("12.345")
    assert read(discounts={"aws": 0.2}).discounts == {"aws": Decimal("0.2")}


def test_words_are_read_in_any_case() -> None:
    assert read(objective="DPO", stack="Unsloth", quality_floor="Med-High").said() == {
        "objective": "dpo",
        "stack": "unsloth",
        "quality_floor": "med-high",
    }


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("tokens", 0, "a whole number from 1 to 10000000000000"),
        ("tokens", -5, "a whole number from 1"),
        ("tokens", 10**16, "a whole number from 1"),
        ("tokens", 1.5, "a whole number from 1"),
        ("tokens", True, "a whole number from 1"),
        ("tokens", "12", "a whole number from 1"),
        ("epochs", 0, "a whole number from 1 to 10000"),
        ("lora_rank", 0, "a whole number from 1 to 4096"),
        ("loss", "huber", "standard, triton or fused"),
        ("attention", "ring", "flash, sdpa or eager"),
        ("recipe", 3, "a table of single values"),
        ("data_gb", 9_000_001, "gigabytes (10^9 bytes) from 0 to 9000000"),
        ("labelling_usd", 10**9 + 1, "dollars from 0 to 1000000000"),
        ("packing", "yes", "true or false"),
        ("packing", 1, "true or false"),
        ("method", "lorra", "any of full, lora, qlora, dora, rslora"),
        ("method", [], "any of full"),
        ("quantization", 5, "any of 16, 8, 4"),
        ("quantization", "four", "any of 16, 8, 4"),
        ("objective", "grpo", "sft, dpo or ppo"),
        ("optimizer", "lion", "adamw, adamw-8bit"),
        ("confidence", 0, "a number between 0 and 1, both excluded"),
        ("confidence", 1.0, "a number between 0 and 1, both excluded"),
        ("confidence", float("nan"), "a number between 0 and 1"),
        ("confidence", "0.9", "a number between 0 and 1"),
        ("budget", 0, "dollars above 0, at most"),
        ("budget", -3, "dollars above 0"),
        ("budget", float("inf"), "dollars above 0"),
        ("budget", "NaN", "dollars above 0"),
        ("budget", "much", "dollars above 0"),
        ("budget", True, "dollars above 0"),
        ("budget", 10**13, "dollars above 0"),
        ("eval_fraction", 1.5, "a number from 0 to 1"),
        ("setup_minutes", -1, "minutes from 0"),
        ("setup_minutes", float("inf"), "minutes from 0"),
        ("failed_run_multiplier", 0.5, "a number from 1 to 100"),
        ("labelling_usd", -1, "dollars from 0"),
        ("deadline", 36, "a span such as 36h"),
        ("model", "", "a model name"),
        ("gpu", 3, "GPU ids"),
        ("executor", "me", "none, policy or skypilot"),
        ("max_complexity", "insane", "low, medium, high, very-high"),
        ("discounts", 3, "a table of provider = fraction"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(key: str, value: object, allowed: str) -> None:
    with pytest.raises(JobError) as caught:
        read(**{key: value})
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    assert str(caught.value).startswith(f"job.toml: {key} = {shown}: {allowed}")
    assert caught.value.exit_code == 2


def test_a_wrong_entry_of_a_table_is_named() -> None:
    with pytest.raises(JobError, match=r"job\.toml: discounts\.aws = 1: a table of provider = fraction"):
        read(discounts={"gcp": 0.1, "aws": 1})


def test_of_several_the_wrong_one_is_shown() -> None:
    with pytest.raises(JobError, match=r"job\.toml: method = 'magic': any of full"):
        read(method=["lora", "magic"])
    with pytest.raises(JobError, match=r"job\.toml: pricing_model = 'foo': any of on_demand, spot$"):
        read(pricing_model="spot,foo")
    with pytest.raises(JobError, match=r"job\.toml: gpu = '': GPU ids"):
        read(gpu=["T4", ""])


def test_an_unknown_key_names_the_one_that_was_meant() -> None:
    with pytest.raises(JobError, match=r"job\.toml: tokns = 5: unknown key; did you mean tokens\?"):
        read(tokns=5, method="nonsense")
    with pytest.raises(JobError, match=r"zzz = 5: unknown key; known are name, model, tokens"):
        read(zzz=5)


def test_no_bound_lets_a_figure_outgrow_a_json_document() -> None:
    assert USD_MAX * 10**6 * 4 < 2**53  # four hidden costs beside each other, in micro-dollars
    assert GB_MAX * 10**9 < 2**53
    assert TOKENS_MAX < 2**53


def test_the_python_interface_complains_in_the_same_way() -> None:
    with pytest.raises(JobError, match="job: tokens = -1: a whole number from 1"):
        JobInput(tokens=-1)
    assert JobInput(model="x", budget=5).said() == {"model": "x", "budget": Decimal(5)}  # type: ignore[arg-type]


def test_flags_go_over_the_file() -> None:
    file = read(model="a", samples=10, tokens_per_sample=20, epochs=3, deadline="24h", confidence=0.8)
    assert file.overridden_by(None) is file
    assert file.overridden_by(read(confidence=0.5, epochs=1)).said() == {
        "model": "a", "samples": 10, "tokens_per_sample": 20, "epochs": 1, "deadline": "24h", "confidence": 0.5,
    }  # fmt: skip
    # Another way to say how much data there is puts the first one aside.
    tokens = file.overridden_by(read(tokens=500))
    assert (tokens.tokens, tokens.samples, tokens.epochs, tokens.tokens_per_sample) == (500, None, None, 20)
    dataset = file.overridden_by(read(dataset="d.jsonl"))
    assert (dataset.dataset, dataset.samples, dataset.epochs, dataset.tokens_per_sample) == ("d.jsonl", None, 3, None)


def toml(folder: Path, text: str) -> Path:
    path = folder / "job.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_job_file_is_read(tmp_path: Path) -> None:
    job = read_job_file(
        toml(
            tmp_path,
            'model = "llama-3.1-8b"\ntokens = 14_000_000\nmethod = ["lora", "qlora"]\nbudget = 499.99\n'
            "deadline = 2026-12-01T08:00:00Z\nonly_offers = true\n[discounts]\naws = 0.1\n",
        )
    )
    assert job.said() == {
        "model": "llama-3.1-8b",
        "tokens": 14_000_000,
        "method": ["lora", "qlora"],
        "deadline": datetime(2026, 12, 1, 8, tzinfo=UTC),
        "budget": Decimal("499.99"),
        "only_offers": True,
        "discounts": {"aws": Decimal("0.1")},
    }


def test_paths_in_a_job_file_are_relative_to_it(tmp_path: Path) -> None:
    path = toml(
        tmp_path,
        'model = "./mine/config.json"\nreward_model = "org/name"\ndataset = "d.jsonl"\ntokenizer = "/abs/t.json"\n'
        'offers = "own.csv"',
    )
    job = read_job_file(path)
    assert job.model == str(tmp_path / "mine/config.json")
    assert job.reward_model == "org/name"
    assert job.dataset == str(tmp_path / "d.jsonl")
    assert job.tokenizer == "/abs/t.json"
    assert job.offers == str(tmp_path / "own.csv")


def test_a_model_folder_beside_the_job_file_is_found_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "org" / "mine").mkdir(parents=True)
    (tmp_path / "org" / "mine" / "config.json").write_text("{}")
    job = read_job_file(toml(tmp_path, 'model = "org/mine"\nreward_model = "org/other"'))
    assert (job.model, job.reward_model) == (str(tmp_path / "org/mine"), "org/other")


def test_a_job_file_may_carry_a_recipe(tmp_path: Path) -> None:
    job = read_job_file(toml(tmp_path, 'model = "a"\n[recipe]\ngpu = "T4"\ngpus = 2\npure_bf16 = false\n'))
    assert job.recipe == {"gpu": "T4", "gpus": 2, "pure_bf16": False}
    with pytest.raises(JobError, match=r"recipe\.gpus = .*: a table of single values"):
        read(recipe={"gpus": [1, 2]})


def test_a_job_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"job file: path = .*gone\.toml.*a readable TOML file \(No such file"):
        read_job_file(tmp_path / "gone.toml")
    with pytest.raises(JobError, match="a readable TOML file"):
        read_job_file(tmp_path)
    with pytest.raises(JobError, match=r"job\.toml: syntax = .*a TOML file: key = value"):
        read_job_file(toml(tmp_path, "model = \n"))
    (tmp_path / "job.toml").write_bytes(b'model = "\xff"')
    with pytest.raises(JobError, match=r"job\.toml: encoding = 'not UTF-8': a TOML file in UTF-8"):
        read_job_file(tmp_path / "job.toml")
    with pytest.raises(JobError, match=r"job\.toml: epoch = 4: unknown key; did you mean epochs\?") as caught:
        read_job_file(toml(tmp_path, "epoch = 4\n"))
    assert str(tmp_path / "job.toml") in str(caught.value)
    with pytest.raises(JobError, match=r"job = .*unknown key"):
        read_job_file(toml(tmp_path, '[[job]]\nmodel = "a"\n'))


def test_the_words_of_a_job_are_those_of_the_vocabulary() -> None:
    assert read(method=list(vocabulary.METHODS)).method == list(vocabulary.METHODS)
    assert set(vocabulary.METHOD_BITS) == set(vocabulary.METHODS)
    for key, words in (
        ("objective", vocabulary.OBJECTIVES),
        ("optimizer", vocabulary.OPTIMIZERS),
        ("stack", vocabulary.STACKS),
        ("loss", vocabulary.LOSSES),
        ("attention", vocabulary.ATTENTIONS),
        ("executor", vocabulary.EXECUTORS),
        ("quality_floor", matrices.QUALITY_ORDER),
        ("max_complexity", matrices.COMPLEXITY_ORDER),
    ):
        for word in words:
            assert getattr(read(**{key: word}), key) == word
    assert read(quantization=list(vocabulary.QUANTIZATION_BITS)).quantization == [16, 8, 4]
    assert read(pricing_model=list(vocabulary.PRICING_MODELS)).pricing_model == ["on_demand", "spot"]


def test_the_words_of_a_job_mean_something_in_physics() -> None:
    assert set(vocabulary.METHODS) - {"qlora"} == set(axes.Tuning)
    assert set(vocabulary.OBJECTIVES) == set(axes.Objective)
    assert set(vocabulary.OPTIMIZERS) == set(axes.Optimizer)
    assert set(vocabulary.STACKS) == set(axes.Stack)
    assert set(vocabulary.LOSSES) == set(axes.Loss)
    assert set(vocabulary.ATTENTIONS) == set(axes.Attention)


def test_only_the_edges_import_pydantic() -> None:
    workload = Path(vocabulary.__file__).parent
    importers = {
        path.name
        for path in workload.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "pydantic"
    }
    assert importers == {"job_input.py", "input_errors.py"}
    code = "import sys, optimizer.workload.job, optimizer.workload.models; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=workload.parents[1], check=False).returncode == 0
