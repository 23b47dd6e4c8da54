"""Methods, numbers and GPUs as people write them."""

from __future__ import annotations

import pytest

from optimizer.app.case_fields import number
from optimizer.app.case_machines import case_machine
from optimizer.app.case_methods import read_method
from optimizer.app.case_models import index_models
from optimizer.app.case_parsing import parse_case
from optimizer.workload.models import load_models
from providers.errors import JobError, KnowledgeMissing
from providers.gpus import load_gpus

GPUS = load_gpus()


@pytest.mark.parametrize(
    ("method", "quant", "read"),
    [
        ("full fine-tuning", "", "full sft 16"),
        ("Full-parameter", "", "full sft 16"),
        ("sft", "", "full sft 16"),
        ("LoRA (r=16)", "", "lora sft 16"),
        ("QLoRA", "nf4", "lora sft 4"),
        ("lora+4bit", "", "lora sft 4"),
        ("lora", "bf16", "lora sft 16"),
        ("lora", "gptq-int8", "lora sft 8"),
        ("lora, 8-bit", "", "lora sft 8"),
        ("DPO (qlora)", "nf4", "lora dpo 4"),
        ("ppo+lora", "", "lora ppo 16"),
        ("qdora", "", "dora sft 4"),
        ("rs-LoRA", "", "rslora sft 16"),
    ],
)
def test_methods(method: str, quant: str, read: str) -> None:
    assumed: list[str] = []
    found = read_method({"method": method, "quant": quant}, assumed)
    assert " ".join(map(str, found)) == read
    assert assumed == []


@pytest.mark.parametrize("method", ["AdaLoRA", "prefix tuning", "IA3", "vera", "OFT"])
def test_adapters_that_are_not_lora_are_estimated_as_it_and_noted(method: str) -> None:
    assumed: list[str] = []
    assert str(read_method({"method": method}, assumed)[0]) == "lora"
    assert assumed == [f"method {method.lower()} estimated as lora"]


@pytest.mark.parametrize(("method", "quant"), [("llamapro", ""), ("grpo+lora", ""), ("lora", "3bit"), ("galore", "")])
def test_what_is_not_modelled_is_refused(method: str, quant: str) -> None:
    with pytest.raises(KnowledgeMissing, match="not modelled"):
        read_method({"method": method, "quant": quant}, [])


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("4k", 4096), ("~8.03", 8.03), ("2,048", 2048), ("16 (per GPU)", 16), ("80 GiB", 80), ("8x", 8), ("1e3", 1000),
        ("?", None), ("n/a", None), ("nan", None), ("auto", None), ("", None),
    ],
)  # fmt: skip
def test_numbers(cell: str, value: float | None) -> None:
    assert number({"seq_len": cell}, "seq_len") == value


@pytest.mark.parametrize("cell", ["16-32", "many", "-4", "0", "inf", "4m"])
def test_what_is_no_number_is_named(cell: str) -> None:
    with pytest.raises(JobError) as caught:
        number({"seq_len": cell}, "seq_len")
    assert (caught.value.key, caught.value.value) == ("seq_len", cell)


@pytest.mark.parametrize(
    ("name", "size", "gpu"),
    [
        ("8xA100 80GB", "", "A100-SXM-80GB"),
        ("A100 (80GB)", "", "A100-SXM-80GB"),
        ("A100-80G", "", "A100-SXM-80GB"),
        ("A100", "40", "A100-SXM-40GB"),
        ("NVIDIA A100 80GB PCIe", "", "A100-PCIE-80GB"),
        ("2x RTX 3090", "", "RTX-3090-24GB"),
        ("RTX 4090", "24", "RTX-4090-24GB"),
        ("4090 24GB", "", "RTX-4090-24GB"),
        ("V100", "32", "V100-SXM2-32GB"),
        ("H100x8", "", "H100-SXM-80GB"),
        ("H100 PCIe", "80", "H100-PCIE-80GB"),
        ("Tesla T4", "15", "T4-16GB"),
    ],
)
def test_gpus(name: str, size: str, gpu: str) -> None:
    found = case_machine({"gpu": name, "gpu_mem_gib": size, "num_gpus": "1"}, GPUS, nodes=None)
    assert found.gpu_known
    assert found.machine.gpu.id == gpu


@pytest.mark.parametrize("name", ["Ascend 910B", "M1 Max", "A100-SXM-64GB", "GPU", "TPU v9"])
def test_unknown_gpus_stay_unknown(name: str) -> None:
    assert not case_machine({"gpu": name, "num_gpus": "1"}, GPUS, nodes=None).gpu_known


@pytest.mark.parametrize(
    ("stack", "gpus", "stated", "read"),
    [
        ("litgpt", "1", "", "none"),
        ("Lit-GPT", "1", "unknown", "none"),
        ("litgpt", "4", "", "full"),
        ("hf", "1", "", "full"),
        ("nemo", "1", "", "none"),
        ("litgpt", "1", "yes", "full"),
    ],
)
def test_checkpointing_that_nobody_states_is_that_of_the_stack(stack: str, gpus: str, stated: str, read: str) -> None:
    row = {
        "model": "meta-llama/Llama-3.1-8B", "method": "lora", "stack": stack, "num_gpus": gpus, "gpu": "A100",
        "gpu_mem_gib": "80", "grad_checkpointing": stated, "parallelism": "fsdp" if gpus != "1" else "",
    }  # fmt: skip
    case = parse_case(row, models=index_models(load_models()), gpus=GPUS)
    assert case.recipe.checkpointing == read
    assert (f"checkpointing {read}" in case.assumed) == (stated != "yes")
