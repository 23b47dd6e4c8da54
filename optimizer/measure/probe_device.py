"""The device that a probe runs on: which one, what it computes in, and what its memory counters say."""

from __future__ import annotations

import logging
import os
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from optimizer.version import VERSION
from providers.errors import TunefareError

from .gpu_names import canonical_gpu

if TYPE_CHECKING:
    from collections.abc import Mapping

EXTRA = "tunefare probe needs the extra: pip install 'tunefare[probe]'"
NEEDED = ("torch", "transformers", "peft", "accelerate")
RECORDED = (*NEEDED, "bitsandbytes", "safetensors", "triton", "liger-kernel", "flash-attn")
CUDA, CPU = "cuda", "cpu"
IN_USE_BYTES = 2 * 2**30
"""More than a CUDA context ever takes: with so much in use at the start, somebody else is on the card."""


class ProbeUnavailable(TunefareError):
    """What a probe needs is not on this machine: a package, a device, room on the disk."""

    exit_code: ClassVar[int] = 2


class CudaCounters(Protocol):
    """The part of `torch.cuda` that memory is read with."""

    def max_memory_allocated(self) -> int:
        """Return the most bytes that tensors held since the last reset."""

    def max_memory_reserved(self) -> int:
        """Return the most bytes that the caching allocator held since the last reset."""

    def reset_peak_memory_stats(self) -> None:
        """Start the peaks anew, at what is held now."""

    def mem_get_info(self) -> tuple[int, int]:
        """Return free and total bytes of the card, by the driver."""

    def synchronize(self) -> None:
        """Wait for all work of the card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a probe runs. `kind` is cuda | cpu, `half` bf16 | fp16; `gpu` the canonical id, None where unknown.

    `cuda` reads memory; None on a CPU, whose memory nobody counts.
    """

    kind: str
    name: str
    gpu: str | None = None
    half: str = "bf16"
    cuda: CudaCounters | None = None
    used_before_bytes: int = 0
    notes: tuple[str, ...] = field(default=())

    def synchronize(self) -> None:
        """Wait until everything asked of the device is done, so that a clock read now is honest."""
        if self.cuda is not None:
            self.cuda.synchronize()

    def reset_peaks(self) -> None:
        """Start counting the peaks of the training steps."""
        if self.cuda is not None:
            self.cuda.reset_peak_memory_stats()

    def allocated_peak(self) -> int | None:
        """Return the peak of allocated bytes since the last reset; None on a CPU."""
        return None if self.cuda is None else self.cuda.max_memory_allocated()

    def reserved_peak(self) -> int | None:
        """Return the peak of reserved bytes since the last reset; None on a CPU."""
        return None if self.cuda is None else self.cuda.max_memory_reserved()

    def used_bytes(self) -> int | None:
        """Return what the driver counts as used on the whole card, context included; None on a CPU."""
        if self.cuda is None:
            return None
        free, total = self.cuda.mem_get_info()
        return total - free


def require_extra() -> None:
    """Raise ProbeUnavailable, naming the packages, unless all that every probe needs can be imported."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ProbeUnavailable(f"{EXTRA} ({', '.join(missing)} not installed)")


def require_package(name: str, why: str, *, module: str = "") -> None:
    """Raise ProbeUnavailable, saying what `name` is wanted for, unless it can be imported."""
    if find_spec(module or name) is None:
        raise ProbeUnavailable(f"{why} needs the package {name}, which is not installed: pip install {name}")


def prepare_imports() -> None:
    """Tell the libraries to stay off the network and to be quiet, before anything of theirs is imported."""
    # Shapes come from a table or a file, weights from a random generator: a hub has nothing to add.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import transformers

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def open_device(kind: str | None) -> Device:
    """Return the device of that kind; None means the GPU.

    Raises ProbeUnavailable where torch can use no GPU: a probe never falls back to the CPU by itself.
    """
    if kind == CPU:
        return Device(kind=CPU, name=cpu_name(), notes=("memory was not read: torch counts that of GPUs only",))
    require_gpu()
    import torch

    return open_cuda(torch.cuda)


def require_gpu() -> None:
    """Raise ProbeUnavailable unless torch can use a GPU; nothing is put on it to find out."""
    import torch

    if not torch.cuda.is_available():
        raise ProbeUnavailable(f"torch {torch.__version__} can use no GPU here: --device cpu probes the CPU instead")


def open_cuda(cuda: Any) -> Device:
    """Return the current GPU of `torch.cuda`, by its name, its memory and its compute capability."""
    name = str(cuda.get_device_name())
    properties = cuda.get_device_properties(cuda.current_device())
    # torch emulates bf16 where a chip has no units for it: nobody trains like that.
    native = tuple(cuda.get_device_capability()) >= (8, 0) or "AMD" in name
    free, total = cuda.mem_get_info()
    used, notes = total - free, []
    gpu = canonical_gpu(name, int(properties.total_memory))
    if gpu is None:
        notes.append(f"the card {name!r} with {properties.total_memory / 2**30:.1f} GiB is not in the GPU table")
    if used > IN_USE_BYTES:
        notes.append(f"{used / 2**30:.1f} GiB of the card were in use before the probe: its device reading holds them")
    return Device(
        kind=CUDA,
        name=name,
        gpu=gpu,
        half="bf16" if native else "fp16",
        cuda=cuda,
        used_before_bytes=used,
        notes=tuple(notes),
    )


def cpu_name() -> str:
    """Return what the system calls its processor, "CPU" before it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, UnicodeDecodeError):
        name = platform.processor() or platform.machine()
    return f"CPU {name}".strip()


def read_versions(cuda: str | None = None) -> Mapping[str, str]:
    """Return the versions of what takes part, by package; `cuda` is the version that torch was built for."""
    found = {"tunefare": VERSION, "python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | ({"cuda": cuda} if cuda else {})
