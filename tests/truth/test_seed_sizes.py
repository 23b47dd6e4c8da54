"""Model sizes, percentages, trainable parameters and GPU classes of the published memory table."""

from __future__ import annotations

import pytest

from optimizer.physics.axes import Sharding, Stack, Tuning
from optimizer.physics.memory import estimate_memory
from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.recipe import Recipe
from optimizer.physics.tabulate import Machine, tabulate
from optimizer.workload.models import ModelSpec, load_models
from optimizer.workload.seed_tables import PublishedSize, SeedTables, load_seed_tables, published_size_bytes
from providers.gpus import load_gpus

GIB = 2**30
QKV = ("q_proj", "k_proj", "v_proj")


@pytest.fixture(scope="module")
def tables() -> SeedTables:
    return load_seed_tables()


@pytest.fixture(scope="module")
def llama() -> ModelSpec:
    return load_models().resolve("llama-3.1-8b")


def adapted(tables: SeedTables) -> list[PublishedSize]:
    return [row for row in tables.sizes if row.rank]


def test_the_base_model_has_8_03_billion_parameters_and_16_06_gb(tables: SeedTables, llama: ModelSpec) -> None:
    assert llama.total_params == 8_030_261_248
    assert f"{llama.total_params / 1e9:.2f}" == "8.03"
    base = tables.sizes[0]
    assert (base.rank, base.bits, base.size_gb) == (0, 16, "16.06")
    assert f"{published_size_bytes(llama, trainable=0, bits=16) / 1e9:.2f}" == base.size_gb


@pytest.mark.parametrize(("rank", "trainable", "printed"), [(8, 4_718_592, "4.72"), (4, 2_359_296, "2.36")])
def test_trainable_parameters_are_those_of_query_key_and_value(
    tables: SeedTables, llama: ModelSpec, rank: int, trainable: int, printed: str
) -> None:
    assert llama.adapter(rank, QKV).params == trainable
    assert f"{trainable / 1e6:.2f}" == printed
    assert {row.trainable for row in adapted(tables) if row.rank == rank} == {trainable}


def test_every_printed_size_and_percentage_follows_from_the_documents_rule(
    tables: SeedTables, llama: ModelSpec
) -> None:
    rows = adapted(tables)
    assert [(row.rank, row.bits) for row in rows] == [(8, 16), (8, 8), (8, 4), (4, 16), (4, 8), (4, 4)]
    base = 2 * llama.total_params
    for row in rows:
        size = published_size_bytes(llama, trainable=llama.adapter(row.rank, QKV).params, bits=row.bits)
        assert f"{size / 1e9:.2f}" == row.size_gb, row.row
        assert f"{100 * size / base:.1f}" == row.percentage, row.row


@pytest.mark.parametrize(("bits", "printed_gb", "held_gb"), [(8, 8.04, 9.1), (4, 4.02, 5.7)])
def test_the_documents_rule_errs_for_k_bit_weights(
    tables: SeedTables, llama: ModelSpec, bits: int, printed_gb: float, held_gb: float
) -> None:
    """Embedding, head and norms (1.05 B parameters) stay at 16 bits: the load holds more than the document says."""
    outside = llama.total_params - llama.linear_params
    assert outside == 1_050_939_392
    held = llama.linear_params * bits / 8 + 2 * outside
    assert held / 1e9 > 1.1 * printed_gb
    assert held / 1e9 == pytest.approx(held_gb, rel=0.02)
    note = next(item for item in tables.statements if item.key == f"size-{bits}bit")
    assert note.verdict == "errs"
    assert f"{held_gb} GB" in note.note


def test_the_rank_makes_no_difference_to_the_memory(tables: SeedTables, llama: ModelSpec) -> None:
    more = llama.adapter(8, QKV).params - llama.adapter(4, QKV).params
    assert more == 2_359_296
    assert 4 * more / GIB == pytest.approx(0.0088, abs=0.0001)
    printed = {(row.rank, row.bits): row.memory_gib for row in adapted(tables)}
    for bits in (16, 8, 4):
        eight, four = printed[8, bits], printed[4, bits]
        assert eight is not None
        assert four is not None
        assert eight["batch4"] - four["batch4"] == pytest.approx(0.01, abs=0.001)


def published_peak(tables: SeedTables, bits: int) -> float:
    row = next(row for row in adapted(tables) if (row.rank, row.bits) == (8, bits))
    assert row.memory_gib is not None
    return row.memory_gib["batch4"] * GIB


@pytest.mark.parametrize(
    ("bits", "too_small", "enough"),
    [
        (16, ["RTX-4090-24GB", "RTX-A5000-24GB"], ["RTX-5090-32GB", "A100-SXM-40GB", "RTX-A6000-48GB"]),
        (8, ["RTX-3080-10GB"], ["RTX-A4000-16GB", "T4-16GB"]),
        (4, ["RTX-3070-8GB", "RTX-3060-8GB"], ["RTX-3060-12GB", "RTX-A4000-16GB"]),
    ],
)
def test_gpu_classes(tables: SeedTables, bits: int, too_small: list[str], enough: list[str]) -> None:
    """16 bit needs more than 30 GB; 8 bit 16 GB; 4 bit 12 GB: 8.26 GiB is more than any 8 GB card holds."""
    peak = published_peak(tables, bits)
    known = load_gpus().by_id
    assert all(known[name].usable_bytes < peak for name in too_small)
    assert all(known[name].usable_bytes > peak for name in enough)


def test_an_8_gb_card_cannot_hold_the_4_bit_row(tables: SeedTables) -> None:
    assert published_peak(tables, 4) > 8 * GIB
    assert next(item for item in tables.statements if item.key == "class-4bit").verdict == "errs"


def test_a_12_gb_card_leaves_the_8_bit_row_no_room_for_the_context(tables: SeedTables) -> None:
    usable = load_gpus().by_id["RTX-3060-12GB"].usable_bytes
    assert 0 < usable - published_peak(tables, 8) < 0.3 * GIB
    assert next(item for item in tables.statements if item.key == "class-8bit").verdict == "errs"


@pytest.mark.parametrize(("bits", "share"), [(8, 0.37), (4, 0.27)])
def test_measured_memory_falls_to_other_shares_than_the_document_says(
    tables: SeedTables, bits: int, share: float
) -> None:
    assert published_peak(tables, bits) / published_peak(tables, 16) == pytest.approx(share, abs=0.005)
    key = {8: "memory-to-50-percent", 4: "memory-to-25-percent"}[bits]
    assert f"{share:.0%}".replace("%", " %") in next(item for item in tables.statements if item.key == key).note


def test_the_model_ranks_the_classes_as_the_document_does(llama: ModelSpec) -> None:
    """Load and training at batch 4 of short NER samples: each width fits its class of card, none the class below."""
    gpu = load_gpus().by_id["A100-SXM-80GB"]
    recipes = [
        Recipe(
            tuning=Tuning.LORA, bits=bits, lora_rank=8, target_modules=QKV, sharding=Sharding.NONE, stack=Stack.HF,
            stack_known=True, micro_batch=4, seq_len=256, kbit_preparation=True,
        )
        for bits in (16, 8, 4)
    ]  # fmt: skip
    memory = estimate_memory(
        tabulate([(llama, recipe, Machine(gpu=gpu)) for recipe in recipes]), load_memory_constants()
    )
    peaks = memory.load_peak.expected / GIB
    assert peaks[0] > 30
    assert 10.5 < peaks[1] < 16
    assert 8 < peaks[2] < 12
