"""Which model a measured case names: by table, or built from the shape that the row itself states."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from optimizer.workload.models import ModelSpec
from providers.errors import KnowledgeMissing

from .case_fields import billions, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.workload.models import ModelTable

HEAD_DIM = 128
"""Width of a head where a row states hidden and no heads: that of nearly every decoder from 7B on."""

_PADDED = 0.01
"""How far a vocabulary may be from that of the table: padded to a multiple, or with a few tokens more."""

_NAMESAKE = 0.1
_SAME_PARAMS = 0.003
"""How closely a plain 4 x hidden MLP must hit the stated parameters to be taken for the shape."""

_NOISE = re.compile(
    r"gptq|awq|hqq|b?fp?16|fp8|int4|int8|bnb|nf4|4bit|8bit|hf|base|chat|instruct|it|preview|meta|math|coder|v\d\.\d"
    r"|\d+k|\d{4}|unsloth|deduped|dedup"
)
"""Words of a model name that change neither shape nor parameters: tuning, quantization, release, context."""

ModelIndex = dict[str, tuple[ModelSpec, ...]]
"""Models by the letters and digits of their names, noise left out; releases of one family share a key."""

_SAME_SHAPE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^(?:vicuna|wizardlm|stable-?vicuna|longchat|tulu|orca-?2?)[- _]?(7|13)b.*", r"llama-2-\1b"),
        (r"^(?:alpaca|guanaco|koala|baize|wizardlm|vicuna|llama)[- _]?(7|13|30|65)b.*", r"llama-1-\1b"),
        (r"^(?:guanaco|llama|wizardlm|vicuna)[- _]?(?:1[- _])?3[23]b.*", "llama-1-30b"),
        (r"^zephyr[- _]?7b.*", "mistral-7b-v0.1"),
        (r"^dolly-v2-12b", "pythia-12b"),
        (r"^dolly-v2-7b", "pythia-6.9b"),
        (r"^dolly-v2-3b", "pythia-2.8b"),
        (r"^tiny-?llama\b.*", "tinyllama-1.1b"),
        (r"^(open[-_]llama[-_]\d+b)_v2$", r"\1"),
        (r"^mistral[- _]nemo\b.*", "mistral-nemo"),
    )
)
"""Names of models that were tuned from one of the table, or are other words for one, and what to look up for them."""

_SIZE = re.compile(r"\d(?:\.\d+)?[bm]")
_OTHER_SHAPE = re.compile(r"prun|sheared|draft|half|distill?ed|vision|\bvl\b|audio|omni|embed|rerank|expert|moe")
"""Words of a model that is not its namesake: smaller, larger, or with towers beside."""

_EXPERT_NAME = re.compile(r"moe|\d+x\d+b|[-_]a\d+(\.\d+)?b|mixtral|granite-\d.*-a\d+m", re.IGNORECASE)


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
    built from layers, hidden, heads, kv_heads, vocab and params_b. Where only the vocabulary differs and the rest of
    the shape is not stated, the model of the table gets the row's. Raises KnowledgeMissing where nothing is possible.
    """
    resized: tuple[ModelSpec, tuple[str, ...]] | None = None
    for spelling, is_namesake in _spellings(text(row, "model"), models):
        for found in (spec for key in _keys(spelling) for spec in models.get(key, ())):
            if _contradicts(row, found) or (is_namesake and _of_another_size(row, found)):
                continue
            positions = found.position_table and max(found.position_table, whole(row, "seq_len") or 0)
            spec = replace(found, position_table=positions)
            assumed = (f"model taken as {found.name}",) if is_namesake else ()
            vocab = whole(row, "vocab") or found.vocab
            if abs(vocab - found.vocab) <= _PADDED * found.vocab:  # a tokenizer that was padded
                return spec, assumed
            resized = resized or (replace(spec, vocab=vocab), (*assumed, f"vocab {vocab}"))
    complete = all(text(row, key) for key in ("layers", "hidden", "vocab"))
    return resized if resized is not None and not complete else _from_shape(row)


def _spellings(name: str, models: ModelIndex) -> list[tuple[str, bool]]:
    """Return what to look a model up by, and whether that is only its namesake: the name, what it was tuned from, the
    longest run of its words that the table knows with a size ("OpenHermes-2.5-Mistral-7B" is a Mistral-7B). A size in
    brackets counts as part of the name where the name alone is none ("Llama-2 (7B)").
    """
    last = _bare(name)
    sized = re.sub(r"\((\d+(?:\.\d+)?[bm])\)", r"\1", name, flags=re.IGNORECASE)
    found = [(name, False), (sized, False)]
    found += [(pattern.sub(other, last), True) for pattern, other in _SAME_SHAPE if pattern.search(last)]
    if _OTHER_SHAPE.search(last):
        return found
    words = re.split(r"[-_\s]+", last)
    runs = sorted(
        (
            (stop - start, "-".join(words[start:stop]))
            for start in range(len(words))
            for stop in range(start + 1, len(words) + 1)
        ),
        key=lambda run: -run[0],
    )
    found += [(run, True) for _, run in runs if _SIZE.search(run) and any(key in models for key in _keys(run))]
    return found


def _bare(name: str) -> str:
    """Return a model's name in lower case without owner and comments."""
    return re.sub(r"\(.*?\)", "", name).strip().rstrip("/").split("/")[-1].lower()


def _keys(name: str) -> tuple[str, str]:
    """Return what identifies a model in a wild spelling: owner, comments, separators and noise words left out.

    The second key leaves the dots out too ("Qwen-1_8B" is Qwen-1.8B), marked so that OPT-13B is not OPT-1.3B.
    """
    words = [word for word in re.split(r"[-_\s]+", _bare(name)) if word and not _NOISE.fullmatch(word)]
    dotted = re.sub(r"[^a-z0-9.]", "", "".join(words))
    return dotted, "~" + dotted.replace(".", "")


def _contradicts(row: Mapping[str, str], spec: ModelSpec) -> bool:
    """Return whether the row states other layers or another width."""
    exact = ((whole(row, "layers"), spec.layers), (whole(row, "hidden"), spec.hidden))
    return any(value is not None and value != known for value, known in exact)


def _of_another_size(row: Mapping[str, str], spec: ModelSpec) -> bool:
    """Return whether the row states a count of parameters that is not that of the model its name was found in."""
    stated = billions(row, "params_b")
    return stated is not None and abs(stated * 1e9 - spec.total_params) > _NAMESAKE * spec.total_params


def _from_shape(row: Mapping[str, str]) -> tuple[ModelSpec, tuple[str, ...]]:
    name = text(row, "model") or "unnamed"
    layers, hidden, heads = whole(row, "layers"), whole(row, "hidden"), whole(row, "heads")
    vocab, params_b = whole(row, "vocab"), billions(row, "params_b")
    if heads is None and hidden is not None and hidden % HEAD_DIM == 0:
        heads = hidden // HEAD_DIM
    if layers is None or hidden is None or heads is None or vocab is None:
        raise KnowledgeMissing(
            f"model {name!r} is not in the table with the row's shape, and the row lacks layers, hidden, heads or vocab"
            if layers or hidden
            else f"model {name!r} is not in the table, and the row lacks layers, hidden, heads or vocab"
        )
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
    unstated = [key for key in ("heads", "kv_heads") if whole(row, key) is None]
    return spec, (assumed + "".join(f", {key} {getattr(spec, key)}" for key in unstated),)


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
