"""A case in words becomes a model and a recipe, or one line that names what is wrong; torch is not needed for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optimizer.measure.probe_case import ProbeCase, prepare_case, read_case
from optimizer.measure.probe_model import FAMILIES, config_settings, note_of_count
from optimizer.physics.axes import Checkpointing, Loss, Objective, Precision, Stack, Tuning
from optimizer.workload.models import LAYOUTS, load_models
from providers.errors import JobError, KnowledgeMissing

FIXTURES = Path(__file__).parents[2] / "fixtures"
TINY = str(FIXTURES / "probe-tiny" / "config.json")


def prepared(**values: object) -> Any:
    return prepare_case(read_case({"model": "llama-3.2-1b", **values}, where="grid.toml"), where="grid.toml")


def test_a_bare_case_is_lora_on_everything_as_the_command_line_says() -> None:
    recipe = prepared().recipe
    assert (recipe.tuning, recipe.bits, recipe.objective) == (Tuning.LORA, 16, Objective.SFT)
    assert (recipe.lora_rank, recipe.target_modules) == (16, ("all-linear",))
    assert (recipe.seq_len, recipe.micro_batch, recipe.grad_accum) == (2048, 1, 1)
    assert (recipe.precision, recipe.checkpointing) == (Precision.BF16_MIXED, Checkpointing.FULL)
    assert (recipe.stack, recipe.stack_known) == (Stack.HF, True)
    assert recipe.kbit_preparation is False


def test_qlora_means_four_bits_prepared_as_peft_does_it() -> None:
    recipe = prepared(method="qlora").recipe
    assert (recipe.tuning, recipe.bits, recipe.method, recipe.kbit_preparation) == (Tuning.LORA, 4, "qlora", True)
    assert prepared(method="qlora", pure_bf16=True).recipe.kbit_preparation is False
    assert prepared(quantization=8, kbit_preparation=False).recipe.kbit_preparation is False


def test_dpo_rows_are_half_prompt_half_answer() -> None:
    recipe = prepared(objective="dpo", seq_len=101).recipe
    assert (recipe.prompt_tokens, recipe.response_tokens) == (51, 50)


def test_full_fine_tuning_has_no_adapter_to_speak_of() -> None:
    recipe = prepared(method="full", lora_rank=99, target_modules="q_proj").recipe
    assert (recipe.lora_rank, recipe.target_modules) == (16, ("all-linear",))


def test_a_chip_without_bf16_computes_in_fp16() -> None:
    case = read_case({"model": "llama-3.2-1b", "pure_bf16": True}, where="x")
    assert prepare_case(case, where="x", half="fp16").recipe.precision is Precision.FP16_PURE


def test_a_cut_model_says_so_wherever_it_goes() -> None:
    task = prepared(layers=3)
    assert (task.model.layers, task.whole_layers) == (3, 16)
    assert task.model.name == "Llama-3.2-1B (3 of 16 layers)"
    assert (task.model.hf_id, task.model.published_params) == ("", None)
    assert "cut to 3 of 16 layers" in task.model.notes
    assert prepared(layers=16).model == prepared().model


def test_a_row_is_as_long_as_a_short_context_allows() -> None:
    assert prepared(model=TINY).recipe.seq_len == 1024


def test_a_folder_with_a_config_is_a_model() -> None:
    task = prepared(model=str(FIXTURES / "probe-tiny"))
    assert task.config == FIXTURES / "probe-tiny" / "config.json"
    assert task.model.layers == 3


def test_modules_come_as_a_list_or_in_one_word() -> None:
    said, listed = prepared(target_modules="q_proj, v_proj"), prepared(target_modules=["q_proj", "v_proj"])
    assert said.recipe.target_modules == listed.recipe.target_modules == ("q_proj", "v_proj")


@pytest.mark.parametrize(
    ("values", "key", "says"),
    [
        ({"lora_rnak": 3}, "lora_rnak", "did you mean lora_rank?"),
        ({"zebra": 3}, "zebra", "known are model, method"),
        ({"model": None}, "model", "path of its config.json"),
        ({"model": "  "}, "model", "path of its config.json"),
        ({"method": "lokr"}, "method", "one of full, lora, dora, rslora, qlora"),
        ({"method": 3}, "method", "one of full"),
        ({"objective": "ppo"}, "objective", "one of sft, dpo"),
        ({"loss": "triton"}, "loss", "one of standard, fused"),
        ({"device": "tpu"}, "device", "one of cpu, cuda"),
        ({"quantization": 5}, "quantization", "one of 16, 8, 4"),
        ({"quantization": 32}, "quantization", "from 4 to 16"),
        ({"micro_batch": 0}, "micro_batch", "a whole number from 1"),
        ({"micro_batch": True}, "micro_batch", "a whole number"),
        ({"micro_batch": 2.0}, "micro_batch", "a whole number"),
        ({"steps": 0}, "steps", "from 1"),
        ({"warmup": -1}, "warmup", "from 0"),
        ({"checkpointing": "yes"}, "checkpointing", "true or false"),
        ({"target_modules": ""}, "target_modules", "all-linear, or names"),
        ({"target_modules": []}, "target_modules", "all-linear, or names"),
        ({"target_modules": [3]}, "target_modules", "all-linear, or names"),
        ({"target_modules": "all-linear,lm_head"}, "target_modules", "alone"),
        ({"target_modules": "q_proj,foo"}, "target_modules", "any of q_proj"),
        ({"method": "qlora", "quantization": 8}, "quantization", "4 with method qlora"),
        ({"method": "full", "quantization": 4}, "quantization", "trains every weight"),
        ({"method": "full", "kbit_preparation": True}, "kbit_preparation", "not with full"),
        ({"pure_bf16": True, "kbit_preparation": True}, "kbit_preparation", "not with --pure-bf16"),
        ({"objective": "dpo", "loss": "fused"}, "loss", "standard with objective dpo"),
        ({"seq_len": 200_000}, "seq_len", "at most 131072, the context of Llama-3.2-1B"),
        ({"layers": 17}, "layers", "at most 16, the layers of Llama-3.2-1B"),
        ({"model": "mixtral-8x7b"}, "model", "a mixture of experts is not built from the table"),
        ({"model": "falcon-7b"}, "model", "the family falcon is not built from the table"),
    ],
)
def test_what_makes_no_sense_is_named(values: dict[str, object], key: str, says: str) -> None:
    with pytest.raises(JobError) as caught:
        prepared(**values)
    assert (caught.value.where, caught.value.key) == ("grid.toml", key)
    assert says in caught.value.allowed


def test_an_unknown_model_has_close_names() -> None:
    with pytest.raises(KnowledgeMissing, match="close: meta-llama/Llama-3"):
        prepared(model="llama-3.9-1b")


def test_every_mapped_family_is_one_of_the_table() -> None:
    assert set(FAMILIES) <= set(LAYOUTS)
    models = load_models().by_name.values()
    mapped = [spec for spec in models if spec.layout.family in FAMILIES and not spec.moe_experts]
    assert len(mapped) > 100
    for spec in mapped:
        model_type, settings = config_settings(spec, where="x", named=spec.name)
        assert model_type
        assert settings["vocab_size"] == spec.vocab


def test_a_count_that_differs_is_said_and_one_that_agrees_is_not() -> None:
    model = prepared().model
    assert note_of_count(model.total_params, model) is None
    assert "1,235,814,399 parameters, its recorded shape counts 1,235,814,400" in str(
        note_of_count(model.total_params - 1, model)
    )


def test_fields_are_the_words_of_the_command_line() -> None:
    assert ProbeCase(model="x").loss == Loss.STANDARD
