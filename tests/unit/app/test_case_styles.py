"""The styles in which people write down the same thing: each text is read as one who knows the subject reads it."""

from __future__ import annotations

import pytest

from providers.errors import KnowledgeMissing
from tests.fixtures.case_rows import FULL, parsed

QV, QKV = ("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj")
QKVO = (*QKV, "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
SEVEN = (*QKVO, *MLP)


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        ("16-mixed", "fp16-mixed"), ("16-true", "fp16-pure"), ("32-true", "fp32"), ("bf16-true", "bf16-pure"),
        ("bf16-mixed", "bf16-mixed"), ("AMP fp16", "fp16-mixed"), ("mixed fp16", "fp16-mixed"), ("half", "fp16-mixed"),
        ("torch.float16", "fp16-pure"), ("torch.bfloat16", "bf16-pure"), ("full fp32", "fp32"),
        ("bf16 (no fp32 master weights)", "bf16-pure"), ("fp32 params, bf16 compute", "bf16-mixed"),
        ("fp32 weights + bf16 autocast", "bf16-mixed"), ("BF16 + TF32", "bf16-mixed"), ("FP8 hybrid", "fp8"),
    ],
)  # fmt: skip
def test_precision_of_full_runs(stated: str, read: str) -> None:
    case = parsed(**FULL, precision=stated)
    assert case.recipe.precision == read
    assert not any(note.startswith("precision") for note in case.assumed)


def test_a_precision_that_no_text_states_is_noted_and_in_doubt() -> None:
    silent = parsed(**FULL, precision="")
    assert "precision bf16-pure" in silent.assumed
    assert silent.recipe_doubt == 0.25
    assert parsed(**FULL, precision="", notes="bf16 mixed precision").recipe.precision == "bf16-mixed"
    with pytest.raises(KnowledgeMissing, match="int8 training"):
        parsed(**FULL, precision="int8")


def test_what_an_old_chip_cannot_do_is_read_as_what_trainers_do_instead_and_noted() -> None:
    case = parsed(gpu="Tesla T4", model="Llama-3.2-1B")
    assert (case.recipe.precision, case.recipe.attention) == ("fp16-mixed", "sdpa")
    assert {"precision fp16-mixed on T4-16GB", "attention sdpa on T4-16GB"} <= set(case.assumed)


@pytest.mark.parametrize(
    ("quant", "bits"),
    [
        ("bnb.nf4-dq", 4), ("bnb.int8-training", 8), ("4", 4), ("8", 8), ("n/a", 16), ("unquantized", 16), ("fp32", 16),
        ("GPTQ 8bit", 8), ("nf4 (4.13 bits/param)", 4), ("-", 16), ("not quantized", 16), ("torch.bfloat16", 16),
        ("load_in_8bit=True", 8), ("bf16 compute, nf4 storage", 4), ("int8 (LLM.int8)", 8), ("HQQ 4-bit", 4),
    ],
)  # fmt: skip
def test_widths(quant: str, bits: int) -> None:
    assert parsed(quant=quant).recipe.bits == bits


@pytest.mark.parametrize(
    ("changes", "bits"),
    [
        ({"precision": "4-bit (nf4), bf16 compute"}, 4), ({"precision": "int8"}, 8),
        ({"notes": "load_in_8bit=True"}, 8),
        ({"notes": "base model loaded in 4-bit (NF4)"}, 4), ({"notes": "8-bit Adam optimizer"}, 16),
        ({"method": "lora (8-bit adam)"}, 16), ({"method": "dpo+qlora"}, 4), ({"method": "fsdp_qlora"}, 4),
        ({"method": "qlora", "quant": "bitsandbytes"}, 4),
    ],
)  # fmt: skip
def test_widths_that_stand_elsewhere(changes: dict[str, str], bits: int) -> None:
    assert parsed(**changes).recipe.bits == bits


def test_a_library_without_a_width_is_taken_at_four_bits_and_noted() -> None:
    assert "bits 4" in parsed(quant="bitsandbytes").assumed


@pytest.mark.parametrize(
    ("stack", "quant", "double"),
    [
        ("litgpt", "bnb.nf4", False), ("litgpt", "bnb.nf4-dq", True), ("trl", "nf4", True),
        ("trl", "nf4, double_quant=False", False), ("trl", "nf4 (w/o DQ)", False),
    ],
)  # fmt: skip
def test_double_quantisation(stack: str, quant: str, *, double: bool) -> None:
    assert parsed(stack=stack, quant=quant).recipe.double_quant is double


@pytest.mark.parametrize(
    ("method", "read"),
    [
        ("SFT (LoRA)", "lora sft"), ("fine-tuning (QLoRA)", "lora sft"), ("finetune_lora", "lora sft"),
        ("lora_finetune_single_device", "lora sft"), ("adapter: lora", "lora sft"), ("lora16", "lora sft"),
        ("full, no LoRA", "full sft"), ("finetune_full", "full sft"), ("CPT (full)", "full sft"),
        ("supervised fine-tuning", "full sft"), ("instruction tuning", "full sft"), ("IPO lora", "lora dpo"),
        ("RLHF (PPO) + LoRA", "lora ppo"), ("QDoRA", "dora sft"),
    ],
)  # fmt: skip
def test_methods(method: str, read: str) -> None:
    recipe = parsed(method=method).recipe
    assert f"{recipe.tuning} {recipe.objective}" == read


@pytest.mark.parametrize("method", ["LongLoRA", "LoRA-FA", "adapter_v2", "LLaMA-Adapter"])
def test_kin_of_lora_are_noted(method: str) -> None:
    assert f"method {method.lower()} estimated as lora" in parsed(method=method).assumed


@pytest.mark.parametrize(
    "method", ["full (galore)", "full+qat", "reward-model+lora", "reinforce++ lora", "knowledge distillation full",
               "LOMO full", "lora (grpo)"]
)  # fmt: skip
def test_methods_that_are_something_else_are_refused(method: str) -> None:
    with pytest.raises(KnowledgeMissing, match="not modelled"):
        parsed(method=method)


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ({"optimizer": "adamw_8_bit"}, "adamw-8bit"), ({"optimizer": "PagedAdamW8bit"}, "paged-adamw-8bit"),
        ({"optimizer": "?"}, "adamw"), ({"optimizer": "", "notes": "optim=adafactor"}, "adafactor"),
        ({"optimizer": "", "notes": "paged_adamw_8bit; wd 0"}, "paged-adamw-8bit"),
        ({"optimizer": "", "notes": "optimizer: SGD"}, "sgd"), ({"optimizer": "", "notes": "8-bit Adam"}, "adamw-8bit"),
    ],
)  # fmt: skip
def test_optimizers(changes: dict[str, str], read: str) -> None:
    assert parsed(**FULL, **changes).recipe.optimizer == read


def test_paged_state_of_any_width_lies_on_the_host() -> None:
    case = parsed(optimizer="paged_adamw_32bit")
    assert case.recipe.optimizer == "paged-adamw-8bit"
    assert "optimizer paged_adamw_32bit estimated as paged-adamw-8bit" in case.assumed


@pytest.mark.parametrize("optimizer", ["lion_8bit", "muon", "SGD (momentum 0.9)", "Adam-mini"])
def test_unmodelled_optimizers_are_refused_where_they_decide_and_noted_where_not(optimizer: str) -> None:
    assert f"optimizer {optimizer.lower()} estimated as adamw" in parsed(optimizer=optimizer).assumed
    with pytest.raises(KnowledgeMissing, match="not modelled"):
        parsed(**FULL, optimizer=optimizer)


@pytest.mark.parametrize(
    ("optimizer", "fused"), [("FusedAdam", True), ("AdamW (fused=False)", None), ("non-fused AdamW", None)]
)
def test_fused_steps(optimizer: str, *, fused: bool | None) -> None:
    assert parsed(optimizer=optimizer).recipe.fused_optimizer is fused


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        ("xformers", "sdpa"), ("mem-efficient", "sdpa"), ("no", "sdpa"), ("flash attention disabled", "sdpa"),
        ("F.scaled_dot_product_attention", "sdpa"), ("?", "sdpa"), ("naive", "eager"), ("HF eager", "eager"),
        ("attn_implementation=eager", "eager"), ("math", "eager"), ("True", "flash"), ("FA2", "flash"),
        ("TE fused (cuDNN)", "flash"), ("flex_attention", "flash"), ("sdpa/flash", "sdpa"),
    ],
)  # fmt: skip
def test_attention(stated: str, read: str) -> None:
    assert parsed(attention=stated).recipe.attention == read


def test_attention_of_the_notes_and_of_nobody() -> None:
    assert parsed(attention="", notes="FlashAttention-2 enabled").recipe.attention == "flash"
    assert parsed(attention="", notes="eager attention").recipe.attention == "eager"
    assert "attention sdpa" in parsed(attention="").assumed


@pytest.mark.parametrize(
    ("stated", "notes", "read"),
    [
        ("disabled", "", "none"), ("n", "", "none"), ("gradient_checkpointing=False", "", "none"),
        ("recompute: none", "", "none"), ("activation checkpointing off", "", "none"), ("every layer", "", "full"),
        ("use_reentrant=False", "", "full"), ("yes (use_reentrant=False)", "", "full"),
        ("every 2nd layer", "", "selective"),
        ("ac=selective", "", "selective"), ("", "no gradient checkpointing", "none"),
        ("", "likely without activation checkpointing/offload", "none"), ("", "gradient checkpointing enabled", "full"),
        ("?", "", "full"),
    ],
)  # fmt: skip
def test_checkpointing(stated: str, notes: str, read: str) -> None:
    case = parsed(grad_checkpointing=stated, notes=notes)
    assert case.recipe.checkpointing == read
    assert ("checkpointing full" in case.assumed) == (stated == "?")


def test_offload_of_activations_is_no_offload_of_state() -> None:
    assert parsed(grad_checkpointing="unsloth").recipe.activation_offload
    assert not parsed(grad_checkpointing="unsloth", stack="unsloth").recipe.activation_offload
    case = parsed(notes="activation cpu offload")
    assert (case.recipe.activation_offload, case.recipe.offload) == (True, "none")
    assert not parsed(notes="no activation offloading").recipe.activation_offload


@pytest.mark.parametrize(
    ("notes", "compiled"),
    [
        ("torch_compile=True", True), ("torch.compile (no graph breaks)", True), ("torch.compile disabled", False),
        ("without compile", False), ("compile: false", False), ("uncompiled", False), ("precompiled wheels", False),
    ],
)  # fmt: skip
def test_compiled(notes: str, *, compiled: bool) -> None:
    assert parsed(notes=notes).recipe.compiled is compiled


@pytest.mark.parametrize(
    ("changes", "loss"),
    [
        ({"notes": "use_liger_kernel=False"}, "standard"), ({"notes": "enable_liger_kernel: true"}, "fused"),
        ({"notes": "baseline, no Liger"}, "standard"), ({"notes": "liger disabled"}, "standard"),
        ({"notes": "unfused CE"}, "standard"), ({"notes": "FLCE"}, "fused"), ({"stack": "trl + liger"}, "fused"),
        ({"source": "Liger-Kernel", "notes": "baseline"}, "standard"),
    ],
)  # fmt: skip
def test_loss(changes: dict[str, str], loss: str) -> None:
    assert parsed(**changes).recipe.loss == loss


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ({"stack": "hf AutoModelForCausalLM + peft"}, "hf True"), ({"stack": "LLaMA Factory"}, "hf True"),
        ({"stack": "openrlhf"}, "hf True"), ({"stack": "deepspeed"}, "hf True"), ({"stack": "Lit GPT"}, "litgpt True"),
        ({"stack": "trl (no unsloth)"}, "hf True"), ({"stack": "custom pytorch"}, "hf False"),
        ({"stack": "", "model": "mistralai/Mistral-Nemo-Base-2407"}, "hf False"),
        ({"stack": "", "notes": "trained with unsloth on Colab"}, "unsloth True"),
        ({"notes": "2x slower than Unsloth"}, "hf True"),
    ],
)  # fmt: skip
def test_stacks(changes: dict[str, str], read: str) -> None:
    case = parsed(**changes)
    assert f"{case.recipe.stack} {case.recipe.stack_known}" == read
    assert ("stack hf" in case.assumed) == (read == "hf False")


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ({"parallelism": "stage 2"}, "zero2 none"), ({"parallelism": "deepspeed_stage_2"}, "zero2 none"),
        ({"parallelism": "ds_z2_offload_config.json"}, "zero2 cpu"), ({"parallelism": "ZeRO stage-1"}, "zero1 none"),
        ({"parallelism": "deepspeed zero3.json"}, "zero3 none"), ({"parallelism": "FSDP NO_SHARD"}, "ddp none"),
        ({"parallelism": "zero3 (no offload)"}, "zero3 none"), ({"parallelism": "FSDP cpu_offload=False"}, "fsdp none"),
        ({"parallelism": "ZeRO-Infinity (NVMe)"}, "zero3 nvme"), ({"parallelism": "ZeRO-Offload"}, "zero2 cpu"),
        ({"parallelism": "cpu offload"}, "zero3 cpu"),
        ({"parallelism": "zero3", "notes": "no cpu offload"}, "zero3 none"),
        ({"parallelism": "zero2", "notes": "optimizer states offloaded to CPU"}, "zero2 cpu"),
        ({"parallelism": "ZeRO-2", "optimizer": "DeepSpeedCPUAdam"}, "zero2 cpu"),
        ({"stack": "accelerate + deepspeed zero-3"}, "zero3 none"), ({"notes": "FSDP full shard"}, "fsdp none"),
        ({"parallelism": "DP=8"}, "ddp none"), ({"parallelism": "fsdp", "notes": "3 ep, lr 1e-5"}, "fsdp none"),
    ],
)  # fmt: skip
def test_sharding(changes: dict[str, str], read: str) -> None:
    recipe = parsed(**{**FULL, "num_gpus": "8", **changes}).recipe
    assert f"{recipe.sharding} {recipe.offload}" == read


@pytest.mark.parametrize(
    "parallelism", ["naive MP", "pipeline parallel (2 stages)", "4-way tensor parallel", "FSDP+TP",
                    "tensor_model_parallel_size=2", "sequence parallel size 4", "layers split across GPUs"]
)  # fmt: skip
def test_split_models_are_refused(parallelism: str) -> None:
    with pytest.raises(KnowledgeMissing, match="not modelled"):
        parsed(parallelism=parallelism, num_gpus="8")


@pytest.mark.parametrize(
    ("stated", "targets"),
    [
        ("qkv only", QKV), ("attention + mlp", SEVEN), ("attention & MLP", SEVEN), ("all attention layers", QKVO),
        ("q/k/v/o", QKVO), ("qkvo", QKVO), ("Wq, Wv", QV), ("q k v o gate up down", SEVEN), ("query, value", QV),
        ("lora_query,lora_value", QV), ("MLP only", MLP), ("['q_proj', 'v_proj']", QV),
        ("self_attn.q_proj", ("q_proj",)),
        ("q_proj,v_proj,output_proj + mlp", ("q_proj", "v_proj", "o_proj", *MLP)), ("query_key_value", QKV),
        ("all_linear", ("all-linear",)), ("every linear layer", ("all-linear",)), ("*", ("all-linear",)),
        ("lora_target_linear: true", ("all-linear",)), ("all linear except lm_head", ("all-linear",)),
    ],
)  # fmt: skip
def test_targets(stated: str, targets: tuple[str, ...]) -> None:
    case = parsed(target_modules=stated)
    assert case.recipe.target_modules == targets
    assert case.assumed == ()


@pytest.mark.parametrize(
    ("model", "stated", "targets"),
    [
        ("tiiuae/falcon-7b", "attention", ("query_key_value", "dense")), ("pythia-12b", "q,v", ("query_key_value",)),
        ("mpt-7b", "Wqkv", ("Wqkv",)), ("gpt2-medium", "Wq, Wv", ("c_attn",)), ("phi-2", "mlp", ("fc1", "fc2")),
        ("Mixtral-8x7B", "qkv", QKV), ("internlm2-7b", "attn", ("wqkv", "wo")),
    ],
)  # fmt: skip
def test_targets_take_the_names_of_the_family(model: str, stated: str, targets: tuple[str, ...]) -> None:
    assert parsed(model=model, target_modules=stated, seq_len="512").recipe.target_modules == targets


def test_targets_of_the_notes_and_words_that_are_no_module() -> None:
    assert parsed(target_modules="", notes="lora_target: q_proj,v_proj; lr 1e-4").recipe.target_modules == QV
    assert parsed(target_modules="", notes="LoRA on attention only").recipe.target_modules == QKVO
    assert "target_modules all-linear" in parsed(target_modules="default").assumed
    assert "target_modules without foo" in parsed(target_modules="q_proj,foo").assumed


@pytest.mark.parametrize(
    ("stated", "packed", "variable"),
    [
        ("sample_packing", True, False), ("multipack", True, False), ("packing=False", False, False),
        ("without packing", False, False), ("ConstantLengthDataset", True, False), ("enabled", True, False),
        ("pad_to_max_length=True", False, False), ("synthetic dataset, fixed length", False, False),
        ("length-grouped", False, True), ("varlen", False, True), ("dynamic padding", False, True),
        ("packing disabled; group_by_length", False, True), ("not packed", False, False),
    ],
)  # fmt: skip
def test_packing(stated: str, *, packed: bool, variable: bool) -> None:
    recipe = parsed(packing=stated).recipe
    assert (recipe.packing, recipe.variable_length) == (packed, variable)
