"""Machines, models and numbers in the styles in which people write them: cards, nodes, tuned models, notes."""

from __future__ import annotations

import pytest

from optimizer.app.case_machines import case_machine
from optimizer.app.case_models import case_model
from providers.errors import JobError, KnowledgeMissing
from tests.fixtures.case_rows import FULL, GPUS, MODELS, parsed


@pytest.mark.parametrize(
    ("changes", "gpus", "nodes"),
    [
        ({"num_gpus": "8", "notes": "single node 8xA100"}, 8, 1), ({"num_gpus": "8", "notes": "node 8xA100"}, 8, 1),
        ({"num_gpus": "2x8"}, 16, 2), ({"num_gpus": "16 (2 nodes)"}, 16, 2), ({"num_gpus": "4 nodes x 8"}, 32, 4),
        ({"num_gpus": "16", "notes": "4 GPUs per node"}, 16, 4), ({"num_gpus": "", "gpu": "8xH100 80GB"}, 8, 1),
        ({"num_gpus": "", "parallelism": "FSDP x8"}, 8, 1), ({"num_gpus": "", "notes": "4 GPUs"}, 4, 1),
        ({"num_gpus": "", "gpu": "2x3090"}, 2, 1), ({"num_gpus": "", "gpu": "2x8 H100"}, 16, 2),
        ({"num_gpus": "8xA100"}, 8, 1), ({"num_gpus": "16", "notes": "two nodes"}, 16, 2),
    ],
)  # fmt: skip
def test_counts_of_cards_and_nodes(changes: dict[str, str], gpus: int, nodes: int) -> None:
    machine = parsed(**{"parallelism": "fsdp", **changes}).machine
    assert (machine.gpus, machine.nodes) == (gpus, nodes)


def test_hybrid_shards_are_those_of_one_node() -> None:
    case = parsed(**FULL, parallelism="FSDP HYBRID_SHARD", num_gpus="16")
    assert (case.machine.gpus, case.machine.nodes) == (8, 1)
    assert "hybrid shard: as on one of 2 nodes" in case.assumed
    assert parsed(**FULL, parallelism="HYBRID_SHARD", num_gpus="8").machine.gpus == 8


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA RTX 4090", "RTX-4090-24GB"), ("3090Ti", "RTX-3090-TI-24GB"), ("3090 Ti", "RTX-3090-TI-24GB"),
        ("RTX 6000 Ada Generation", "RTX-6000-ADA-48GB"), ("A6000 Ada", "RTX-6000-ADA-48GB"), ("Colab T4", "T4-16GB"),
        ("RTX 2080Ti", "RTX-2080-TI-11GB"), ("AMD MI300X", "MI300X-OAM-192GB"), ("A800 80GB", "A800-SXM-80GB"),
        ("HGX H100", "H100-SXM-80GB"), ("A100 40 GB PCIe", "A100-PCIE-40GB"), ("A100 PCIe", "A100-PCIE-80GB"),
        ("4060 Ti 16GB", "RTX-4060-TI-16GB"), ("NVIDIA A10G 24GB", "A10G-24GB"), ("g5.xlarge (A10G)", "A10G-24GB"),
        ("AWS p4d.24xlarge (8x A100 40GB)", "A100-SXM-40GB"), ("p5.48xlarge", "H100-SXM-80GB"),
        ("8 H100s", "H100-SXM-80GB"),
        ("MI250 (1 GCD)", "MI250-GCD-64GB"), ("2x3090", "RTX-3090-24GB"), ("A100 80GB on RunPod", "A100-SXM-80GB"),
    ],
)  # fmt: skip
def test_cards(name: str, gpu: str) -> None:
    found = case_machine({"gpu": name, "num_gpus": "1"}, GPUS, nodes=None)
    assert found.gpu_known
    assert found.machine.gpu.id == gpu


@pytest.mark.parametrize(
    "name", ["RTX 4090 Laptop", "A100 or H100", "A100/A800", "RX 7900 XTX", "H20", "RTX 2080 Super"]
)
def test_other_cards_of_a_like_name_stay_unknown(name: str) -> None:
    assert not case_machine({"gpu": name, "gpu_mem_gib": "16", "num_gpus": "1"}, GPUS, nodes=None).gpu_known


@pytest.mark.parametrize(
    ("column", "cell", "field", "value"),
    [
        ("lora_rank", "r=8, alpha=16", "lora_rank", 8), ("lora_rank", "64, alpha 128", "lora_rank", 64),
        ("seq_len", "max 2048", "seq_len", 2048), ("seq_len", "≤ 1024", "seq_len", 1024),
        ("seq_len", "4096-token", "seq_len", 4096), ("micro_batch", "4 per GPU", "micro_batch", 4),
        ("micro_batch", "bs=2", "micro_batch", 2),
    ],
)  # fmt: skip
def test_numbers_with_ornaments(column: str, cell: str, field: str, value: int) -> None:
    assert getattr(parsed(**{column: cell}).recipe, field) == value


def test_two_numbers_are_not_one() -> None:
    with pytest.raises(JobError):
        parsed(lora_rank="16,32")


@pytest.mark.parametrize(
    ("column", "notes", "field", "value"),
    [
        ("seq_len", "max_seq_len 4096", "seq_len", 4096), ("seq_len", "cutoff_len=512", "seq_len", 512),
        ("seq_len", "seq_len=1k", "seq_len", 1024), ("seq_len", "512 tokens per sample", "seq_len", 512),
        ("micro_batch", "per_device_train_batch_size 3", "micro_batch", 3),
        ("micro_batch", "bs 16, seq 512", "micro_batch", 16),
        ("grad_accum", "gradient_accumulation_steps=16", "grad_accum", 16), ("grad_accum", "ga 3", "grad_accum", 3),
        ("grad_accum", "effective batch size 16", "grad_accum", 8), ("lora_rank", "LoRA rank=128", "lora_rank", 128),
    ],
)  # fmt: skip
def test_numbers_that_stand_in_the_notes(column: str, notes: str, field: str, value: int) -> None:
    case = parsed(**{column: "", "notes": notes})
    assert getattr(case.recipe, field) == value
    assert case.assumed == ()


@pytest.mark.parametrize(
    ("column", "notes", "noted"),
    [
        ("seq_len", "total tokens: 14000000", "seq_len 2048"), ("seq_len", "batch of 64 sequences", "seq_len 2048"),
        ("seq_len", "seq len 512/1024/2048", "seq_len 2048"),
        ("seq_len", "seq len 512, later seq len 1024", "seq_len 2048"),
        ("micro_batch", "global batch size 64", "micro_batch 1"), ("micro_batch", "batch size 1 to 8", "micro_batch 1"),
        ("grad_accum", "global batch 512k tokens", "grad_accum 1"), ("lora_rank", "peak of rank 0", "lora_rank 16"),
    ],
)  # fmt: skip
def test_other_numbers_of_the_notes_are_left_alone(column: str, notes: str, noted: str) -> None:
    assert noted in parsed(**{column: "", "notes": notes}).assumed


def test_a_bare_batch_size_is_that_of_the_job_where_gpus_share_it() -> None:
    assert parsed(micro_batch="", notes="batch size 64").recipe.micro_batch == 64
    assert parsed(micro_batch="", notes="batch size 64", num_gpus="8", parallelism="fsdp").recipe.micro_batch == 1


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Llama-2 (7B)", "Llama-2-7b-hf"), ("gpt2 (124M)", "gpt2"), ("Llama-2-7B-fp16", "Llama-2-7b-hf"),
        ("EleutherAI/pythia-6.9b-deduped", "pythia-6.9b"), ("unsloth/Qwen3-14B-unsloth-bnb-4bit", "Qwen3-14B"),
    ],
)  # fmt: skip
def test_other_spellings_of_a_model(name: str, model: str) -> None:
    found, assumed = case_model({"model": name}, MODELS)
    assert (found.name, assumed) == (model, ())


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("lmsys/vicuna-7b-v1.5", "Llama-2-7b-hf"), ("alpaca-7b", "llama-1-7b"), ("LLaMA-33B", "llama-1-30b"),
        ("HuggingFaceH4/zephyr-7b-beta", "Mistral-7B-v0.1"), ("TinyLlama", "tiny-llama-1.1b"),
        ("databricks/dolly-v2-12b", "pythia-12b"), ("open_llama_3b_v2", "open_llama_3b"),
        ("ybelkada/falcon-7b-sharded-bf16", "falcon-7b"), ("NousResearch/Nous-Hermes-Llama2-13b", "Llama-2-13b-hf"),
    ],
)  # fmt: skip
def test_a_model_tuned_from_one_of_the_table_has_its_shape(name: str, model: str) -> None:
    found, assumed = case_model({"model": name}, MODELS)
    assert (found.name, assumed) == (model, (f"model taken as {model}",))


@pytest.mark.parametrize(
    "row",
    [
        {"model": "llava-v1.5-7b"}, {"model": "Sheared-LLaMA-1.3B"}, {"model": "Llama-3.2-11B-Vision-Instruct"},
        {"model": "bloom-moe-xyz"}, {"model": "Solar-mistral-7b", "params_b": "10.7"}, {"model": "Qwen2-VL-7B"},
    ],
)  # fmt: skip
def test_a_namesake_of_another_shape_is_refused(row: dict[str, str]) -> None:
    with pytest.raises(KnowledgeMissing, match="not in the table"):
        case_model(row, MODELS)


def test_a_shape_that_is_stated_in_part() -> None:
    resized, assumed = case_model({"model": "Llama-2-7b", "vocab": "49954"}, MODELS)
    assert (resized.vocab, resized.hidden, assumed) == (49954, 4096, ("vocab 49954",))
    with pytest.raises(KnowledgeMissing, match="with the row's shape"):
        case_model({"model": "Llama-2-7b", "layers": "31"}, MODELS)
    own = {"model": "own", "layers": "10", "hidden": "768", "vocab": "50257", "params_b": "111M"}
    spec, assumed = case_model(own, MODELS)
    assert (spec.heads, spec.kv_heads) == (6, 6)
    assert assumed[0].endswith(", heads 6, kv_heads 6")
