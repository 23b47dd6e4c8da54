"""The wild texts of measured cases, one by one, and the shapes and machines that rows name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optimizer.app.case_fields import number, whole
from optimizer.app.case_machines import case_machine
from optimizer.app.case_models import ModelIndex, case_model, index_models
from optimizer.app.case_parsing import Case, parse_case
from optimizer.physics.axes import (
    Attention,
    Checkpointing,
    Loss,
    Objective,
    Offload,
    Optimizer,
    Precision,
    Sharding,
    Stack,
    Tuning,
)
from optimizer.workload.models import load_models
from providers.errors import JobError, KnowledgeMissing
from providers.gpus import load_gpus
from providers.units import GIB

if TYPE_CHECKING:
    from providers.gpus import GpuTable

ROW = {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "stack": "hf",
    "method": "lora",
    "precision": "bf16",
    "lora_rank": "16",
    "target_modules": "q_proj,v_proj",
    "optimizer": "adamw",
    "micro_batch": "4",
    "grad_accum": "2",
    "seq_len": "4096",
    "packing": "packed",
    "grad_checkpointing": "yes",
    "attention": "flash2",
    "gpu": "A100-80GB",
    "gpu_mem_gib": "80",
    "num_gpus": "1",
}
LLAMA_7B_SHAPE = {"layers": "32", "hidden": "4096", "heads": "32", "kv_heads": "32", "vocab": "32000"}


@pytest.fixture(scope="module")
def models() -> ModelIndex:
    return index_models(load_models())


@pytest.fixture(scope="module")
def gpus() -> GpuTable:
    return load_gpus()


def parsed(models: ModelIndex, gpus: GpuTable, **changes: str) -> Case:
    return parse_case({**ROW, **changes}, models=models, gpus=gpus)


def test_a_row_that_says_everything_assumes_nothing(models: ModelIndex, gpus: GpuTable) -> None:
    case = parsed(models, gpus)
    recipe = case.recipe
    assert case.model.name == "Llama-3.1-8B"
    assert case.machine.gpu.id == "A100-SXM-80GB"
    assert case.gpu_known
    assert case.assumed == ()
    assert (recipe.tuning, recipe.bits, recipe.objective) == (Tuning.LORA, 16, Objective.SFT)
    assert (recipe.micro_batch, recipe.grad_accum, recipe.seq_len) == (4, 2, 4096)
    assert recipe.target_modules == ("q_proj", "v_proj")
    assert (recipe.packing, recipe.variable_length) == (True, False)
    assert (recipe.stack, recipe.stack_known, recipe.sharding) == (Stack.HF, True, Sharding.NONE)
    assert recipe.attention is Attention.FLASH


@pytest.mark.parametrize(
    ("method", "quant", "expected"),
    [
        ("full", "", (Tuning.FULL, Objective.SFT, 16)),
        ("full (pretrain)", "", (Tuning.FULL, Objective.SFT, 16)),
        ("dpo+full", "", (Tuning.FULL, Objective.DPO, 16)),
        ("ppo+lora", "", (Tuning.LORA, Objective.PPO, 16)),
        ("qlora", "", (Tuning.LORA, Objective.SFT, 4)),
        ("qlora (nf4 dq)", "4bit bnb", (Tuning.LORA, Objective.SFT, 4)),
        ("qlora", "gptq-int4", (Tuning.LORA, Objective.SFT, 4)),
        ("lora", "hqq-4bit", (Tuning.LORA, Objective.SFT, 4)),
        ("lora-int8 (bnb LLM.int8)", "8bit bnb", (Tuning.LORA, Objective.SFT, 8)),
        ("lora-int8", "", (Tuning.LORA, Objective.SFT, 8)),
        ("dora", "int8 bnb", (Tuning.DORA, Objective.SFT, 8)),
        ("rslora", "", (Tuning.RSLORA, Objective.SFT, 16)),
        ("lora+", "", (Tuning.LORA, Objective.SFT, 16)),
    ],
)
def test_methods_and_widths(
    models: ModelIndex, gpus: GpuTable, method: str, quant: str, expected: tuple[Tuning, Objective, int]
) -> None:
    recipe = parsed(models, gpus, method=method, quant=quant).recipe
    assert (recipe.tuning, recipe.objective, recipe.bits) == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": "grpo+lora"}, "objective 'grpo': not modelled"),
        ({"method": "llamapro"}, "method 'llamapro': not modelled"),
        ({"method": ""}, "the row states no method"),
        ({"quant": "2bit-quip"}, "quantization '2bit-quip': not modelled"),
        ({"method": "full", "optimizer": "dist_muon"}, "optimizer 'dist_muon': not modelled"),
        ({"method": "full", "optimizer": "torchao 4-bit AdamW"}, "not modelled"),
        ({"precision": "NVFP4"}, "4-bit floating-point training is not modelled"),
        ({"precision": "INT8 QT eager"}, "int8 training is not modelled"),
        ({"parallelism": "megatron tp=2 pp=1 cp=1 ep=8", "num_gpus": "8"}, "not modelled (tp=2, ep=8)"),
        ({"parallelism": "fsdp32 tp8", "num_gpus": "256"}, "tensor/pipeline/expert parallel: not modelled (tp=8)"),
        ({"parallelism": "megatron tp2, ep8, pp32, vpp3"}, "not modelled (tp=2, ep=8, pp=32)"),
        ({"notes": "framework_config=moe-scattermoe-granite-ep4-padding-free"}, "not modelled (ep=4)"),
        ({"parallelism": "device_map", "num_gpus": "2"}, "device_map"),
        ({"target_modules": "nonsense,foo"}, "none of them is in Llama-3.1-8B"),
        ({"model": "Nobody/Secret-9B"}, "lacks layers, hidden, heads or vocab"),
        ({"model": "Nobody/Secret-4x9B", **LLAMA_7B_SHAPE}, "does not state its experts"),
        ({"model": "odd", **LLAMA_7B_SHAPE, "params_b": "70"}, "params_b 70 does not go with"),
        ({"model": "odd", **LLAMA_7B_SHAPE, "kv_heads": "5"}, "the row's own shape makes no sense"),
        ({"method": "full", "quant": "nf4"}, "the recipe makes no sense"),
    ],
)
def test_what_is_not_modelled_says_so(models: ModelIndex, gpus: GpuTable, changes: dict[str, str], reason: str) -> None:
    with pytest.raises(KnowledgeMissing) as caught:
        parsed(models, gpus, **changes)
    assert reason in str(caught.value)


@pytest.mark.parametrize("degrees", ["megatron tp=1 pp=1 cp=1 ep=1", "fsdp2", "deepspeed zero2, vp=4", "fsdp8"])
def test_degrees_of_one_and_versions_are_no_model_parallelism(models: ModelIndex, gpus: GpuTable, degrees: str) -> None:
    assert parsed(models, gpus, parallelism=degrees, num_gpus="8").machine.gpus == 8


@pytest.mark.parametrize(
    ("parallelism", "gpus_stated", "sharding", "offload"),
    [
        ("", "1", Sharding.NONE, Offload.NONE),
        ("fsdp full_shard", "1", Sharding.NONE, Offload.NONE),
        ("", "4", Sharding.DDP, Offload.NONE),
        ("ddp", "4", Sharding.DDP, Offload.NONE),
        ("fsdp full_shard", "4", Sharding.FSDP, Offload.NONE),
        ("fsdp SHARD_GRAD_OP", "8", Sharding.ZERO2, Offload.NONE),
        ("fsdp2 (torchtune)", "4", Sharding.FSDP, Offload.NONE),
        ("deepspeed zero0 (config_.json)", "4", Sharding.DDP, Offload.NONE),
        ("deepspeed zero1 (axolotl 0.9)", "4", Sharding.ZERO1, Offload.NONE),
        ("deepspeed zero2", "4", Sharding.ZERO2, Offload.NONE),
        ("deepspeed zero3_offload", "4", Sharding.ZERO3, Offload.CPU),
        ("deepspeed zero3 nvme offload", "4", Sharding.ZERO3, Offload.NVME),
        ("deepspeed", "4", Sharding.ZERO3, Offload.NONE),
        ("megatron tp=1 pp=1", "8", Sharding.ZERO1, Offload.NONE),
    ],
)
def test_sharding(
    models: ModelIndex, gpus: GpuTable, parallelism: str, gpus_stated: str, sharding: Sharding, offload: Offload
) -> None:
    recipe = parsed(models, gpus, method="full", parallelism=parallelism, num_gpus=gpus_stated).recipe
    assert (recipe.sharding, recipe.offload) == (sharding, offload)


@pytest.mark.parametrize(
    ("changes", "precision"),
    [
        ({"precision": "bfloat16; pure bfloat16 (no AMP)"}, Precision.BF16_PURE),
        ({"precision": "bfloat16; bf16 AMP/FSDP mixed precision"}, Precision.BF16_PURE),
        (
            {"precision": "bfloat16; bf16 AMP/FSDP mixed", "parallelism": "fsdp full_shard", "num_gpus": "4"},
            Precision.BF16_MIXED,
        ),
        ({"precision": "float16; fp16 AMP"}, Precision.FP16_MIXED),
        ({"precision": "float16; pure float16 (no AMP)"}, Precision.FP16_PURE),
        ({"precision": "bf16", "stack": "torchtune"}, Precision.BF16_PURE),
        ({"precision": "bf16"}, Precision.BF16_MIXED),
        ({"precision": "fp16"}, Precision.FP16_MIXED),
        ({"precision": "bfloat16"}, Precision.BF16_PURE),
        ({"precision": "bf16", "parallelism": "deepspeed zero2", "num_gpus": "4"}, Precision.BF16_MIXED),
        ({"precision": "amp_bf16", "stack": "llm-foundry"}, Precision.BF16_MIXED),
        ({"precision": "amp_fp8", "stack": "llm-foundry", "gpu": "H100-SXM"}, Precision.FP8),
        ({"precision": "bf16", "notes": "Table1 FSDP+compile+Float8", "gpu": "H100-SXM"}, Precision.FP8),
        ({"precision": "fp32"}, Precision.FP32),
        ({"precision": "bf16 (fp16 on T4)", "gpu": "T4", "gpu_mem_gib": "16", "attention": ""}, Precision.FP16_MIXED),
    ],
)
def test_precision_of_full_fine_tuning(
    models: ModelIndex, gpus: GpuTable, changes: dict[str, str], precision: Precision
) -> None:
    assert parsed(models, gpus, **{"method": "full", **changes}).recipe.precision is precision


def test_adapters_are_mixed_in_hf_and_pure_in_torchtune(models: ModelIndex, gpus: GpuTable) -> None:
    assert parsed(models, gpus).recipe.precision is Precision.BF16_MIXED
    assert parsed(models, gpus, stack="torchtune").recipe.precision is Precision.BF16_PURE


ENGINE = "bf16 load -> fp32 upcast of non-quantised params (prepare_model_for_kbit_training) -> DeepSpeed fp16"


@pytest.mark.parametrize(
    ("changes", "precision"),
    [
        ({"precision": ENGINE, "quant": "8bit bnb"}, Precision.FP16_PURE),
        ({"precision": ENGINE}, Precision.FP16_PURE),
        ({"precision": "bf16 mixed", "quant": "nf4", "parallelism": "deepspeed zero2"}, Precision.BF16_PURE),
        ({"precision": "bf16 mixed", "parallelism": "deepspeed zero2"}, Precision.BF16_MIXED),
        ({"precision": "bf16 mixed", "quant": "nf4"}, Precision.BF16_MIXED),
    ],
)
def test_deepspeed_casts_what_peft_prepared_back_to_16_bit(
    models: ModelIndex, gpus: GpuTable, changes: dict[str, str], precision: Precision
) -> None:
    assert parsed(models, gpus, **changes).recipe.precision is precision


@pytest.mark.parametrize(
    ("stack", "notes", "loss"),
    [
        ("torchtune", "torch compile on", Loss.FUSED),
        ("torchtune", "cumulative step 0: baseline; flags: compile", Loss.STANDARD),
        ("llm-foundry", "", Loss.TRITON),
        ("nemo", "", Loss.TRITON),
        ("hf", "comment: not using use_liger_kernel: 4 * 54gb; liger=;", Loss.STANDARD),
        ("hf", "comment: using use_liger_kernel and packing; liger=true;", Loss.FUSED),
    ],
)
def test_the_loss_that_a_stack_comes_with(
    models: ModelIndex, gpus: GpuTable, stack: str, notes: str, loss: Loss
) -> None:
    assert parsed(models, gpus, stack=stack, notes=notes).recipe.loss is loss


@pytest.mark.parametrize(
    ("notes", "loss", "fused"),
    [
        ("framework_config=none", Loss.STANDARD, False),
        ("framework_config=foak-fast-kernels", Loss.TRITON, True),
        ("framework_config=foak-fast-kernels-liger", Loss.FUSED, True),
        ("global_batch 16; liger=; epochs 1", Loss.STANDARD, False),
        ("global_batch 16; liger=true; epochs 1", Loss.FUSED, True),
        ("flags: compile, chunked CE", Loss.FUSED, False),
    ],
)
def test_loss_and_kernels(models: ModelIndex, gpus: GpuTable, notes: str, loss: Loss, *, fused: bool) -> None:
    recipe = parsed(models, gpus, notes=notes).recipe
    assert (recipe.loss, recipe.fused_kernels) == (loss, fused)


@pytest.mark.parametrize(
    ("changes", "stack", "known"),
    [
        ({"stack": "torchtune"}, Stack.TORCHTUNE, True),
        ({"stack": "", "notes": "Unsloth Open; 1 epoch"}, Stack.UNSLOTH, True),
        ({"stack": "", "attention": "unsloth"}, Stack.UNSLOTH, True),
        ({"stack": "", "source": "unsloth-README", "notes": "Huggingface; 1 epoch"}, Stack.HF, True),
        ({"stack": "", "source": "xtuner-speed"}, Stack.HF, False),
        ({"stack": "", "source": "torchao", "model": "Llama-3.1-8B (torchtune)"}, Stack.TORCHTUNE, True),
        ({"stack": "hf", "parallelism": "megatron tp=1", "num_gpus": "8"}, Stack.NEMO, True),
        ({"stack": "NeMo AutoModel"}, Stack.NEMO, True),
    ],
)
def test_stacks(models: ModelIndex, gpus: GpuTable, changes: dict[str, str], stack: Stack, *, known: bool) -> None:
    recipe = parsed(models, gpus, **changes).recipe
    assert (recipe.stack, recipe.stack_known) == (stack, known)


@pytest.mark.parametrize(
    ("stated", "optimizer"),
    [
        ("adamw_torch (HF default)", Optimizer.ADAMW),
        ("ZeroOneAdam (DeepSpeed)", Optimizer.ADAMW),
        ("adamw_bnb_8bit", Optimizer.ADAMW_8BIT),
        ("AdamW8bit", Optimizer.ADAMW_8BIT),
        ("paged_adamw_8bit/adamw_torch_fused", Optimizer.PAGED_ADAMW_8BIT),
        ("Adafactor", Optimizer.ADAFACTOR),
        ("SGD", Optimizer.SGD),
    ],
)
def test_optimizers(models: ModelIndex, gpus: GpuTable, stated: str, optimizer: Optimizer) -> None:
    assert parsed(models, gpus, optimizer=stated).recipe.optimizer is optimizer


@pytest.mark.parametrize(
    ("key", "stated", "field", "expected"),
    [
        ("attention", "sdpa (default; flash off)", "attention", Attention.SDPA),
        ("attention", "eager", "attention", Attention.EAGER),
        ("attention", "unfused", "attention", Attention.EAGER),
        ("attention", "flash_attention_3", "attention", Attention.FLASH),
        ("grad_checkpointing", "no", "checkpointing", Checkpointing.NONE),
        ("grad_checkpointing", "selective (per-op)", "checkpointing", Checkpointing.SELECTIVE),
        ("grad_checkpointing", "full", "checkpointing", Checkpointing.FULL),
        ("notes", "torch compile on", "compiled", True),
        ("notes", "compile=False", "compiled", False),
        ("packing", "padded to longest in micro-batch", "variable_length", True),
        ("packing", "padding-free (no pad)", "packing", False),
        ("packing", "no packing; padded to batch longest", "packing", False),
        ("packing", "packed (fixed-length pretrain)", "packing", True),
        ("target_modules", "all-linear (HF blog)", "target_modules", ("all-linear",)),
        ("target_modules", "all layers", "target_modules", ("all-linear",)),
        ("target_modules", "linear_qkv linear_proj", "target_modules", ("q_proj", "k_proj", "v_proj", "o_proj")),
        ("target_modules", "q_proj,v_proj,c_attn", "target_modules", ("q_proj", "v_proj", "k_proj")),
        ("notes", "framework_config=accelerated-peft-bnb", "kbit_preparation", False),
        ("notes", "framework_config=baseline-peft-bnb", "kbit_preparation", True),
        ("precision", "bf16 -> prepare_model_for_kbit_training", "kbit_preparation", True),
        ("quant", "GPTQ-int4", "kbit_preparation", False),
        ("quant", "nf4 (bnb)", "kbit_preparation", None),
        ("quant", "nf4, no double quant", "double_quant", False),
        ("grad_accum", "$(expr 16 / $nproc_per_node)", "grad_accum", 16),
    ],
)
def test_single_texts(models: ModelIndex, gpus: GpuTable, key: str, stated: str, field: str, expected: object) -> None:
    assert getattr(parsed(models, gpus, **{key: stated}).recipe, field) == expected


def test_modules_to_save_are_trained_whole(models: ModelIndex, gpus: GpuTable) -> None:
    case = parsed(models, gpus, target_modules="q_proj,v_proj + modules_to_save wte,lm_head")
    assert case.recipe.target_modules == ("q_proj", "v_proj")
    assert case.recipe.modules_to_save == ("embed_tokens", "lm_head")
    assert parsed(models, gpus, method="lora (+emb,lm_head)").recipe.modules_to_save == ("embed_tokens", "lm_head")
    assert parsed(models, gpus).recipe.modules_to_save == ()


def test_what_a_row_leaves_open_is_listed(models: ModelIndex, gpus: GpuTable) -> None:
    empty = dict.fromkeys(("micro_batch", "seq_len", "lora_rank", "target_modules", "optimizer", "num_gpus"), "")
    case = parsed(models, gpus, **empty, grad_checkpointing="")
    assert set(case.assumed) == {
        "num_gpus 1", "seq_len 2048", "lora_rank 16", "target_modules all-linear", "optimizer adamw",
        "checkpointing full", "micro_batch 1",
    }  # fmt: skip


MEASURED = {
    "tokens_per_s_per_gpu": "2000", "samples_per_s_total": "8", "hours": "5", "step_time_s": "3", "mfu": "0.4",
    "peak_mem_gib_per_gpu": "30", "mem2_gib_per_gpu": "40",
}  # fmt: skip


@pytest.mark.parametrize("seq_len", ["", "4096"])
@pytest.mark.parametrize("packing", ["packed", "", "padded to longest", "padding-free"])
def test_what_was_measured_changes_nothing(models: ModelIndex, gpus: GpuTable, seq_len: str, packing: str) -> None:
    asked = {"seq_len": seq_len, "packing": packing, "num_gpus": "2"}
    assert parsed(models, gpus, **asked, **MEASURED) == parsed(models, gpus, **asked)


def test_doubt_about_recipe_and_reading(models: ModelIndex, gpus: GpuTable) -> None:
    sure = parsed(models, gpus)
    assert (sure.length_doubt, sure.recipe_doubt, sure.reading_doubt) == (0.0, 0.0, 0.0)
    assert parsed(models, gpus, mem_measure="unknown (README says GB)").reading_doubt == 0.1
    assert parsed(models, gpus, mem2_measure="author comment in script").reading_doubt == 0.2
    assert parsed(models, gpus, mem_measure="torch max_memory_allocated").reading_doubt == 0.0
    assert parsed(models, gpus, optimizer="").recipe_doubt == 0.0
    assert parsed(models, gpus, optimizer="", method="full").recipe_doubt == 0.25
    assert parsed(models, gpus, grad_checkpointing="").recipe_doubt == 0.15
    levers = parsed(models, gpus, notes="flags: opt-in-bwd, act offload", grad_accum="1")
    assert (levers.recipe_doubt, levers.assumed) == (0.0, ())
    assert levers.recipe.optimizer_in_backward
    assert levers.recipe.activation_offload
    alone = parsed(models, gpus, micro_batch="")
    assert alone.length_doubt == 0.7
    assert alone.length_limit > 10**9
    assert sure.length_limit == 4096


def test_preference_pairs_and_rollouts_split_the_sequence(models: ModelIndex, gpus: GpuTable) -> None:
    case = parsed(models, gpus, method="ppo+lora")
    assert (case.recipe.prompt_tokens, case.recipe.response_tokens) == (2048, 2048)
    assert case.recipe.reward_params == case.model.total_params
    assert parsed(models, gpus).recipe.prompt_tokens == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TechxGenus/Meta-Llama-3-8B-GPTQ", "Llama-3-8B"),
        ("LLAMA3.1_405B", "Llama-3.1-405B"),
        ("Llama2-7B", "Llama-2-7b-hf"),
        ("Llama-2-7b (README section)", "Llama-2-7b-hf"),
        ("mistralai/Mistral-7B-v0.1", "Mistral-7B-v0.1"),
        ("GPT OSS 120B", "gpt-oss-120b"),
        ("Qwen-1.8B-Chat", "Qwen1-1.8B"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "Qwen3-30B-A3B"),
    ],
)
def test_wild_model_names(models: ModelIndex, name: str, expected: str) -> None:
    assert case_model({"model": name}, models)[0].name == expected


def test_a_contradicting_shape_wins_over_the_name(models: ModelIndex) -> None:
    row = {**LLAMA_7B_SHAPE, "model": "Llama-3.1-8B", "params_b": "6.738"}
    spec, assumed = case_model(row, models)
    assert (spec.hidden, spec.vocab, spec.intermediate) == (4096, 32000, 11008)
    assert spec.total_params == 6_738_415_616
    assert assumed == ("shape: gated MLP of width 11008, untied",)


@pytest.mark.parametrize(
    ("params_b", "width", "kind", "tied"),
    [("6.574", 16384, "gelu", True), ("6.705", 16384, "gelu", False), ("", 11008, "swiglu", False)],
)
def test_shapes_are_solved_from_the_parameter_count(
    models: ModelIndex, params_b: str, width: int, kind: str, *, tied: bool
) -> None:
    # attention 4 x 4096^2 and a plain MLP 8 x 4096^2 on 32 layers are 6.4425 B; an embedding of 32,000 is 0.1311 B.
    spec, _ = case_model({**LLAMA_7B_SHAPE, "model": "own-7b", "params_b": params_b}, models)
    assert (spec.intermediate, spec.mlp_kind, spec.tied_embeddings) == (width, kind, tied)


def test_learned_positions_cover_the_sequence(models: ModelIndex) -> None:
    short, _ = case_model({"model": "MPT-7b", "seq_len": "512"}, models)
    long, _ = case_model({"model": "MPT-7b", "seq_len": "65536"}, models)
    assert long.position_table == 65536
    assert long.total_params - short.total_params == (65536 - short.position_table) * 4096


def test_machines(gpus: GpuTable) -> None:
    eight = case_machine({"gpu": "A100", "gpu_mem_gib": "40", "num_gpus": "16"}, gpus, nodes=None)
    assert (eight.machine.gpu.id, eight.machine.gpu_count, eight.machine.nodes) == ("A100-SXM-40GB", 8, 2)
    assert eight.machine.network_bytes_per_s == 200e9
    assert eight.assumed == ("nodes 2", "network 200 GB/s per node")
    stated = case_machine({"gpu": "A100-80GB", "num_gpus": "4"}, gpus, nodes=2)
    assert (stated.machine.gpu_count, stated.machine.nodes) == (2, 2)
    assert stated.machine.network_bytes_per_s == 50e9
    hopper = case_machine({"gpu": "H100-SXM", "num_gpus": "16"}, gpus, nodes=None)
    assert hopper.machine.network_bytes_per_s == 400e9
    rack = case_machine({"gpu": "GB200", "gpu_mem_gib": "186", "num_gpus": "64"}, gpus, nodes=None)
    assert (rack.machine.gpu_count, rack.machine.nodes) == (64, 1)


def test_a_card_of_another_size_keeps_its_chip_and_takes_the_stated_memory(gpus: GpuTable) -> None:
    known = case_machine({"gpu": "H100-96GB HBM2e (Meta)", "gpu_mem_gib": "96"}, gpus, nodes=None)
    assert known.machine.gpu.id == "H100-SXM-96GB"
    found = case_machine({"gpu": "H100-SXM", "gpu_mem_gib": "64", "num_gpus": "8"}, gpus, nodes=None)
    assert found.machine.gpu.chip == gpus.by_id["H100-SXM-80GB"].chip
    assert found.machine.gpu.usable_bytes == int(64 * 0.985 * GIB)
    assert found.gpu_known
    assert found.assumed == ("gpu H100-SXM-80GB with 64 GiB",)


def test_an_unknown_card_has_a_size_but_no_speed(gpus: GpuTable) -> None:
    sized = case_machine({"gpu": "card of given size", "gpu_mem_gib": "24"}, gpus, nodes=None)
    assert (sized.gpu_known, sized.size_known) == (False, True)
    assert sized.machine.gpu.usable_bytes == int(24 * 0.985 * GIB)
    unstated = case_machine({"gpu": "unstated (80GiB-class A100/A800 in docs)"}, gpus, nodes=None)
    assert "gpu size only: 80 GiB" in unstated.assumed
    chip_only = case_machine({"gpu": "A100", "num_gpus": "1"}, gpus, nodes=None)
    assert (chip_only.machine.gpu.id, chip_only.gpu_known) == ("A100-SXM-80GB", True)
    assert chip_only.assumed == ("gpu A100-SXM-80GB",)
    nothing = case_machine({}, gpus, nodes=None)
    assert (nothing.gpu_known, nothing.size_known) == (False, False)


@pytest.mark.parametrize("cell", ["x", "-1", "0", "16-32", "inf", "1e30"])
def test_nonsense_in_a_number_is_an_error_that_names_the_column(cell: str) -> None:
    with pytest.raises(JobError) as caught:
        number({"seq_len": cell}, "seq_len")
    assert caught.value.key == "seq_len"


def test_numbers() -> None:
    assert number({"a": " 1,024.5 "}, "a") == 1024.5
    assert number({"a": ""}, "a") is None
    assert number({}, "a") is None
    assert whole({"a": "8"}, "a") == 8
    with pytest.raises(JobError, match="whole number"):
        whole({"a": "1.5"}, "a")
