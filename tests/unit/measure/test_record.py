"""RUN.json: what is written is what is read, and what is wrong in it is named."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.measure.record import MeasuredRun, Readings, RunStatus, parse_run, run_document
from optimizer.measure.record_limits import LIMITS
from optimizer.physics.axes import Objective, Precision, Stack, Tuning
from optimizer.physics.recipe import Recipe
from optimizer.workload.models import ModelSpec, load_models
from providers.errors import JobError

MODELS = load_models()
RUN = MeasuredRun(
    model=MODELS.resolve("llama-3.2-1b"),
    recipe=Recipe(tuning=Tuning.LORA, bits=4, stack=Stack.HF, stack_known=True, kbit_preparation=True, row_tokens=90.5),
    gpu="L4-24GB",
    gpu_name="NVIDIA L4",
    readings=Readings(allocated_bytes=5_000_000_000, tokens_per_s=2400.5, step_s=(0.5, 0.25)),
    made_at="2026-11-24T13:00:00Z",
    source="probe",
    group="probe",
    versions={"torch": "2.14.1"},
)


def through_json(run: MeasuredRun) -> MeasuredRun:
    return parse_run(json.loads(json.dumps(run_document(run))), where="RUN.json")


def test_what_is_written_is_read() -> None:
    assert through_json(RUN) == RUN
    failed = replace(RUN, gpu=None, status=RunStatus.OUT_OF_MEMORY, error="CUDA out of memory", readings=Readings())
    assert through_json(failed) == failed
    assert json.dumps(run_document(failed)) == json.dumps(run_document(through_json(failed)))


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "mixtral-8x7b-v0.1", "gemma-2-2b", "gpt2", "falcon-7b"])
def test_every_layout_survives(name: str) -> None:
    run = replace(RUN, model=MODELS.resolve(name))
    assert through_json(run) == run


@given(
    tuning=st.sampled_from(Tuning),
    objective=st.sampled_from(Objective),
    precision=st.sampled_from(Precision),
    micro_batch=st.integers(1, 512),
    seq_len=st.integers(1, 10**6),
    fused=st.sampled_from([None, True, False]),
    speed=st.none() | st.floats(1e-3, 1e9),
)
def test_any_recipe_survives(
    *,
    tuning: Tuning,
    objective: Objective,
    precision: Precision,
    micro_batch: int,
    seq_len: int,
    fused: bool | None,
    speed: float | None,
) -> None:
    recipe = Recipe(
        tuning=tuning,
        objective=objective,
        precision=precision,
        micro_batch=micro_batch,
        seq_len=seq_len,
        fused_optimizer=fused,
        target_modules=("q_proj", "v_proj"),
    )
    run = replace(RUN, recipe=recipe, readings=Readings(tokens_per_s=speed))
    assert through_json(run) == run


def test_every_figure_of_a_record_has_its_ends() -> None:
    numbers = {f"model.{one.name}" for one in fields(ModelSpec) if str(one.type).split()[0] in {"int", "float"}}
    numbers |= {f"recipe.{one.name}" for one in fields(Recipe) if str(one.type).split()[0] in {"int", "float"}}
    assert numbers <= LIMITS.keys()
    for name in MODELS.names():
        run = replace(RUN, model=MODELS.resolve(name))
        assert through_json(run) == run, name


def changed(*path: str, value: object) -> dict[str, Any]:
    document = json.loads(json.dumps(run_document(RUN)))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ([], "(whole file)"),
        (changed("schema", value="tunefare.plan/v1"), "schema"),
        (changed("model", value=None), "model"),
        (changed("model", "hidden", value="wide"), "model.hidden"),
        (changed("model", "hidden", value=0), "model.hidden"),
        (changed("model", "heads", value=31), "model"),
        (changed("model", "layout", value="mystery"), "model.layout"),
        (changed("model", "colour", value=1), "model.colour"),
        (changed("recipe", "stack", value="fortran"), "recipe.stack"),
        (changed("recipe", "bits", value=True), "recipe.bits"),
        (changed("recipe", "bits", value=None), "recipe.bits"),
        (changed("recipe", "packing", value=1), "recipe.packing"),
        (changed("recipe", "target_modules", value="q_proj"), "recipe.target_modules"),
        (changed("recipe", "tuning", value=3), "recipe.tuning"),
        (changed("machine", "gpu", value=7), "machine.gpu"),
        (changed("machine", "gpu_name", value=7), "machine.gpu_name"),
        (changed("machine", "gpus_per_node", value=0), "machine.gpus_per_node"),
        (changed("machine", "nodes", value=True), "machine.nodes"),
        (changed("status", value="fine"), "status"),
        (changed("readings", "tokens_per_s", value=-1), "readings.tokens_per_s"),
        (changed("readings", "allocated_bytes", value=0), "readings.allocated_bytes"),
        (changed("readings", "step_s", value=3), "readings.step_s"),
        (changed("readings", "mood", value=3), "readings.mood"),
        (changed("readings", "tokens_per_s", value=1e300), "readings.tokens_per_s"),
        (changed("readings", "tokens_per_s", value=float("nan")), "readings.tokens_per_s"),
        (changed("readings", "allocated_bytes", value=10**17), "readings.allocated_bytes"),
        (changed("readings", "step_s", value=[0.5, None]), "readings.step_s"),
        (changed("readings", "step_s", value=[float("inf")]), "readings.step_s"),
        (changed("model", "layout", value=["llama"]), "model.layout"),
        (changed("model", "layout", value={"a": 1}), "model.layout"),
        (changed("model", "layout", value=None), "model.layout"),
        (changed("model", "layers", value=10**15), "model.layers"),
        (changed("model", "vocab", value=10**5000), "model.vocab"),
        (changed("machine", "gpus_per_node", value=10**12), "machine.gpus_per_node"),
        (changed("machine", "nodes", value=10**5000), "machine.nodes"),
        (changed("machine", "network_bytes_per_s", value=float("inf")), "machine.network_bytes_per_s"),
        (changed("recipe", "seq_len", value=0), "recipe.seq_len"),
        (changed("recipe", "seq_len", value=-5), "recipe.seq_len"),
        (changed("recipe", "seq_len", value=10**400), "recipe.seq_len"),
        (changed("recipe", "micro_batch", value=0), "recipe.micro_batch"),
        (changed("recipe", "micro_batch", value=10**7), "recipe.micro_batch"),
        (changed("recipe", "grad_accum", value=0), "recipe.grad_accum"),
        (changed("recipe", "lora_rank", value=-4), "recipe.lora_rank"),
        (changed("recipe", "lora_rank", value=0), "recipe.lora_rank"),
        (changed("recipe", "prompt_tokens", value=-1), "recipe.prompt_tokens"),
        (changed("recipe", "padding_factor", value=0.5), "recipe.padding_factor"),
        (changed("recipe", "padding_factor", value=float("nan")), "recipe.padding_factor"),
        (changed("recipe", "padding_factor", value=10**400), "recipe.padding_factor"),
        (changed("recipe", "row_tokens", value=float("nan")), "recipe.row_tokens"),
        (changed("recipe", "row_tokens", value=0), "recipe.row_tokens"),
        (changed("recipe", "row_tokens", value=-3.0), "recipe.row_tokens"),
        (changed("recipe", "row_tokens", value=2049), "recipe.row_tokens"),
    ],
)
def test_what_is_wrong_is_named(document: object, key: str) -> None:
    with pytest.raises(JobError) as caught:
        parse_run(document, where="RUN.json")
    assert caught.value.key == key
    assert caught.value.where == "RUN.json"
    assert "\n" not in str(caught.value)


def test_a_reading_that_was_not_taken_is_unknown_and_not_zero() -> None:
    document = changed("readings", "allocated_bytes", value=None)
    assert parse_run(document, where="RUN.json").readings.allocated_bytes is None
