"""A checkpoint of random weights on disk: k-bit weights are loaded from files, as those who train with them do."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .probe_device import ProbeUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHARD_BYTES = 2 * 10**9
BLOCK = 2**22
"""Random numbers that are repeated: drawing billions would take longer than measuring."""
SPREAD = 0.02
"""Standard deviation of weights, as transformers initialises most of its models."""
ROOM = 1.05
PREFIX = "random-"


def random_checkpoint(config: Any, folder: Path, dtype: Any) -> Path:
    """Return a folder in `folder` with a checkpoint of this configuration: safetensors shards of about 2 GB.

    One that is there from an earlier case is taken again; others are removed, so that the disk holds one at a time.
    Raises ProbeUnavailable where the disk has no room for it.
    """
    shape = json.dumps(config.to_dict(), sort_keys=True, default=str)
    name = PREFIX + hashlib.sha256(f"{shape} {dtype}".encode()).hexdigest()[:16]
    place = folder / name
    if (place / "model.safetensors.index.json").is_file():
        return place
    for other in folder.glob(f"{PREFIX}*"):
        shutil.rmtree(other, ignore_errors=True)
    try:
        place.mkdir()
        _write_shards(config, place, dtype)
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(place)
        raise
    return place


def _write_shards(config: Any, place: Path, dtype: Any) -> None:
    import torch
    import transformers
    from safetensors.torch import save_file

    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    needed = sum(parameter.numel() for parameter in model.parameters()) * dtype.itemsize
    free = shutil.disk_usage(place).free
    if free < needed * ROOM:
        raise ProbeUnavailable(
            f"k-bit weights are loaded from a checkpoint of random weights, {needed / 1e9:.1f} GB, and {place.parent} "
            f"has {free / 1e9:.1f} GB free: point TMPDIR at a larger disk"
        )
    torch.manual_seed(0)
    block = torch.randn(BLOCK).mul_(SPREAD).to(dtype)
    where: dict[str, str] = {}
    for at, names in enumerate(_shards(shapes, dtype.itemsize)):
        file = f"model-{at:05d}.safetensors"
        save_file({name: _values(shapes[name], block) for name in names}, place / file, metadata={"format": "pt"})
        where |= dict.fromkeys(names, file)
    config.save_pretrained(place)
    index = {"metadata": {"total_size": needed}, "weight_map": where}
    # Last, because its presence says that the checkpoint is whole.
    (place / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _shards(shapes: dict[str, tuple[int, ...]], itemsize: int) -> Iterator[list[str]]:
    """Yield names in groups whose tensors take about SHARD_BYTES, in the order of the model."""
    names: list[str] = []
    held = 0
    for name, shape in shapes.items():
        size = itemsize
        for length in shape:
            size *= length
        if names and held + size > SHARD_BYTES:
            yield names
            names, held = [], 0
        names.append(name)
        held += size
    if names:
        yield names


def _values(shape: tuple[int, ...], block: Any) -> Any:
    """Return a tensor of that shape: ones for vectors (norms), the random block over and over for matrices."""
    import torch

    if len(shape) < 2:
        return torch.ones(shape, dtype=block.dtype)
    values = torch.empty(shape, dtype=block.dtype)
    flat = values.view(-1)
    for start in range(0, flat.numel(), BLOCK):
        part = flat[start : start + BLOCK]
        part.copy_(block[: part.numel()])
    return values
