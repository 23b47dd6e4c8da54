from __future__ import annotations

from typing import Any

import pytest

from providers.bundled import load_bundled_offers
from providers.errors import ResponseChanged
from providers.gpus import load_gpus
from providers.payload import Fields, RowProblem
from providers.sources.aws_machines import (
    FAMILIES,
    NOT_GPUS,
    SLICES,
    Machine,
    family_of,
    machine_of_attributes,
    parse_machines,
    parse_network,
)
from providers.units import GB, GIB, MIB

GPUS = load_gpus()


def description(instance_type: str, name: str, memory_mib: int, *, count: int = 8, **more: Any) -> dict[str, Any]:
    kind = {"Name": name, "Manufacturer": "NVIDIA", "Count": count, "MemoryInfo": {"SizeInMiB": memory_mib}}
    return {
        "InstanceType": instance_type,
        "VCpuInfo": {"DefaultVCpus": 96},
        "MemoryInfo": {"SizeInMiB": 1_179_648},
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "SupportedUsageClasses": ["on-demand", "spot"],
        "GpuInfo": {"Gpus": [{**kind, **more.pop("gpu", {})}], "TotalGpuMemoryInMiB": count * memory_mib},
        **more,
    }


def described(*rows: Any) -> Machine:
    machines, dropped = parse_machines(rows, GPUS)
    assert not dropped
    [machine] = machines.values()
    return machine


def listed(instance_type: str, **attributes: str) -> Machine:
    return machine_of_attributes(Fields({"instanceType": instance_type, **attributes}), GPUS)


@pytest.mark.parametrize(
    ("instance_type", "name", "memory_mib", "gpu"),
    [
        ("g4dn.12xlarge", "T4", 16384, "T4-16GB"),
        ("g5.xlarge", "A10G", 22888, "A10G-24GB"),
        ("g5g.xlarge", "T4g", 16384, "T4G-16GB"),
        ("g6.xlarge", "L4", 22888, "L4-24GB"),
        ("gr6.4xlarge", "L4", 22888, "L4-24GB"),
        ("g6e.xlarge", "L40S", 45776, "L40S-48GB"),
        ("g7.2xlarge", "RTX PRO 4500", 32768, "RTX-PRO-4500-32GB"),
        ("g7e.2xlarge", "RTX PRO Server 6000", 98304, "RTX-PRO-6000-96GB"),
        ("p3.16xlarge", "V100", 16384, "V100-SXM2-16GB"),
        ("p3dn.24xlarge", "V100", 32768, "V100-SXM2-32GB"),
        ("p4d.24xlarge", "A100", 40960, "A100-SXM-40GB"),
        ("p4de.24xlarge", "A100", 81920, "A100-SXM-80GB"),
        ("p5.48xlarge", "H100", 81920, "H100-SXM-80GB"),
        ("p5e.48xlarge", "H200", 144384, "H200-SXM-141GB"),
        ("p5en.48xlarge", "H200", 144384, "H200-SXM-141GB"),
        ("p6-b200.48xlarge", "B200", 183359, "B200-SXM-180GB"),
        ("p6-b300.48xlarge", "B300", 275040, "B300-SXM-288GB"),
    ],
)
def test_a_name_and_a_family_are_one_gpu(instance_type: str, name: str, memory_mib: int, gpu: str) -> None:
    machine = described(description(instance_type, name, memory_mib))
    assert (machine.gpu, machine.gpu_name, machine.gpu_count) == (gpu, name, 8)
    # Usable or nameplate, it is within what the gate accepts, and no alarm.
    assert machine.gpu_memory_bytes == memory_mib * MIB
    assert machine.flags == (("arm_host",) if instance_type == "g5g.xlarge" else ())


def test_the_table_of_families_names_gpus_that_exist_and_agrees_with_the_bundled_list() -> None:
    assert {family.gpu for family in FAMILIES.values()} - {None} <= set(GPUS.by_id)
    bundled = {
        family_of(offer.instance_type): offer.gpu for offer in load_bundled_offers(GPUS) if offer.provider == "aws"
    }
    assert bundled
    assert {family: FAMILIES[family].gpu for family in bundled} == bundled
    assert not set(NOT_GPUS) & set(FAMILIES)


def test_another_chip_in_a_known_family_is_not_believed() -> None:
    machine = described(description("p5.48xlarge", "H800", 81920))
    assert machine.gpu is None
    assert machine.gpu_name == "H800"
    assert machine.flags == ("gpu_unknown",)


def test_a_family_of_tomorrow_is_kept_without_a_gpu() -> None:
    machine = described(description("p9.48xlarge", "H100", 81920))
    assert (machine.gpu, machine.flags, machine.gpu_count) == (None, ("gpu_unknown",), 8)


def test_a_radeon_and_a_gaudi_are_gpus_that_the_table_does_not_know() -> None:
    for name, chip in (("g4ad.xlarge", "Radeon Pro V520"), ("dl1.24xlarge", "Gaudi HL-205")):
        machine = described(description(name, chip, 8192))
        assert (machine.gpu, machine.gpu_name, machine.flags) == (None, chip, ("gpu_unknown",))


def test_memory_that_contradicts_the_chip_excludes_it() -> None:
    machine = described(description("p4d.24xlarge", "A100", 81920))
    assert machine.flags == ("memory_mismatch",)
    assert machine.gpu_memory_bytes is None


@pytest.mark.parametrize(
    ("name", "memory_mib", "size", "shown"),
    [
        ("g6f.large", 2861, 0.125, "L4 (1/8)"),
        ("g6f.2xlarge", 5722, 0.25, "L4 (1/4)"),
        ("gr6f.4xlarge", 11444, 0.5, "L4 (1/2)"),
        ("g6f.2xlarge", 5722, None, "L4 (1/4)"),  # an older boto3 does not know the field
        ("g9f.large", 2861, None, "L4"),
    ],
)
def test_a_slice_comes_with_a_count_of_zero(name: str, memory_mib: int, size: float | None, shown: str) -> None:
    machine = described(description(name, "L4", memory_mib, count=0, gpu={"GpuPartitionSize": size}))
    assert (machine.gpu, machine.gpu_name, machine.gpu_count) == (None, shown, 1)
    assert machine.flags == ("fractional", "gpu_unknown")
    assert machine.gpu_memory_bytes is None


def test_slices_are_named_as_in_the_bundled_list() -> None:
    bundled = {
        offer.instance_type: offer.gpu_name for offer in load_bundled_offers(GPUS) if "fractional" in offer.flags
    }
    ours = {name: f"L4 ({share})" for name, share in SLICES.items()}
    assert {name: bundled[name] for name in ours} == ours


def test_the_rest_of_a_machine() -> None:
    machine = described(
        description(
            "g5g.xlarge", "T4g", 16384, count=1,
            ProcessorInfo={"SupportedArchitectures": ["arm64"]}, InstanceStorageSupported=False,
            NetworkInfo={"NetworkPerformance": "Up to 10 Gigabit", "NetworkCards": [{"BaselineBandwidthInGbps": 1.25}]},
        )
    )  # fmt: skip
    assert machine.flags == ("arm_host",)
    assert (machine.vcpus, machine.host_ram_bytes) == (96, 1152 * GIB)
    assert machine.disk_bytes == 0
    assert machine.network_bytes_per_s == 1.25 * 125_000_000
    assert machine.usage == {"on-demand", "spot"}


def test_what_is_not_said_is_unknown() -> None:
    machine = described(description("g5.xlarge", "A10G", 0, count=1, gpu={"MemoryInfo": None}))
    assert machine.disk_bytes is None
    assert machine.network_bytes_per_s is None
    assert machine.gpu_memory_bytes is None


def test_a_burst_over_several_cards_has_no_baseline() -> None:
    network = {"NetworkPerformance": "Up to 25 Gigabit", "NetworkCards": [{"BaselineBandwidthInGbps": 5.0}] * 2}
    assert described(description("g5.xlarge", "A10G", 22888, NetworkInfo=network)).network_bytes_per_s is None


def test_machines_without_gpus_are_left_out_and_broken_rows_named() -> None:
    plain = {key: value for key, value in description("m5.large", "-", 1).items() if key != "GpuInfo"}
    two_kinds = description("p9.large", "H100", 81920)
    two_kinds["GpuInfo"]["Gpus"] *= 2
    machines, dropped = parse_machines(
        [plain, two_kinds, description("p5.48xlarge", "H100", 81920, count=-1), "row"], GPUS
    )
    assert machines == {}
    assert [(row.item, row.reason) for row in dropped] == [
        ("p9.large", "unknown_shape"), ("p5.48xlarge", "bad_count"), ("row without a type", "bad_row"),
    ]  # fmt: skip


def test_an_answer_of_another_shape_is_refused() -> None:
    with pytest.raises(ResponseChanged, match="no machine type"):
        parse_machines([{"weather": "grey"}], GPUS)


@pytest.mark.parametrize(
    ("text", "gbit"),
    [
        ("400 Gigabit", 400), ("4x 100 Gigabit", 400), ("37500 Megabit", 37.5), ("12.5 Gigabit", 12.5),
        ("Up to 25 Gigabit", None), ("Moderate", None), ("", None), ("0 Gigabit", None), ("٣ Gigabit", None),
    ],
)  # fmt: skip
def test_network_in_words(text: str, gbit: float | None) -> None:
    assert parse_network(text) == (None if gbit is None else gbit * 125_000_000)


def test_the_price_list_describes_a_machine_by_its_family() -> None:
    machine = listed(
        "p4d.24xlarge", gpu="8", gpuMemory="320 GB HBM2", vcpu="96", memory="1,152 GiB", storage="8 x 1000 SSD",
        networkPerformance="400 Gigabit",
    )  # fmt: skip
    assert (machine.gpu, machine.gpu_name, machine.gpu_count) == ("A100-SXM-40GB", "A100", 8)
    assert machine.host_ram_bytes == 1152 * GIB
    assert machine.gpu_memory_bytes == 40 * GB
    assert machine.disk_bytes == 8000 * GB
    assert machine.network_bytes_per_s == 400 * 125_000_000
    assert machine.vcpus == 96


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ("24 GB", 24 * GB), ("96 GB", 24 * GB), ("24 GiB", 24 * GIB), ("90 GiB", 90 * GIB // 4),
        ("8 GB", None), ("NA", None), ("", None), ("24", None), ("24 TB", None),
    ],
)  # fmt: skip
def test_gpu_memory_of_the_price_list_is_of_one_or_of_all(stated: str, found: int | None) -> None:
    machine = listed("g5.12xlarge", gpu="4", gpuMemory=stated)
    assert machine.gpu_memory_bytes == found
    assert not machine.flags


@pytest.mark.parametrize("memory", ["1152", "1152 GB", "NA", "many GiB", "", "1.152.000 GiB", ". GiB", "0 GiB"])
def test_host_memory_in_another_unit_is_unknown(memory: str) -> None:
    assert listed("g5.xlarge", gpu="1", memory=memory).host_ram_bytes is None


@pytest.mark.parametrize(
    ("storage", "found"),
    [
        ("EBS only", 0), ("1 x 250 NVMe SSD", 250 * GB), ("125 GB NVMe SSD", 125 * GB),
        ("2 x 900 GB NVMe SSD", 1800 * GB), ("8 x 3840 GB SSD", 8 * 3840 * GB), ("2 x 2 TB HDD", None), ("NA", None),
    ],
)  # fmt: skip
def test_disks_of_the_price_list(storage: str, found: int | None) -> None:
    assert listed("g5.xlarge", gpu="1", storage=storage).disk_bytes == found


@pytest.mark.parametrize("gpu", ["", "0", "NA", "0.25", "1"])
def test_a_slice_of_the_price_list_is_known_by_its_type(gpu: str) -> None:
    machine = listed("g6f.2xlarge", gpu=gpu, gpuMemory="6 GB")
    assert (machine.gpu, machine.gpu_name, machine.gpu_count) == (None, "L4 (1/4)", 1)
    assert machine.flags == ("fractional", "gpu_unknown")


@pytest.mark.parametrize(
    ("instance_type", "gpu", "reason"),
    [
        ("m5.large", "", "not_a_gpu"), ("m5.large", "0", "not_a_gpu"), ("trn1.2xlarge", "NA", "not_a_gpu"),
        ("p5.48xlarge", "", "bad_count"), ("p5.48xlarge", "eight", "bad_count"), ("x9.large", "0.5", "bad_count"),
        ("p5.48xlarge", "99999", "bad_count"), ("p5.48xlarge", "-8", "bad_count"), ("p5.48xlarge", "٨", "bad_count"),
    ],
)  # fmt: skip
def test_no_gpu_or_no_number_of_them(instance_type: str, gpu: str, reason: str) -> None:
    with pytest.raises(RowProblem) as caught:
        listed(instance_type, gpu=gpu)
    assert caught.value.reason == reason


def test_a_gpu_of_tomorrow_in_the_price_list_has_a_name() -> None:
    machine = listed("p9.48xlarge", gpu="8")
    assert (machine.gpu, machine.gpu_name, machine.flags) == (None, "GPU of p9", ("gpu_unknown",))
