"""Which model and which machine a measured case names: by table, or built from the shape that the row itself states."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optimizer.physics.tabulate import Machine
from optimizer.workload.models import ModelSpec
from providers.errors import KnowledgeMissing

from .case_fields import number, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.workload.models import ModelTable
    from providers.gpus import Gpu, GpuTable

GIB = 2**30
STAND_IN_GPU = "A100-SXM-80GB"
"""Only its size is used, to say whether a run fits; a row without a GPU gets no speed."""

GPUS_PER_NODE = 8
GPUS_PER_RACK = 72
"""GB200 and GB300 are wired as one NVLink domain of 72."""

_NIC_BYTES_PER_S = {"hopper": 50e9, "blackwell": 50e9}
_OTHER_NIC_BYTES_PER_S = 25e9
"""Published runs on several nodes come from clusters with one NIC per GPU (400 Gbit/s on Hopper and later, 200 on
A100), one direction. Noted as assumed."""

_SAME_PARAMS = 0.003
"""How closely a plain 4 x hidden MLP must hit the stated parameters to be taken for the shape."""

_USABLE_SHARE = 0.985
"""Usable over nameplate GiB of cards that the table lacks: the median of the audited ones (T4 to B200)."""

_NOISE = re.compile(
    r"gptq|awq|hqq|fp8|int4|int8|bnb|nf4|4bit|8bit|hf|base|chat|instruct|it|preview|meta|math|coder|v0\.\d|\d+k|\d{4}"
)
"""Words of a model name that change neither shape nor parameters: tuning, quantization, release, context."""

ModelIndex = dict[str, tuple[ModelSpec, ...]]
"""Models by the letters and digits of their names, noise left out; releases of one family share a key."""

_COUNT = re.compile(r"^\d+\s*[x×*]\s*|(\s+|(?<=\d))[x×*]\s*\d+$|^dgx\s+", re.IGNORECASE)
"""A number of cards, a maker or a cabinet before or behind the name of a GPU."""

_EXPERT_NAME = re.compile(r"moe|\d+x\d+b|[-_]a\d+(\.\d+)?b|mixtral|granite-\d.*-a\d+m", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMachine:
    """The machine of a case; `gpu_known` is False where a stand-in of the stated size takes its place."""

    machine: Machine
    gpu_known: bool
    size_known: bool
    assumed: tuple[str, ...]


def index_models(models: ModelTable) -> ModelIndex:
    """Return the table's models for look-up by wild spellings."""
    index: dict[str, dict[str, ModelSpec]] = {}
    for alias, canonical in models.aliases.items():
        for key in _keys(alias):
            index.setdefault(key, {})[canonical] = models.by_name[canonical]
    return {key: tuple(found.values()) for key, found in index.items() if key.strip("~")}


def case_model(row: Mapping[str, str], models: ModelIndex) -> tuple[ModelSpec, tuple[str, ...]]:
    """Return the model of a row and what was assumed about it.

    The table answers by name; where it does not know the name, or the row's own shape contradicts it, the model is
    built from layers, hidden, heads, kv_heads, vocab and params_b. Raises KnowledgeMissing where neither is possible.
    """
    candidates = [spec for key in _keys(text(row, "model")) for spec in models.get(key, ())]
    for found in candidates:
        if not _contradicts(row, found):
            positions = found.position_table and max(found.position_table, whole(row, "seq_len") or 0)
            return replace(found, position_table=positions), ()
    return _from_shape(row)


def case_machine(row: Mapping[str, str], gpus: GpuTable, *, nodes: int | None) -> CaseMachine:
    """Return the machine of a row; `nodes` is what the row's notes say, None where they say nothing."""
    assumed: list[str] = []
    count = whole(row, "num_gpus")
    if count is None:
        count = 1
        assumed.append("num_gpus 1")
    gpu, known, size_known = _gpu(row, gpus, assumed)
    if nodes is None:
        nodes = -(-count // (GPUS_PER_RACK if gpu.id.startswith(("GB200", "GB300")) else GPUS_PER_NODE))
        if nodes > 1:
            assumed.append(f"nodes {nodes}")
    network = None
    if nodes > 1:
        network = _NIC_BYTES_PER_S.get(gpu.architecture, _OTHER_NIC_BYTES_PER_S) * max(1, count // nodes)
        assumed.append(f"network {network / 1e9:g} GB/s per node")
    machine = Machine(gpu=gpu, gpu_count=max(1, count // nodes), nodes=nodes, network_bytes_per_s=network)
    return CaseMachine(machine=machine, gpu_known=known, size_known=size_known, assumed=tuple(assumed))


def _gpu(row: Mapping[str, str], gpus: GpuTable, assumed: list[str]) -> tuple[Gpu, bool, bool]:
    name, size_gib = text(row, "gpu"), number(row, "gpu_mem_gib")
    found = _named_gpu(name, size_gib, gpus)
    if found is None and size_gib is None:
        found = _largest_of_chip(name, gpus)
        if found is not None:
            assumed.append(f"gpu {found.id}")
    known = found is not None
    if found is None:
        stated = re.search(r"(\d+)\s*gi?b", name, re.IGNORECASE)
        size_gib = size_gib or (float(stated.group(1)) if stated else None)
        found = gpus.by_id[STAND_IN_GPU]
        assumed.append(f"gpu size only: {size_gib:g} GiB" if size_gib else "gpu unknown: no fit, no speed")
    if size_gib is not None and abs(size_gib - found.memory_nameplate_gb) > 0.1 * found.memory_nameplate_gb:
        if known:
            assumed.append(f"gpu {found.id} with {size_gib:g} GiB")
        found = replace(found, usable_bytes=int(size_gib * _USABLE_SHARE * GIB), memory_nameplate_gb=size_gib)
    return found, known, known or size_gib is not None


def _named_gpu(name: str, size_gib: float | None, gpus: GpuTable) -> Gpu | None:
    """Return the GPU by its full name, with the stated size, or by its first word; never by a part of a word.

    A size in the name ("A100 (80GB)", "A100-80G") counts like one in the column of sizes.
    """
    bare = re.sub(r"\(.*?\)", "", name).strip()
    if not bare or bare.lower().startswith(("unstated", "unknown", "card of")):
        return None
    bare = _COUNT.sub("", bare).strip()
    in_brackets = re.search(r"\b(\d+)\s*g(i?b)?\b", name, re.IGNORECASE)
    if size_gib is None and in_brackets is not None:
        size_gib = float(in_brackets.group(1))
    first = re.split(r"[\s]|-\d+gi?b?\b", bare, maxsplit=1, flags=re.IGNORECASE)[0]
    unsized = re.sub(r"[\s-]*\d+\s*gi?b?\b.*", "", bare, flags=re.IGNORECASE)
    ending = "" if size_gib is None else f"{size_gib:g}GB"
    words = dict.fromkeys((bare, unsized, first, f"{first} SXM2"))
    sized = [f"{word}{joint}{ending}" for word in words for joint in ("-", " ") if ending]
    for candidate in (*sized[:2], bare, *sized[2:], unsized, first, f"RTX {first}"):
        found = gpus.resolve(candidate)
        if found is not None:
            return found
    return None


def _keys(name: str) -> tuple[str, str]:
    """Return what identifies a model in a wild spelling: owner, comments, separators and noise words left out.

    The second key leaves the dots out too ("Qwen-1_8B" is Qwen-1.8B), marked so that OPT-13B is not OPT-1.3B.
    """
    last = re.sub(r"\(.*?\)", "", name).strip().rstrip("/").split("/")[-1].lower()
    words = [word for word in re.split(r"[-_\s]+", last) if word and not _NOISE.fullmatch(word)]
    dotted = re.sub(r"[^a-z0-9.]", "", "".join(words))
    return dotted, "~" + dotted.replace(".", "")


def _largest_of_chip(name: str, gpus: GpuTable) -> Gpu | None:
    """Return the SXM card with most memory of a chip that comes in several sizes ("A100"): its speed is the same."""
    sizes = [gpu for gpu in gpus.by_id.values() if gpu.chip.lower() == name.lower() and gpu.form_factor == "SXM"]
    return max(sizes, key=lambda gpu: gpu.usable_bytes, default=None)


def _contradicts(row: Mapping[str, str], spec: ModelSpec) -> bool:
    """Whether the row states another shape; 1 % is left for a vocabulary that was padded."""
    exact = ((whole(row, "layers"), spec.layers), (whole(row, "hidden"), spec.hidden))
    vocab = whole(row, "vocab")
    return any(value is not None and value != known for value, known in exact) or (
        vocab is not None and abs(vocab - spec.vocab) > 0.01 * spec.vocab
    )


def _from_shape(row: Mapping[str, str]) -> tuple[ModelSpec, tuple[str, ...]]:
    name = text(row, "model") or "unnamed"
    layers, hidden, heads = whole(row, "layers"), whole(row, "hidden"), whole(row, "heads")
    vocab, params_b = whole(row, "vocab"), number(row, "params_b")
    if layers is None or hidden is None or heads is None or vocab is None:
        raise KnowledgeMissing(f"model {name!r} is not in the table, and the row lacks layers, hidden, heads or vocab")
    if _EXPERT_NAME.search(name):
        raise KnowledgeMissing(f"model {name!r} is not in the table, and the row does not state its experts")
    kv_heads = whole(row, "kv_heads") or heads
    attention = 2 * hidden * hidden * (1 + kv_heads / heads)
    width, kind, tied, assumed = _mlp(params_b, layers, hidden, vocab, attention)
    try:
        spec = ModelSpec(
            name=name,
            hf_id="",
            intermediate=width,
            head_dim=hidden // heads,
            tied_embeddings=tied,
            context=max(whole(row, "seq_len") or 0, 2048),
            mlp_kind=kind,
            published_params=None if params_b is None else round(params_b * 1e9),
            source="the case itself",
            layers=layers,
            hidden=hidden,
            heads=heads,
            kv_heads=kv_heads,
            vocab=vocab,
        )
    except ValueError as err:
        raise KnowledgeMissing(f"the row's own shape makes no sense: {err}") from err
    return spec, (assumed,)


def _mlp(params_b: float | None, layers: int, hidden: int, vocab: int, attention: float) -> tuple[int, str, bool, str]:
    """Return MLP width, kind and whether embeddings are tied, so that the parameters come out as stated.

    The plain 4 x hidden MLP is tried first (GPT, MPT); otherwise the width of a gated one is solved for.
    """
    if params_b is None:
        width = round(8 * hidden / 3 / 256) * 256
        return width, "swiglu", False, f"shape: gated MLP of width {width}, untied"
    total = params_b * 1e9
    for tied in (True, False):
        plain = vocab * hidden * (1 if tied else 2) + layers * (attention + 8 * hidden * hidden)
        if abs(plain - total) < _SAME_PARAMS * total:
            return 4 * hidden, "gelu", tied, f"shape: plain 4 x hidden MLP, {'tied' if tied else 'untied'}"
    for tied in (False, True):
        exact = (total - vocab * hidden * (1 if tied else 2) - layers * attention) / (3 * layers * hidden)
        if 1.5 <= exact / hidden <= 9:
            rounded = max(64, round(exact / 64) * 64)
            return rounded, "swiglu", tied, f"shape: gated MLP of width {rounded}, {'tied' if tied else 'untied'}"
    raise KnowledgeMissing(f"params_b {params_b:g} does not go with the layers, hidden and vocab of the row")
