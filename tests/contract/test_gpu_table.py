"""What every row of the GPU table must keep."""

from __future__ import annotations

import csv
from importlib import resources

import pytest

from optimizer.physics.runs import ARCHITECTURES as INDEXED
from providers.basis import Basis
from providers.gpus import ARCHITECTURES, load_gpus, normal_name

TABLE = load_gpus()
ROWS = list(csv.DictReader(resources.files("providers").joinpath("data/gpus.csv").read_text("utf-8").splitlines()))
ALL_IDS = sorted(TABLE.by_id)
AMD_OR_NVIDIA = [gpu_id for gpu_id in ALL_IDS if TABLE.by_id[gpu_id].vendor in {"NVIDIA", "AMD"}]
NO_BF16 = {"pascal", "volta", "turing"}
FP8 = {"ada", "ada-consumer", "hopper", "blackwell", "blackwell-consumer", "cdna3", "cdna4"}


def test_the_table_reaches_from_t4_to_b300_and_mi300x() -> None:
    wanted = {
        "T4-16GB", "V100-SXM2-16GB", "L4-24GB", "A10G-24GB", "L40S-48GB", "A100-SXM-40GB", "A100-SXM-80GB",
        "H100-SXM-80GB", "H100-PCIE-80GB", "H100-NVL-94GB", "H200-SXM-141GB", "B200-SXM-180GB", "B300-SXM-288GB",
        "RTX-A4000-16GB", "RTX-A5000-24GB", "RTX-A6000-48GB", "RTX-3090-24GB", "RTX-4090-24GB", "RTX-5090-32GB",
        "MI300X-OAM-192GB", "MI325X-OAM-256GB",
    }  # fmt: skip
    assert wanted <= set(TABLE.by_id)
    assert all(TABLE.by_id[gpu_id].trainable for gpu_id in wanted)


def test_architectures_are_those_that_physics_indexes() -> None:
    assert frozenset(INDEXED) == ARCHITECTURES


def test_every_spelling_stands_for_one_gpu() -> None:
    spellings: dict[str, str] = {}
    for row in ROWS:
        for name in (row["id"], *filter(None, row["aliases"].split(";"))):
            assert spellings.setdefault(normal_name(name), row["id"]) == row["id"], name
            found = TABLE.resolve(name)
            assert found is not None
            assert found.id == row["id"]
    assert set(TABLE.aliases) == set(spellings)


@pytest.mark.parametrize("gpu_id", ALL_IDS)
def test_row(gpu_id: str) -> None:
    gpu = TABLE.by_id[gpu_id]
    assert gpu_id.startswith(gpu.chip)
    assert gpu_id.endswith(f"-{gpu.memory_nameplate_gb:g}GB")
    assert gpu.source
    assert gpu.trainable or gpu.notes
    assert 0.88 < gpu.usable_bytes / (gpu.memory_nameplate_gb * 2**30) <= 1.0
    assert gpu.usable_basis in {Basis.MEASURED, Basis.DERIVED}
    assert gpu.usable_basis is Basis.DERIVED or "usable:" in gpu.source
    assert 1e11 < gpu.memory_bandwidth_bytes_per_s < 1e13
    figures = (
        gpu.bf16_flops_per_s, gpu.fp16_flops_per_s, gpu.fp8_flops_per_s, gpu.int8_ops_per_s, gpu.tf32_flops_per_s,
        gpu.fp32_flops_per_s, gpu.link_bytes_per_s, gpu.pcie_bytes_per_s,
    )  # fmt: skip
    assert all(figure is None or figure > 0 for figure in figures)


@pytest.mark.parametrize("gpu_id", AMD_OR_NVIDIA)
def test_peaks_are_in_order(gpu_id: str) -> None:
    """fp8 doubles fp16; tf32 is at most half of it; matrix units are not slower than plain fp32."""
    gpu = TABLE.by_id[gpu_id]
    assert gpu.supports_bf16 == (gpu.architecture not in NO_BF16)
    assert gpu.supports_fp8 == (gpu.architecture in FP8)
    assert gpu.fp8_flops_per_s is None or gpu.supports_fp8
    assert gpu.bf16_flops_per_s is None or gpu.supports_bf16
    assert gpu.link_bytes_per_s is not None
    assert gpu.pcie_bytes_per_s is not None
    assert gpu.link_bytes_per_s >= gpu.pcie_bytes_per_s
    if gpu.fp16_flops_per_s is None:
        assert not gpu.trainable
        return
    assert gpu.bf16_flops_per_s in {None, gpu.fp16_flops_per_s}
    if gpu.fp8_flops_per_s:
        assert gpu.fp8_flops_per_s == pytest.approx(2 * gpu.fp16_flops_per_s, rel=0.02)
    if gpu.tf32_flops_per_s:
        assert gpu.tf32_flops_per_s == pytest.approx(gpu.fp16_flops_per_s / 2, rel=0.02)
    if gpu.fp32_flops_per_s:
        assert gpu.fp32_flops_per_s < gpu.fp16_flops_per_s


@pytest.mark.parametrize("gpu_id", ALL_IDS)
def test_the_id_names_the_form_factor_where_the_chip_has_several(gpu_id: str) -> None:
    gpu = TABLE.by_id[gpu_id]
    forms = {other.form_factor for other in TABLE.by_id.values() if other.chip == gpu.chip}
    if len(forms) > 1 or gpu.form_factor in {"SXM", "SXM2", "OAM", "GCD", "NVL"}:
        assert gpu_id == f"{gpu.chip}-{gpu.form_factor}-{gpu.memory_nameplate_gb:g}GB"
    else:
        assert gpu_id == f"{gpu.chip}-{gpu.memory_nameplate_gb:g}GB"
