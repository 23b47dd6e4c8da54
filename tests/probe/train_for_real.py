"""Runs in the environment with torch: trains tiny models by every recipe that a CPU can do, and writes what came out.

One process for all of them, because importing torch takes longer than training. Not a test: `test_training.py` starts
it and judges what it writes.
"""

from __future__ import annotations

import gc
import io
import json
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.cli.main import main
from optimizer.measure.probe import run_probe
from optimizer.measure.probe_case import ProbeTask, prepare_case, read_case
from optimizer.measure.probe_device import ProbeUnavailable, open_device, prepare_imports
from optimizer.measure.probe_load import load
from optimizer.measure.probe_model import FAMILIES
from optimizer.measure.probe_steps import fused_adamw, run_steps
from optimizer.physics.axes import Attention
from optimizer.workload.models import ModelSpec, load_models
from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY = str(Path(__file__).parents[1] / "fixtures" / "probe-tiny" / "config.json")
BASE = {"model": TINY, "device": "cpu", "seq_len": 48, "steps": 2, "warmup": 1}
QV = "q_proj,v_proj"

RECIPES: dict[str, dict[str, object]] = {
    "full": {"method": "full"},
    "full-pure": {"method": "full", "pure_bf16": True},
    "full-no-checkpointing": {"method": "full", "checkpointing": False},
    "full-adafactor": {"method": "full", "optimizer": "adafactor"},
    "full-sgd": {"method": "full", "optimizer": "sgd"},
    "full-8bit-adam": {"method": "full", "optimizer": "adamw-8bit"},
    "lora": {},
    "lora-qv": {"target_modules": QV, "lora_rank": 8},
    "lora-head": {"target_modules": "q_proj,embed_tokens", "lora_rank": 4},
    "lora-eager": {"attention": "eager", "checkpointing": False},
    "lora-accumulated": {"micro_batch": 2, "grad_accum": 3},
    "lora-pure": {"pure_bf16": True},
    "lora-prepared": {"kbit_preparation": True},
    "lora-two-layers": {"layers": 2},
    "dora": {"method": "dora"},
    "dora-qv": {"method": "dora", "target_modules": QV, "lora_rank": 64},
    "rslora": {"method": "rslora"},
    "qlora": {"method": "qlora"},
    "qlora-pure": {"method": "qlora", "pure_bf16": True},
    "qlora-unprepared": {"method": "qlora", "kbit_preparation": False},
    "qdora": {"method": "dora", "quantization": 4},
    "lora-8bit": {"quantization": 8},
    "dpo-lora": {"objective": "dpo", "micro_batch": 2},
    "dpo-qlora": {"objective": "dpo", "method": "qlora"},
    "dpo-full": {"objective": "dpo", "method": "full"},
    "dpo-full-pure": {"objective": "dpo", "method": "full", "pure_bf16": True, "grad_accum": 2},
}

REFUSED: dict[str, dict[str, object]] = {
    "flash": {"attention": "flash"},
    "fused": {"loss": "fused"},
    "paged": {"optimizer": "paged-adamw-8bit"},
    "no-gpu": {"device": "cuda"},
    "unknown-code": {"model": "unknown"},
}


def write_answers() -> None:
    folder = Path(sys.argv[1])
    prepare_imports()
    # The command keeps advice for trainers off the terminal; what is loaded past it here would not.
    warnings.simplefilter("ignore")
    answers = {
        "recipes": {name: measured(BASE | case, name) for name, case in RECIPES.items()},
        "refused": {name: refusal(BASE | case, folder) for name, case in REFUSED.items()},
        "experts": measured(BASE | {"model": experts(folder), "method": "qlora"}, "x"),
        "families": {spec.layout.family: family(spec, folder) for spec in tiny_models()},
        "fused_adamw": fused_adamw(),
        "twice": [losses(folder), losses(folder)],
        "command": command(folder),
    }
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


def measured(values: dict[str, object], name: str) -> dict[str, object]:
    """Return the RUN.json of a case, and put what is alive after it out of the garbage collector's sight.

    A probe collects garbage when it ends. What the libraries brought along stays for good, and looking through it
    again after every case would take longer than the training.
    """
    document = run_probe(read_case(values, where=name), made_at="now").document()
    gc.freeze()
    return document


def refusal(values: dict[str, object], folder: Path) -> str:
    if values["model"] == "unknown":
        # A shape that our reader knows and transformers needs foreign code for.
        place = folder / "internlm2"
        place.mkdir()
        shape = json.loads(Path(TINY).read_text(encoding="utf-8")) | {"model_type": "internlm2", "bias": False}
        (place / "config.json").write_text(json.dumps(shape), encoding="utf-8")
        values = values | {"model": str(place)}
    if values["device"] == "cuda":
        import torch

        # Where there is a GPU, this one is told not to be.
        torch.cuda.is_available = lambda: False
    try:
        run_probe(read_case(values, where="x"), made_at="now")
    except (ProbeUnavailable, JobError) as err:
        return str(err)
    return ""


def experts(folder: Path) -> str:
    """Return the path of a mixture of experts, which the table does not build and a config.json does."""
    (folder / "experts").mkdir()
    shape = json.loads(Path(TINY).read_text(encoding="utf-8"))
    shape |= {"model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    (folder / "experts" / "config.json").write_text(json.dumps(shape | {"head_dim": 16}), encoding="utf-8")
    return str(folder / "experts")


def tiny_models() -> Iterator[ModelSpec]:
    """Yield one small model of every family that is built from the table, with the switches of a real one."""
    seen = set()
    for spec in load_models().by_name.values():
        family = spec.layout.family
        if family not in FAMILIES or spec.moe_experts or family in seen:
            continue
        seen.add(family)
        yield replace(
            spec,
            name=f"tiny {family}",
            layers=2,
            hidden=64,
            intermediate=96,
            heads=4,
            kv_heads=4 if spec.kv_heads == spec.heads else 2,
            head_dim=16,
            vocab=128,
            context=64,
            position_table=66 if family.startswith("opt") else 64 if spec.position_table else 0,
            embedding_dim=32 if spec.embedding_dim else 0,
            published_params=None,
        )


def family(spec: ModelSpec, folder: Path) -> dict[str, object]:
    """Return what was built of a small model, what was to be built, and the seconds of a step."""
    case = read_case({"model": "llama-3.2-1b", "seq_len": 16, "steps": 1, "warmup": 0, "lora_rank": 4}, where="x")
    recipe = prepare_case(case, where="x").recipe
    task = ProbeTask(case=case, model=spec, recipe=recipe, config=None, whole_layers=2)
    device = open_device("cpu")
    try:
        loaded = load(task, device, folder)
    except JobError as err:
        if err.key != "attention":
            raise
        task = replace(task, recipe=replace(recipe, attention=Attention.EAGER))
        loaded = load(task, device, folder)
    return {
        "built": loaded.built_params,
        "counted": spec.total_params,
        "trained": loaded.trained_params,
        "adapter": spec.adapter(4, ("all-linear",)).params,
        "seconds": list(run_steps(loaded, task, device)),
        "notes": loaded.notes,
    }


def losses(folder: Path) -> list[float]:
    """Return the losses over a few steps on the same few tokens: training has to bring them down."""
    import torch

    case = read_case(BASE | {"method": "full", "checkpointing": False}, where="x")
    task = prepare_case(case, where="x")
    model = load(task, open_device("cpu"), folder).model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    tokens = torch.arange(32).reshape(1, 32)
    found = []
    for _ in range(4):
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        found.append(round(loss.item(), 6))
    return found


def command(folder: Path) -> list[object]:
    """Return exit code, stdout and stderr of one case on the command line, whose RUN.json goes into `folder`."""
    out, err = io.StringIO(), io.StringIO()
    words = ["probe", "--model", str(Path(TINY).parent), "--device", "cpu", "--seq-len", "32", "--method", "dora"]
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always")
        code = main([*words, "--steps", "2", "--warmup", "0", "--output", str(folder / "RUN.json")])
    return [code, out.getvalue(), err.getvalue()]


if __name__ == "__main__":
    write_answers()
