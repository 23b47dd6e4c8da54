"""The shape of a model, and the parameters that follow from it, by role.

The counts follow the definition of the layers (Vaswani et al. 2017 with grouped-query attention, Ainslie et al. 2023;
gated MLP, Shazeer 2020; latent attention, DeepSeek-V2 2024 section 2.1). Nothing here is fitted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from providers.errors import JobError

from .layouts import LLAMA, Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

GATED_MLP_KINDS = frozenset({"swiglu", "geglu"})
PLAIN_MLP_KINDS = frozenset({"gelu", "relu", "relu2"})
ALL_LINEAR = "all-linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearModule:
    """One kind of linear layer: `count` copies over the whole model (layers, and experts for MoE).

    `active_count` copies are passed by one token. `role` is attention | mlp | expert | shared_expert | router.
    `adaptable` is False where the weight is a bare tensor, which PEFT's `all-linear` passes over.
    """

    name: str
    in_features: int
    out_features: int
    bias: bool
    count: int
    active_count: float
    role: str
    adaptable: bool = True

    @property
    def weight_params(self) -> int:
        """Weights of all copies, biases excluded."""
        return self.in_features * self.out_features * self.count

    @property
    def bias_params(self) -> int:
        """Biases of all copies."""
        return self.out_features * self.count if self.bias else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterShape:
    """What a low-rank adapter adds to a model.

    `params` are the trained parameters of LoRA (DoRA adds `magnitude_params`, one per output of every adapted copy).
    `inputs_per_block` and `outputs_per_block` sum in_features and out_features of the adapted layers that one token
    passes in one block (mean over the blocks). `modules` are the adapted module names, sorted. `trains_embeddings`:
    the embedding or the head is trained too, by an adapter or whole.
    """

    params: int
    inputs_per_block: float
    outputs_per_block: float
    trains_embeddings: bool
    modules: tuple[str, ...]
    magnitude_params: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Shape of a decoder-only transformer, and where its figures come from.

    Parameter counts are computed from the shape; `published_params` (None if unknown) is what the maker states.
    `intermediate` is the width of the dense MLP; experts have `moe_intermediate` (0: the same), in all layers but
    `dense_layers`. `moe_shared_intermediate` is the whole width of the shared experts (0: their number x expert
    width). `position_table` counts the rows of a learned position embedding. `embedding_dim` (0: hidden) is the width
    of embeddings that a projection lifts to `hidden`. `kv_lora_rank` > 0 means multi-head latent attention, with
    `q_lora_rank` (0: full query projection), `qk_nope_head_dim`, `qk_rope_head_dim`, `v_head_dim`. `extra_params` are
    held outside the decoder (vision tower, projector) and are never trained by text adapters.
    `published_bytes_per_param` is the size of the published checkpoint over `total_params` (None: 2, in 16 bits).
    """

    name: str
    hf_id: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied_embeddings: bool
    context: int
    mlp_kind: str = "swiglu"
    qkv_bias: bool = False
    moe_experts: int = 0
    moe_top_k: int = 0
    moe_intermediate: int = 0
    moe_shared_experts: int = 0
    dense_layers: int = 0
    position_table: int = 0
    published_params: int | None = None
    source: str = ""
    notes: str = ""
    moe_shared_intermediate: int = 0
    embedding_dim: int = 0
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0
    extra_params: int = 0
    published_bytes_per_param: float | None = None
    layout: Layout = LLAMA

    def __post_init__(self) -> None:
        where = f"model {self.name}"
        positive = ("layers", "hidden", "intermediate", "heads", "kv_heads", "head_dim", "vocab", "context")
        for key in positive:
            if getattr(self, key) < 1:
                raise ValueError(f"{where}: {key} {getattr(self, key)} is not at least 1")
        if self.mlp_kind not in GATED_MLP_KINDS | PLAIN_MLP_KINDS:
            raise ValueError(f"{where}: mlp_kind {self.mlp_kind!r} is not known")
        if self.kv_lora_rank == 0 and self.heads % self.kv_heads:
            raise ValueError(f"{where}: heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.moe_top_k > self.moe_experts or (self.moe_experts > 0) != (self.moe_top_k > 0):
            raise ValueError(f"{where}: moe_top_k {self.moe_top_k} does not go with moe_experts {self.moe_experts}")
        if not 0 <= self.dense_layers <= self.layers:
            raise ValueError(f"{where}: dense_layers {self.dense_layers} is not within 0 to {self.layers}")

    @property
    def gated_mlp(self) -> bool:
        """True where the MLP has a gate beside its up projection."""
        return self.mlp_kind in GATED_MLP_KINDS

    @property
    def moe_layers(self) -> int:
        """Layers whose MLP is a mixture of experts."""
        return self.layers - self.dense_layers if self.moe_experts else 0

    @property
    def expert_width(self) -> int:
        """Intermediate width of one routed expert; 0 for a dense model."""
        return (self.moe_intermediate or self.intermediate) if self.moe_experts else 0

    @property
    def shared_width(self) -> int:
        """Intermediate width of all shared experts of one layer together."""
        return self.moe_shared_intermediate or self.moe_shared_experts * self.expert_width

    @property
    def mlp_width(self) -> float:
        """Width of the MLP activation of one token, mean over the layers: dense, or top_k experts + shared ones."""
        active = self.moe_top_k * self.expert_width + self.shared_width
        moe = self.moe_layers
        return (moe * active + (self.layers - moe) * self.intermediate) / self.layers

    @property
    def embedding_params(self) -> int:
        """Parameters of the token embedding."""
        return self.vocab * (self.embedding_dim or self.hidden)

    @property
    def head_params(self) -> int:
        """Parameters of the output head; 0 when it is tied to the embedding."""
        return 0 if self.tied_embeddings else self.embedding_params

    @property
    def linear_params(self) -> int:
        """Weights of the linear layers of all blocks, every expert included; routers and biases excluded."""
        return sum(module.weight_params for module in self.linear_modules() if module.role != "router")

    @property
    def active_linear_params(self) -> int:
        """The part of `linear_params` that one token passes through."""
        modules = (module for module in self.linear_modules() if module.role != "router")
        return round(sum(m.in_features * m.out_features * m.active_count for m in modules))

    @property
    def other_params(self) -> int:
        """Norms, biases, position table, routers, sinks, and whatever stands outside the decoder."""
        layout, modules = self.layout, self.linear_modules()
        routers = sum(module.weight_params for module in modules if module.role == "router")
        biases = sum(module.bias_params for module in modules) + (self.vocab if layout.head_bias else 0)
        norm = _norm_params(self)
        outside = norm * (int(layout.final_norm) + int(layout.embedding_norm))
        projections = 2 * self.embedding_dim * self.hidden
        table = self.position_table * self.hidden
        return self.layers * _vector_params(self) + routers + biases + outside + projections + table + self.extra_params

    @property
    def total_params(self) -> int:
        """All parameters, a tied head counted once."""
        return self.linear_params + self.embedding_params + self.head_params + self.other_params

    @property
    def active_params(self) -> int:
        """Parameters that one token passes through, embedding and head included."""
        idle = sum(
            (m.in_features + int(m.bias)) * m.out_features * (m.count - m.active_count) for m in self.linear_modules()
        )
        return self.total_params - round(idle)

    @property
    def block_params(self) -> int:
        """Parameters of the largest block: what a sharded run gathers at once."""
        sizes = {"attention": 0.0, "dense": 0.0, "moe": 0.0}
        for module in self.linear_modules():
            size = module.weight_params + module.bias_params
            if module.role == "attention":
                sizes["attention"] += size / self.layers
            elif module.role == "mlp":
                sizes["dense"] += size / (self.layers - self.moe_layers)
            else:
                sizes["moe"] += size / self.moe_layers
        return round(sizes["attention"] + max(sizes["dense"], sizes["moe"])) + _vector_params(self)

    def linear_modules(self) -> tuple[LinearModule, ...]:
        """Return every kind of linear layer of the blocks; one name may stand twice (GPT-2's `c_proj`)."""
        return _linear_modules(self)

    def module_names(self) -> tuple[str, ...]:
        """Return the names that an adapter may be aimed at, blocks first, then embedding and head."""
        names = dict.fromkeys(module.name for module in self.linear_modules())
        return (*names, self.layout.embedding, self.layout.head)

    def adapter(
        self,
        rank: int,
        targets: Sequence[str],
        *,
        modules_to_save: Sequence[str] = (),
        where: str = "command line",
    ) -> AdapterShape:
        """Return what a LoRA of `rank` on the `targets` adds: rank x (in + out) per copy (Hu et al. 2021, section 4.1).

        `targets` are module names, or `all-linear` for all linear layers of the blocks (PEFT's rule: the head is left
        out). The embedding and the head may be named, as `embed_tokens` and `lm_head` whatever the family calls them;
        in `modules_to_save` they are trained whole.
        Raises JobError (naming `where`) for an unknown name, no target at all, or a rank below 1.
        """
        if rank < 1:
            raise JobError(where=where, key="lora_rank", value=rank, allowed="a whole number of at least 1")
        chosen = self._chosen(targets, where=where)
        saved = {self._outer_name(name, key="modules_to_save", where=where) for name in modules_to_save}
        adapted = [module for module in self.linear_modules() if module.name in chosen]
        if ALL_LINEAR in targets:
            adapted = [m for m in self.linear_modules() if m.adaptable or m.name in targets]
        params = sum(rank * (m.in_features + m.out_features) * m.count for m in adapted)
        outer = [name for name in (self.layout.embedding, self.layout.head) if name in chosen]
        width = self.embedding_dim or self.hidden
        params += sum(rank * (self.vocab + width) for _ in outer) + self.vocab * width * len(saved)
        names = {module.name for module in adapted} | set(outer)
        return AdapterShape(
            params=params,
            inputs_per_block=sum(m.in_features * m.active_count for m in adapted) / self.layers,
            outputs_per_block=sum(m.out_features * m.active_count for m in adapted) / self.layers,
            trains_embeddings=bool(outer or saved),
            modules=tuple(sorted(names)),
            magnitude_params=sum(m.out_features * m.count for m in adapted)
            + sum(width if name == self.layout.embedding else self.vocab for name in outer),
        )

    def _chosen(self, targets: Sequence[str], *, where: str) -> frozenset[str]:
        """Return the targets by the names of this family; raises JobError for one that is not there."""
        known = set(self.module_names())
        allowed = f"{ALL_LINEAR}, or any of {', '.join(self.module_names())} ({self.name})"
        if not targets:
            raise JobError(where=where, key="target_modules", value=list(targets), allowed=allowed)
        chosen = set()
        for target in targets:
            name = {"embed_tokens": self.layout.embedding, "lm_head": self.layout.head}.get(target, target)
            if name not in known and name != ALL_LINEAR:
                raise JobError(where=where, key="target_modules", value=target, allowed=allowed)
            chosen.add(name)
        return frozenset(chosen)

    def _outer_name(self, name: str, *, key: str, where: str) -> str:
        """Return the family's name of the embedding or head; raises JobError for any other module."""
        names = {"embed_tokens": self.layout.embedding, "lm_head": self.layout.head}
        resolved = names.get(name, name)
        if resolved not in (self.layout.embedding, self.layout.head):
            raise JobError(where=where, key=key, value=name, allowed="embed_tokens or lm_head")
        return resolved


def _norm_params(spec: ModelSpec) -> int:
    """Parameters of one norm over the hidden width."""
    return spec.hidden * (2 if spec.layout.norm_bias else 1)


def _vector_params(spec: ModelSpec) -> int:
    """Norms and sinks of one block: the parameters that belong to no matrix."""
    layout = spec.layout
    total = layout.norms_per_block * _norm_params(spec)
    if layout.qk_norm == "head":
        total += 2 * spec.head_dim
    elif layout.qk_norm == "full":
        total += (spec.heads + spec.kv_heads) * spec.head_dim
    if layout.attention_sinks:
        total += spec.heads
    if spec.kv_lora_rank:
        total += spec.kv_lora_rank + spec.q_lora_rank
    return total


@lru_cache(maxsize=512)
def _linear_modules(spec: ModelSpec) -> tuple[LinearModule, ...]:
    modules = _latent_attention(spec) if spec.kv_lora_rank else _attention(spec)
    dense = spec.layers - spec.moe_layers
    if dense:
        modules += _mlp(spec, width=spec.intermediate, count=dense, role="mlp")
    if spec.moe_layers:
        modules += _mixture(spec)
    return tuple(modules)


def _attention(spec: ModelSpec) -> list[LinearModule]:
    layout, layers = spec.layout, spec.layers
    widths = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim, spec.kv_heads * spec.head_dim)
    outs = (sum(widths),) if len(layout.qkv) == 1 else widths
    shapes = [(name, spec.hidden, out, spec.qkv_bias) for name, out in zip(layout.qkv, outs, strict=True)]
    shapes.append((layout.out, widths[0], spec.hidden, layout.output_bias))
    return [_module(name, (i, o), layers, "attention", bias=bias) for name, i, o, bias in shapes]


def _latent_attention(spec: ModelSpec) -> list[LinearModule]:
    query_width = spec.heads * (spec.qk_nope_head_dim + spec.qk_rope_head_dim)
    kv_width = spec.heads * (spec.qk_nope_head_dim + spec.v_head_dim)
    shapes = [
        ("kv_a_proj_with_mqa", spec.hidden, spec.kv_lora_rank + spec.qk_rope_head_dim),
        ("kv_b_proj", spec.kv_lora_rank, kv_width),
        ("o_proj", spec.heads * spec.v_head_dim, spec.hidden),
    ]
    if spec.q_lora_rank:
        shapes = [
            ("q_a_proj", spec.hidden, spec.q_lora_rank),
            ("q_b_proj", spec.q_lora_rank, query_width),
            *shapes,
        ]
    else:
        shapes = [("q_proj", spec.hidden, query_width), *shapes]
    return [_module(name, (i, o), spec.layers, "attention") for name, i, o in shapes]


def _mlp(spec: ModelSpec, *, width: int, count: int, role: str) -> list[LinearModule]:
    layout = spec.layout
    shapes = _mlp_shapes(spec, layout.gate_up, layout.down, width)
    return [_module(name, size, count, role, bias=layout.mlp_bias) for name, size in shapes]


def _mixture(spec: ModelSpec) -> list[LinearModule]:
    layout, layers = spec.layout, spec.moe_layers
    shapes = _mlp_shapes(
        spec, layout.expert_gate_up or layout.gate_up, layout.expert_down or layout.down, spec.expert_width
    )
    modules = [
        LinearModule(
            name=name,
            in_features=size[0],
            out_features=size[1],
            bias=layout.expert_bias,
            count=layers * spec.moe_experts,
            active_count=layers * spec.moe_top_k,
            role="expert",
            adaptable=layout.experts_linear,
        )
        for name, size in shapes
    ]
    router = _module(layout.router, (spec.hidden, spec.moe_experts), layers, "router", bias=layout.router_bias)
    modules.append(replace(router, adaptable=layout.router_linear))
    if spec.shared_width:
        modules += _mlp(spec, width=spec.shared_width, count=layers, role="shared_expert")
        if layout.shared_gate:
            modules.append(_module("shared_expert_gate", (spec.hidden, 1), layers, "router"))
    return modules


def _mlp_shapes(spec: ModelSpec, gate_up: tuple[str, ...], down: str, width: int) -> list[tuple[str, tuple[int, int]]]:
    """Names with (in, out) of one MLP; a plain one uses the last of the gate and up names."""
    if not spec.gated_mlp:
        inward = [(gate_up[-1], (spec.hidden, width))]
    elif len(gate_up) == 1:
        inward = [(gate_up[0], (spec.hidden, 2 * width))]
    else:
        inward = [(name, (spec.hidden, width)) for name in gate_up]
    return [*inward, (down, (width, spec.hidden))]


def _module(name: str, size: tuple[int, int], count: int, role: str, *, bias: bool = False) -> LinearModule:
    return LinearModule(
        name=name, in_features=size[0], out_features=size[1], bias=bias, count=count, active_count=count, role=role
    )
