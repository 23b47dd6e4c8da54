"""Reading how the GPUs of a case share its work: data parallelism, what it shards, offload, nodes; what is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from optimizer.physics.axes import Offload, Sharding, Stack
from providers.errors import KnowledgeMissing

from .case_fields import text
from .case_words import says
from .case_words import stated as stated_in

if TYPE_CHECKING:
    from collections.abc import Mapping

PARALLEL = "tensor/pipeline/expert parallel: not modelled"
SPREAD = "layers spread over GPUs (device_map): not modelled"
ACTIVATION_OFFLOAD = re.compile(r"act(?:ivation)?s?[ _-](?:cpu[ _-])?offload\w*")

_KIND = r"tensor|pipeline|context|expert|sequence|ulysses"
_DEGREE = re.compile(
    rf"(?<![a-z])(tp|pp|cp|ep|sp|usp|(?:{_KIND})(?:[ _-]?model)?[ _-]parallel(?:ism)?)"
    r"(?:[ _-]?(?:size|degree))?\s*[=:(]?\s*(\d+)"
)
_WAYS = re.compile(rf"(\d+)[ -]way (tp|pp|cp|ep|sp|{_KIND}|model)")
_NAMED = re.compile(rf"(?<![a-z])(?:tp|pp|(?:{_KIND})(?:[ _-]?model)?[ _-]parallel\w*)(?![\s=:(_a-z-]*\d)")
_SPREAD = re.compile(
    r"device_map|naive (?:mp|pipeline|model)|(?<![a-z])(?<!tensor )(?<!pipeline )model[ _-]parallel|split across"
    r"|spread over"
)
_STAGE = re.compile(
    r"(?:zero|stage|(?<![a-z0-9])z|ds[ _-]?z|deepspeed)(?:[ _=:+-]|stage|optimization)*([0-3])(?!\d|\.\d)"
)
_ZERO_IN_NOTES = re.compile(r"(?:zero|ds[ _-]?z|deepspeed)(?:[ _=:+-]|stage|optimization)*[0-3](?!\d|\.\d)\S*")
_FSDP = re.compile(r"fsdp|full[ _-]shard|fully[ _-]shard|hybrid[ _-]?shard|hsdp|dp_shard|gemini")
_DDP = re.compile(r"(?<![a-z])ddp(?![a-z])|data[ -]?parallel|no_shard")
_OFFLOAD = re.compile(r"(?:(?:cpu|optim(?:izer)?|param(?:eter)?s?|states?)[ _-])*offload\w*")
_OFFLOAD_IN_NOTES = re.compile(
    r"(?:cpu|optim(?:izer)?|param(?:eter)?s?|states?)[ _-]offload\w*"
    r"|offload(?:ed|ing)?[ _](?:to[ _](?:the )?(?:cpu|host)|optimizer|param\w*|states?)"
)
_NUMBER_WORDS = {"one": 1, "single": 1, "two": 2, "three": 3, "four": 4, "eight": 8}
_NODES = re.compile(
    r"\b(?:num_)?nodes\s*[=: ]\s*(\d+)(?!\s*(?:x|gpus?))|\bnode\s*=\s*(\d+)|\b(\d+)[ -]?nodes?\b"
    r"|\b(one|single|two|three|four|eight)[ -]nodes?\b"
)
_PER_NODE = re.compile(r"\b(\d+)\s*(?:x\s*)?(?:gpus?|cards?)?\s*(?:per|/|a) ?node|\b(\d+) gpus each|\bnodes of (\d+)\b")
HYBRID = re.compile(r"hybrid|hsdp|dp_replicate")


class Shared(NamedTuple):
    """How the work is shared, named as in `Recipe`."""

    sharding: Sharding
    offload: Offload


def refuse_model_parallel(row: Mapping[str, str], notes: str) -> None:
    """Raise KnowledgeMissing where a row splits the model itself over GPUs, naming the degrees above one."""
    parallelism = text(row, "parallelism").lower()
    config = re.search(r"framework_config=\S*?-ep(\d+)", notes)
    degrees = [(name.replace("parallelism", "parallel"), degree) for name, degree in _DEGREE.findall(parallelism)]
    degrees += [(kind, degree) for degree, kind in _WAYS.findall(parallelism)]
    degrees += [("ep", config.group(1))] if config else []
    degrees += re.findall(r"(?<![a-z])(tp|pp|cp)\s*=\s*(\d+)", notes)
    above = [f"{name}={degree}" for name, degree in degrees if int(degree) > 1]
    if above:
        raise KnowledgeMissing(f"{PARALLEL} ({', '.join(above)})")
    if says(parallelism, _SPREAD):
        raise KnowledgeMissing(SPREAD)
    if says(parallelism, _NAMED):
        raise KnowledgeMissing(f"{PARALLEL} (degree not stated)")


def read_sharding(row: Mapping[str, str], notes: str, stack: Stack, assumed: list[str], *, gpus: int) -> Shared:
    """Return how the work is shared and what is offloaded; what no text says is noted in `assumed`.

    The column is read first, then the stack ("transformers + FSDP"), then the notes.
    """
    stated = stated_in(row, "parallelism")
    notes = ACTIVATION_OFFLOAD.sub("", notes)
    sharding = _stated_sharding(stated, stack, assumed)
    if sharding is Sharding.NONE and (not stated or gpus == 1):
        sharding = _elsewhere(text(row, "stack").lower(), notes)
    offload = _offload(row, stated, notes)
    if offload is not Offload.NONE:
        return Shared(_offloading(row, sharding, assumed, gpus=gpus), offload)
    if gpus == 1:
        return Shared(Sharding.NONE, offload)
    if sharding is Sharding.NONE:
        assumed.append("parallelism ddp")
        sharding = Sharding.DDP
    return Shared(sharding, offload)


def read_nodes(row: Mapping[str, str], notes: str, *, gpus: int) -> int | None:
    """Return the nodes that a row names ("2 nodes x 8", "4 GPUs per node"), None where it names none."""
    said = " | ".join([text(row, key).lower() for key in ("num_gpus", "parallelism", "gpu")] + [notes])
    found = _NODES.search(said)
    if found is not None:
        word = next(part for part in found.groups() if part)
        return max(1, _NUMBER_WORDS.get(word) or int(word))
    several = re.match(
        r"\s*(\d+)\s*[x×*]\s*\d{1,2}(?!\d|\s*g)", text(row, "num_gpus").lower() or text(row, "gpu").lower()
    )
    if several is not None:
        return int(several.group(1))
    each = _PER_NODE.search(said)
    size = 0 if each is None else int(next(part for part in each.groups() if part))
    return gpus // size if size and gpus % size == 0 else None


def _stated_sharding(stated: str, stack: Stack, assumed: list[str]) -> Sharding:
    zero = _STAGE.search(stated)
    if zero is not None:
        return (Sharding.DDP, Sharding.ZERO1, Sharding.ZERO2, Sharding.ZERO3)[int(zero.group(1))]
    if re.search(r"grad_op|zero[ -]offload", stated):
        return Sharding.ZERO2
    if "no_shard" in stated:
        return Sharding.DDP
    if _FSDP.search(stated):
        return Sharding.FSDP
    if "zero-infinity" in stated:
        return Sharding.ZERO3
    if _DDP.search(stated) or (stack is not Stack.NEMO and re.search(r"(?<![a-z])dp\s*[=:]?\s*\d", stated)):
        return Sharding.DDP
    if "deepspeed" in stated:
        assumed.append("parallelism zero3")
        return Sharding.ZERO3
    return Sharding.ZERO1 if stack is Stack.NEMO and stated else Sharding.NONE


def _elsewhere(stack: str, notes: str) -> Sharding:
    """Return what the names of the stack or the notes say of sharding, NONE where they say nothing."""
    for said in (stack, notes):
        zero = _ZERO_IN_NOTES.search(said) if says(said, _ZERO_IN_NOTES) else None
        if zero is not None:
            return _stated_sharding(zero.group(), Stack.HF, [])
        if says(said, _FSDP):
            return Sharding.ZERO2 if "grad_op" in said else Sharding.FSDP
        if says(said, _DDP):
            return Sharding.DDP
    return Sharding.NONE


def _offload(row: Mapping[str, str], stated: str, notes: str) -> Offload:
    stated = ACTIVATION_OFFLOAD.sub("", stated)
    if "nvme" in stated:
        return Offload.NVME
    optimizer = re.search(r"cpu[ _]?adam|offload", text(row, "optimizer").lower())
    in_column = says(stated, _OFFLOAD)
    noted = in_column is None and says(notes, _OFFLOAD_IN_NOTES)
    return Offload.CPU if optimizer or in_column or noted or "infinity" in stated else Offload.NONE


def _offloading(row: Mapping[str, str], sharding: Sharding, assumed: list[str], *, gpus: int) -> Sharding:
    """Return the sharding of a run that offloads: nothing but ZeRO-2, ZeRO-3 and FSDP does, on one GPU as well."""
    if sharding is Sharding.ZERO1:
        assumed.append("parallelism zero2")
        return Sharding.ZERO2
    if sharding is Sharding.NONE or (sharding is Sharding.DDP and gpus == 1):
        only_optimizer = "offload" in text(row, "optimizer").lower()
        found = Sharding.ZERO2 if only_optimizer else Sharding.ZERO3
        assumed.append(f"parallelism {found}")
        return found
    return sharding
