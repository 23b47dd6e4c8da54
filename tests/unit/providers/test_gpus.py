"""The GPU table: names, figures against published ones, and what a bad row is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from providers.basis import Basis
from providers.gpus import Gpu, load_gpus, make_table, normal_name

GIB = 2**30
TERA = 1e12


def gpu(name: str) -> Gpu:
    found = load_gpus().resolve(name)
    assert found is not None, name
    return found


@pytest.mark.parametrize(
    ("name", "gpu_id"),
    [
        ("h100-sxm-80gb", "H100-SXM-80GB"),
        ("H100", "H100-SXM-80GB"),
        ("  H100_SXM5 ", "H100-SXM-80GB"),
        ("H100 PCIe", "H100-PCIE-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-SXM-40GB"),
        ("A100-80GB-PCIe", "A100-PCIE-80GB"),
        ("A6000", "RTX-A6000-48GB"),
        ("RTX 6000 Ada", "RTX-6000-ADA-48GB"),
        ("Quadro RTX 6000", "QUADRO-RTX-6000-24GB"),
        ("RTX PRO 6000", "RTX-PRO-6000-96GB"),
        ("rtx4090", "RTX-4090-24GB"),
        ("A5000", "RTX-A5000-24GB"),
        ("MI300X", "MI300X-OAM-192GB"),
        ("t4", "T4-16GB"),
    ],
)
def test_resolve(name: str, gpu_id: str) -> None:
    assert gpu(name).id == gpu_id


@pytest.mark.parametrize(
    "name", ["", "A100", "V100", "A10", "RTX 6000", "RTX6000", "H10", "H100 SXM 80", "Tesla", "100"]
)
def test_resolve_knows_no_substrings_and_no_ambiguous_names(name: str) -> None:
    """A bare A100 hides its memory, a bare RTX 6000 its generation; A10 is a chip of its own."""
    found = load_gpus().resolve(name)
    assert (found.id if found else None) == ("A10-24GB" if name == "A10" else None)


def test_close_names_lead_to_the_ids() -> None:
    table = load_gpus()
    assert set(table.close_names("A100", limit=4)) >= {"A100-SXM-40GB", "A100-SXM-80GB", "A100-PCIE-40GB"}
    assert table.close_names("H100-SMX-80GB")[0] == "H100-SXM-80GB"
    assert table.close_names("") == ()
    assert table.close_names("abacus-in-wood-9000") == ()


def test_normal_name() -> None:
    assert normal_name(" RTX_6000  Ada-48GB ") == "rtx-6000-ada-48gb"


@pytest.mark.parametrize(
    ("name", "bf16", "bandwidth", "usable_gib"),
    [
        ("L4", 121, 300, 22.16),
        ("A10G", 70, 600, 21.99),
        ("A100-SXM-40GB", 312, 1555, 39.49),
        ("A100-SXM-80GB", 312, 2039, 79.25),
        ("H100-SXM-80GB", 989, 3350, 79.10),
        ("H200-SXM-141GB", 989, 4800, 139.72),
        ("L40S-48GB", 362, 864, 44.39),
        ("RTX-4090-24GB", 165.2, 1010, 23.61),
        ("RTX-3090-24GB", 71, 936, 23.67),
        ("RTX-A5000-24GB", 111.1, 768, 23.68),
        ("MI300X-OAM-192GB", 1307, 5300, 191.69),
    ],
)
def test_published_figures(name: str, bf16: float, bandwidth: float, usable_gib: float) -> None:
    """Dense peaks with fp32 accumulation, datasheet bandwidths, the lowest memory that torch was seen to report."""
    found = gpu(name)
    assert found.bf16_flops_per_s == pytest.approx(bf16 * TERA)
    assert found.peak_flops_per_s == found.bf16_flops_per_s
    assert found.memory_bandwidth_bytes_per_s == pytest.approx(bandwidth * 1e9)
    assert found.usable_bytes == pytest.approx(usable_gib * GIB, abs=1)
    assert found.usable_basis is Basis.MEASURED


def test_chips_without_bf16_compute_in_fp16() -> None:
    for name, fp16 in (("T4-16GB", 65), ("V100-SXM2-16GB", 125), ("V100-PCIE-16GB", 112)):
        found = gpu(name)
        assert not found.supports_bf16
        assert found.bf16_flops_per_s is None
        assert found.peak_flops_per_s == pytest.approx(fp16 * TERA)


def test_the_sxm_card_is_not_the_pcie_card() -> None:
    sxm, pcie = gpu("H100-SXM-80GB"), gpu("H100-PCIE-80GB")
    assert sxm.bf16_flops_per_s == pytest.approx(989e12)
    assert pcie.bf16_flops_per_s == pytest.approx(756e12)
    assert (sxm.link_kind, pcie.link_kind) == ("nvswitch", "pcie")
    assert sxm.link_bytes_per_s == pytest.approx(450e9)


def test_the_a6000_is_not_the_rtx_6000_ada() -> None:
    a6000, ada = gpu("RTX A6000"), gpu("RTX 6000 Ada")
    assert (a6000.architecture, ada.architecture) == ("ampere-consumer", "ada")
    assert (a6000.bf16_flops_per_s, ada.bf16_flops_per_s) == (154.85e12, 364.2e12)
    assert not a6000.supports_fp8
    assert ada.supports_fp8


def test_derived_memory_follows_the_documented_factors() -> None:
    assert gpu("A100-PCIE-80GB").usable_bytes == int(78.80 * GIB)  # 80 x 0.985
    assert gpu("A40").usable_bytes == int(43.68 * GIB)  # 48 x 0.91
    assert gpu("RTX A6000").usable_bytes == int(46.66 * GIB)  # 48 x 0.972
    assert gpu("B300").usable_bytes == int(266.72 * GIB)  # 268.6 x 0.993
    assert {gpu(name).usable_basis for name in ("A100-PCIE-80GB", "A40", "A6000", "B300")} == {Basis.DERIVED}


def test_a_dual_die_card_is_counted_by_die() -> None:
    assert not gpu("MI250X").trainable
    assert "two GCDs" in gpu("MI250X").notes
    assert gpu("MI250X-GCD-64GB").bf16_flops_per_s == pytest.approx(gpu("MI250X").bf16_flops_per_s / 2)  # type: ignore[operator]


@pytest.mark.parametrize(
    "name", ["Gaudi2", "TPU v5p", "Trainium2", "Inferentia2", "P40", "T4G", "GTX 1080", "RTX PRO 4500"]
)
def test_known_by_name_but_no_candidate(name: str) -> None:
    found = gpu(name)
    assert not found.trainable
    assert "not a candidate" in found.notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "amper"}, "architecture 'amper' is none of"),
        ({"link_kind": "NVLink"}, "link_kind 'NVLink' is none of"),
        ({"usable_bytes": 0}, "usable_bytes 0 is not within"),
        ({"usable_bytes": 81 * GIB}, "is not within"),
        ({"memory_bandwidth_bytes_per_s": 0.0}, "bandwidth is not positive"),
        ({"bf16_flops_per_s": None}, "without a bf16 or fp16 peak"),
    ],
)
def test_a_gpu_refuses_impossible_figures(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"gpu H100-SXM-80GB: .*{message}"):
        replace(gpu("H100"), **change)  # type: ignore[arg-type]


def test_a_table_refuses_a_spelling_of_two_gpus() -> None:
    h100, a40 = gpu("H100"), gpu("A40")
    with pytest.raises(ValueError, match=r"gpu A40-48GB: alias 'h100 ' already stands for H100-SXM-80GB"):
        make_table([(h100, ["H100"]), (a40, ["h100 "])])
    with pytest.raises(ValueError, match="appears twice"):
        make_table([(a40, []), (a40, [])])
