"""Parameter counts against what others publish: exact counts of KerasHub's presets, rounded ones of model cards."""

from __future__ import annotations

import pytest

from optimizer.workload.models import load_models

MODELS = load_models()

# keras-team/keras-hub, keras_hub/src/models/*/*_presets.py, "params".
KERAS_HUB = {
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "google/gemma-3-1b-it": 999_885_952,
    "google/gemma-3-4b-it": 3_880_099_328,
    "google/gemma-3-12b-it": 11_765_788_416,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-3B": 3_085_938_688,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "Qwen/Qwen2.5-Math-7B": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-14B": 14_768_307_200,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-235B-A22B": 235_093_634_560,
    "Qwen/Qwen1.5-MoE-A2.7B": 14_315_784_192,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "bloom-560m": 559_214_592,
    "bloom-1b1": 1_065_314_304,
    "bloom-1b7": 1_722_408_960,
    "bloom-3b": 3_002_557_440,
    "falcon-rw-1b": 1_311_625_216,
}

# KerasHub's OPT keeps 2048 positions where the released weights hold two rows more.
KERAS_HUB_OPT = {"opt-125m": (125_237_760, 2 * 768), "opt-1.3b": (1_315_753_984, 2 * 2048)}

# Model cards: all parameters and those outside the embedding (Qwen), or total and active (mixtures), in billions.
NON_EMBEDDING = {
    "Qwen/Qwen2.5-0.5B": (0.49, 0.36),
    "Qwen/Qwen2.5-1.5B": (1.54, 1.31),
    "Qwen/Qwen2.5-3B": (3.09, 2.77),
    "Qwen/Qwen2.5-7B": (7.61, 6.53),
    "Qwen/Qwen2.5-14B": (14.7, 13.1),
    "Qwen/Qwen2.5-72B": (72.7, 70.0),
    "Qwen/Qwen3-0.6B": (0.6, 0.44),
    "Qwen/Qwen3-1.7B": (1.7, 1.4),
    "Qwen/Qwen3-4B": (4.0, 3.6),
    "Qwen/Qwen3-8B": (8.2, 6.95),
    "Qwen/Qwen3-14B": (14.8, 13.2),
    "Qwen/Qwen3-32B": (32.8, 31.2),
}
ACTIVE = {
    "mistralai/Mixtral-8x7B-v0.1": (46.7, 12.9),
    "mistralai/Mixtral-8x22B-v0.1": (141, 39),
    "Qwen/Qwen3-30B-A3B": (30.5, 3.3),
    "Qwen/Qwen3-235B-A22B": (235, 22),
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": (480, 35),
    "deepseek-ai/DeepSeek-V3": (671, 37),
    "moonshotai/Kimi-K2-Instruct": (1026, 32),
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": (109, 17),
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": (400, 17),
    "Qwen/Qwen1.5-MoE-A2.7B": (14.3, 2.7),
}


@pytest.mark.parametrize(("name", "count"), KERAS_HUB.items(), ids=KERAS_HUB.keys())
def test_exact_counts(name: str, count: int) -> None:
    assert MODELS.resolve(name).total_params == count


@pytest.mark.parametrize(("name", "count"), KERAS_HUB_OPT.items(), ids=KERAS_HUB_OPT.keys())
def test_exact_counts_of_opt(name: str, count: tuple[int, int]) -> None:
    assert MODELS.resolve(name).total_params == sum(count)


@pytest.mark.parametrize(("name", "billions"), NON_EMBEDDING.items(), ids=NON_EMBEDDING.keys())
def test_counts_with_and_without_the_embedding(name: str, billions: tuple[float, float]) -> None:
    model = MODELS.resolve(name)
    body = model.total_params - model.embedding_params - model.head_params
    assert model.total_params / 1e9 == pytest.approx(billions[0], rel=0.015)
    assert body / 1e9 == pytest.approx(billions[1], rel=0.015)


@pytest.mark.parametrize(("name", "billions"), ACTIVE.items(), ids=ACTIVE.keys())
def test_total_and_active_counts_of_mixtures(name: str, billions: tuple[float, float]) -> None:
    model = MODELS.resolve(name)
    total, active = model.total_params / 1e9, (model.active_params - model.extra_params) / 1e9
    assert total == pytest.approx(billions[0], rel=0.01)
    # Cards round the active part to whole billions, and some leave the embedding out.
    assert active == pytest.approx(billions[1], abs=max(1.0, 0.02 * billions[1]))


def test_gpt_oss_counts_of_its_card() -> None:
    # The card counts the active part without the embedding: 3.61B of 20.91B, 5.13B of 116.83B.
    for name, total, active in (("gpt-oss-20b", 20.91, 3.61), ("gpt-oss-120b", 116.83, 5.13)):
        model = MODELS.resolve(name)
        assert model.total_params / 1e9 == pytest.approx(total, abs=0.01)
        assert (model.active_params - model.embedding_params) / 1e9 == pytest.approx(active, abs=0.01)
