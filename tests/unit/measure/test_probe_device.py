"""Cards by their drivers' names, and memory read from counters that behave like those of torch.cuda."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from optimizer.measure import probe, probe_device
from optimizer.measure.gpu_names import DRIVER_NAMES, canonical_gpu
from optimizer.measure.probe_case import read_case
from optimizer.measure.probe_device import Device, ProbeUnavailable, open_cuda, require_extra, require_package
from optimizer.measure.probe_load import Loaded, check_packages
from optimizer.measure.probe_steps import tokens_per_step
from optimizer.measure.record import RunStatus, parse_run
from optimizer.physics.axes import Attention, Loss, Objective, Optimizer, Tuning
from optimizer.physics.recipe import Recipe
from providers.errors import JobError
from providers.gpus import load_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator

GIB = 2**30


class Counters:
    """What torch.cuda counts: allocations move the peaks, a reset lets the peaks start at what is held."""

    def __init__(self, total: int = 80 * GIB, context: int = GIB // 2) -> None:
        self.total, self.context = total, context
        self.held = self.most_held = self.cached = self.most_cached = 0

    def allocate(self, size: int) -> None:
        if self.held + size + self.context > self.total:
            raise OutOfMemory(f"CUDA out of memory. Tried to allocate {size / GIB:.2f} GiB.")
        self.held += size
        self.most_held = max(self.most_held, self.held)
        self.cached = max(self.cached, self.held)
        self.most_cached = max(self.most_cached, self.cached)

    def free(self, size: int) -> None:
        self.held -= size

    def max_memory_allocated(self) -> int:
        return self.most_held

    def max_memory_reserved(self) -> int:
        return self.most_cached

    def reset_peak_memory_stats(self) -> None:
        self.most_held, self.most_cached = self.held, self.cached

    def mem_get_info(self) -> tuple[int, int]:
        return self.total - self.cached - self.context, self.total

    def synchronize(self) -> None:
        return


class OutOfMemory(RuntimeError):
    pass


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Counters:
    """A probe on an H100 that is simulated by its counters; loading and steps are the tests' own."""
    counters = Counters()
    cuda = SimpleNamespace(OutOfMemoryError=OutOfMemory)
    monkeypatch.setitem(
        sys.modules, "torch", SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda="13.0", hip=None))
    )
    monkeypatch.setattr(probe, "prepare_imports", lambda: None)
    monkeypatch.setattr(probe, "require_extra", lambda: None)
    monkeypatch.setattr(probe, "fused_adamw", lambda: True)
    monkeypatch.setattr(probe, "check_packages", lambda *_: None)
    device = Device(kind="cuda", name="NVIDIA H100 80GB HBM3", gpu="H100-SXM-80GB", cuda=counters)
    monkeypatch.setattr(probe, "open_device", lambda kind: device)
    return counters


def loads(monkeypatch: pytest.MonkeyPatch, card: Counters, *, peak: int, left: int) -> None:
    def load(*_: object) -> Loaded:
        card.allocate(peak)
        card.free(peak - left)
        return Loaded(model=None, reference=None, vocab=9, built_params=1235814400, trained_params=11, notes=("so",))

    monkeypatch.setattr(probe, "load", load)


def steps(monkeypatch: pytest.MonkeyPatch, card: Counters, *sizes: int) -> None:
    def run_steps(*_: object) -> Iterator[float]:
        for at, size in enumerate(sizes, start=1):
            card.allocate(size)
            card.free(size)
            yield float(at)

    monkeypatch.setattr(probe, "run_steps", run_steps)


def measured(**values: object) -> Any:
    return probe.run_probe(read_case({"model": "llama-3.2-1b", "seq_len": 100, **values}, where="x"), made_at="now")


def test_load_peak_training_peak_and_card_are_three_readings(monkeypatch: pytest.MonkeyPatch, card: Counters) -> None:
    loads(monkeypatch, card, peak=9 * GIB, left=3 * GIB)
    steps(monkeypatch, card, 4 * GIB, 5 * GIB, 2 * GIB)
    result = measured(micro_batch=3, grad_accum=2)
    read = result.run.readings
    assert read.load_peak_bytes == 9 * GIB
    assert read.allocated_bytes == 8 * GIB
    assert read.reserved_bytes == 9 * GIB
    assert read.device_bytes == 9 * GIB + GIB // 2
    assert read.step_s == (1.0, 2.0, 3.0)
    assert read.tokens_per_s == 3 * 2 * 100 / 2.0
    assert (read.trained_params, result.built_params, result.notes) == (11, 1235814400, ("so",))
    assert (result.run.gpu, result.run.gpu_name) == ("H100-SXM-80GB", "NVIDIA H100 80GB HBM3")
    assert result.run.recipe.fused_optimizer is True
    assert result.run.versions["cuda"] == "13.0"
    assert parse_run(result.document(), where="x") == result.run


def test_running_out_in_a_step_keeps_what_was_read_until_then(monkeypatch: pytest.MonkeyPatch, card: Counters) -> None:
    loads(monkeypatch, card, peak=9 * GIB, left=3 * GIB)
    steps(monkeypatch, card, 4 * GIB, 100 * GIB)
    run = measured().run
    assert run.status is RunStatus.OUT_OF_MEMORY
    assert run.error == "out of memory while training: CUDA out of memory. Tried to allocate 100.00 GiB."
    assert (run.readings.load_peak_bytes, run.readings.allocated_bytes) == (9 * GIB, 7 * GIB)
    assert (run.readings.step_s, run.readings.tokens_per_s) == ((1.0,), None)


def test_running_out_while_loading_has_no_training_peak(monkeypatch: pytest.MonkeyPatch, card: Counters) -> None:
    def load(*_: object) -> Loaded:
        card.allocate(70 * GIB)
        card.allocate(70 * GIB)
        raise AssertionError

    monkeypatch.setattr(probe, "load", load)
    run = measured().run
    assert run.status is RunStatus.OUT_OF_MEMORY
    assert run.error.startswith("out of memory while loading: CUDA out of memory.")
    assert (run.readings.load_peak_bytes, run.readings.allocated_bytes) == (70 * GIB, None)
    assert run.readings.trained_params is None


def test_another_error_is_no_measurement(monkeypatch: pytest.MonkeyPatch, card: Counters) -> None:
    def load(*_: object) -> Loaded:
        raise RuntimeError("device-side assert triggered")

    monkeypatch.setattr(probe, "load", load)
    with pytest.raises(RuntimeError, match="device-side assert"):
        measured()


def test_what_the_chip_cannot_do_is_refused_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, card: Counters
) -> None:
    turing = Device(kind="cuda", name="Tesla T4", gpu="T4-16GB", half="fp16", cuda=card)
    monkeypatch.setattr(probe, "open_device", lambda kind: turing)
    with pytest.raises(JobError, match="FlashAttention needs compute capability"):
        measured(attention="flash")


@pytest.mark.parametrize(
    ("name", "total_gib", "gpu"),
    [
        ("NVIDIA H100 80GB HBM3", 79.1, "H100-SXM-80GB"),
        ("NVIDIA H100 PCIe", 79.1, "H100-PCIE-80GB"),
        ("NVIDIA H100 NVL", 93.1, "H100-NVL-94GB"),
        ("NVIDIA H200", 139.8, "H200-SXM-141GB"),
        ("NVIDIA B200", 178.4, "B200-SXM-180GB"),
        ("NVIDIA GH200 120GB", 94.5, "GH200-96GB"),
        ("NVIDIA A100-SXM4-80GB", 79.3, "A100-SXM-80GB"),
        ("NVIDIA A100-SXM4-40GB", 39.4, "A100-SXM-40GB"),
        ("NVIDIA A100 80GB PCIe", 79.3, "A100-PCIE-80GB"),
        ("NVIDIA A10G", 22.0, "A10G-24GB"),
        ("NVIDIA A10", 22.0, "A10-24GB"),
        ("NVIDIA L4", 22.2, "L4-24GB"),
        ("NVIDIA L40S", 44.4, "L40S-48GB"),
        ("Tesla T4", 14.6, "T4-16GB"),
        ("Tesla V100-SXM2-16GB", 15.8, "V100-SXM2-16GB"),
        ("NVIDIA GeForce RTX 4090", 23.6, "RTX-4090-24GB"),
        ("NVIDIA GeForce RTX 3090", 23.7, "RTX-3090-24GB"),
        ("NVIDIA GeForce RTX 3060", 11.8, "RTX-3060-12GB"),
        ("NVIDIA GeForce RTX 3060", 7.8, None),
        ("NVIDIA GeForce RTX 4060 Ti", 7.8, None),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", 19.5, None),
        ("NVIDIA H100 80GB HBM3", 39.5, None),
        ("NVIDIA GeForce RTX 4090 D", 23.6, None),
        ("NVIDIA H20", 95.0, None),
        ("", 1.0, None),
    ],
)  # fmt: skip
def test_a_card_is_known_by_its_whole_name_and_its_memory(name: str, total_gib: float, gpu: str | None) -> None:
    assert canonical_gpu(name, int(total_gib * GIB)) == gpu


def test_names_of_drivers_stand_for_cards_that_are_there_and_only_where_the_table_does_not_know_them() -> None:
    table = load_gpus()
    assert set(DRIVER_NAMES.values()) <= set(table.by_id)
    assert [name for name in DRIVER_NAMES if table.resolve(name)] == []


def fake_cuda(name: str, *, capability: tuple[int, int], total: int, used: int) -> SimpleNamespace:
    return SimpleNamespace(
        get_device_name=lambda: name,
        current_device=lambda: 0,
        get_device_properties=lambda at: SimpleNamespace(total_memory=total),
        get_device_capability=lambda: capability,
        mem_get_info=lambda: (total - used, total),
    )


def test_a_card_with_bf16_units_computes_in_it_and_an_older_one_in_fp16() -> None:
    ampere = open_cuda(fake_cuda("NVIDIA A10G", capability=(8, 6), total=22 * GIB, used=GIB // 2))
    turing = open_cuda(fake_cuda("Tesla T4", capability=(7, 5), total=int(14.6 * GIB), used=GIB // 4))
    assert (ampere.half, turing.half) == ("bf16", "fp16")
    assert (ampere.gpu, turing.gpu, ampere.notes) == ("A10G-24GB", "T4-16GB", ())


def test_an_unknown_or_a_busy_card_is_said() -> None:
    device = open_cuda(fake_cuda("NVIDIA X999", capability=(12, 0), total=99 * GIB, used=5 * GIB))
    assert device.gpu is None
    assert device.notes == (
        "the card 'NVIDIA X999' with 99.0 GiB is not in the GPU table",
        "5.0 GiB of the card were in use before the probe: its device reading holds them",
    )


def test_a_cpu_has_a_name_and_no_memory_readings() -> None:
    device = probe_device.open_device("cpu")
    assert device.name.startswith("CPU")
    device.reset_peaks()
    device.synchronize()
    assert (device.allocated_peak(), device.reserved_peak(), device.used_bytes()) == (None, None, None)
    assert device.notes == ("memory was not read: torch counts that of GPUs only",)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_device, "find_spec", lambda name: None)
    with pytest.raises(ProbeUnavailable) as caught:
        require_extra()
    assert str(caught.value).startswith("tunefare probe needs the extra: pip install 'tunefare[probe]' (torch, trans")
    assert caught.value.exit_code == 2
    with pytest.raises(ProbeUnavailable, match="pip install liger-kernel"):
        require_package("liger-kernel", "--loss fused", module="liger_kernel")


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"bits": 4}, "cuda", "weights of 4 bits needs the package bitsandbytes"),
        ({"bits": 8}, "cpu", "weights of 8 bits needs the package bitsandbytes"),
        ({"optimizer": Optimizer.ADAMW_8BIT}, "cuda", "bitsandbytes"),
        ({"attention": Attention.FLASH}, "cuda", "flash-attn"),
        ({"loss": Loss.FUSED}, "cuda", "liger-kernel"),
        ({"loss": Loss.FUSED}, "cpu", "need a GPU"),
    ],
)
def test_a_package_that_the_recipe_asks_for_is_named(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], kind: str, says: str
) -> None:
    monkeypatch.setattr(probe_device, "find_spec", lambda name: None)
    recipe = replace(Recipe(tuning=Tuning.LORA), **changes)
    with pytest.raises(ProbeUnavailable, match=says):
        check_packages(recipe, kind)
    check_packages(Recipe(tuning=Tuning.LORA), kind)


def test_paged_state_on_a_cpu_is_refused_even_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_device, "find_spec", lambda name: "there")
    recipe = Recipe(tuning=Tuning.LORA, optimizer=Optimizer.PAGED_ADAMW_8BIT)
    with pytest.raises(ProbeUnavailable, match="paged optimizer state needs a GPU"):
        check_packages(recipe, "cpu")


def test_a_pair_is_two_rows() -> None:
    recipe = Recipe(tuning=Tuning.LORA, micro_batch=3, grad_accum=2, seq_len=10)
    assert tokens_per_step(recipe) == 60
    assert tokens_per_step(replace(recipe, objective=Objective.DPO)) == 120
