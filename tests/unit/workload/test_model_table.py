"""The table of known models: names, aliases, errors, speed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from optimizer.workload.model_table import TABLE_PATH
from optimizer.workload.models import load_models
from providers.errors import KnowledgeMissing

if TYPE_CHECKING:
    from pathlib import Path

MODELS = load_models()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("llama-3.1-8b", "meta-llama/Llama-3.1-8B"),
        ("  LLAMA-3.1-8B ", "meta-llama/Llama-3.1-8B"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
        ("Llama-3.3-70B", "meta-llama/Llama-3.3-70B-Instruct"),
        ("Llama-2-7b-chat-hf", "meta-llama/Llama-2-7b-hf"),
        ("llama-2-7b", "meta-llama/Llama-2-7b-hf"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistralai/Mixtral-8x7B-v0.1"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B"),
        ("Qwen3-30B-A3B-Instruct-2507", "Qwen/Qwen3-30B-A3B"),
        ("LLAMA3.1_405B", "meta-llama/Llama-3.1-405B"),
        ("GPT OSS 120B", "openai/gpt-oss-120b"),
        ("someone/Mistral-7B-v0.1-GPTQ", "mistralai/Mistral-7B-v0.1"),
        ("gemma-3-4b", "google/gemma-3-4b-it"),
    ],
)
def test_a_model_is_found_by_any_of_its_names(name: str, found: str) -> None:
    assert MODELS.resolve(name).hf_id == found


def test_the_exact_name_goes_before_the_shorter_one() -> None:
    assert MODELS.resolve("Phi-3-mini-4k-instruct").name == "Phi-3-mini-4k-instruct"
    assert MODELS.resolve("mpt-7b").name == "mpt-7b"


@pytest.mark.parametrize("name", ["llama", "8b", "llama-3.1", "", "-", "/", "llama-3.1-8bb"])
def test_part_of_a_name_is_not_enough(name: str) -> None:
    with pytest.raises(KnowledgeMissing, match="is not in the model table"):
        MODELS.resolve(name)


def test_an_unknown_model_names_close_ones_and_the_way_out() -> None:
    with pytest.raises(KnowledgeMissing) as caught:
        MODELS.resolve("llama-3.1-9b")
    assert "'llama-3.1-9b' is not in the model table (close: meta-llama/Llama-3.1-8B" in str(caught.value)
    assert "config.json" in str(caught.value)
    assert caught.value.exit_code == 2
    with pytest.raises(KnowledgeMissing, match="no name is close"):
        MODELS.resolve("xxxxxxxxxxxxxxxx")


def test_names_and_other_names() -> None:
    names = MODELS.names()
    assert len(names) >= 90
    assert list(names) == sorted(names, key=str.lower)
    assert MODELS.other_names("meta-llama/Llama-3.1-8B") == (
        "llama-3.1-8b",
        "meta-llama-3.1-8b",
        "meta-llama/llama-3.1-8b",
        "meta-llama/meta-llama-3.1-8b",
    )


def test_loading_is_quick() -> None:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        load_models()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.010


def test_a_broken_table_names_the_row(tmp_path: Path) -> None:
    lines = TABLE_PATH.read_text(encoding="utf-8").splitlines()
    broken = tmp_path / "models.csv"
    broken.write_text("\n".join([lines[0], lines[1], lines[1]]), encoding="utf-8")
    with pytest.raises(ValueError, match="meta-llama/Llama-2-7b-hf stands there twice"):
        load_models(broken)
    broken.write_text("\n".join([lines[0], lines[1], lines[2].replace(",llama,", ",camel,", 1)]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"row Llama-2-13b-hf: 'camel'"):
        load_models(broken)
    other = lines[2].replace("meta-llama/Llama-2-13b-hf", "someone/Llama-2-7b-hf")
    broken.write_text("\n".join([lines[0], lines[1], other]), encoding="utf-8")
    with pytest.raises(ValueError, match="Llama-2-7b-hf names both"):
        load_models(broken)


@pytest.mark.parametrize(
    ("name", "gigabytes"), [("DeepSeek-V3", 690), ("gpt-oss-120b", 65), ("gpt-oss-20b", 14), ("Kimi-K2", 1030)]
)
def test_checkpoints_that_are_not_published_in_16_bits(name: str, gigabytes: float) -> None:
    model = load_models().resolve(name)
    assert model.published_bytes_per_param is not None
    assert model.total_params * model.published_bytes_per_param / 1e9 == pytest.approx(gigabytes, rel=0.02)


def test_most_are_published_in_16_bits_and_say_nothing() -> None:
    assert load_models().resolve("Llama-3.1-8B").published_bytes_per_param is None
