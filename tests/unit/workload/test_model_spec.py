"""The shape of a model: counts by role, module names, adapters."""

from __future__ import annotations

import pytest

from optimizer.workload.models import LAYOUTS, ModelSpec, load_models
from providers.errors import JobError

MODELS = load_models()
LLAMA = MODELS.resolve("llama-3.1-8b")


def tiny(**changes: object) -> ModelSpec:
    """A model small enough to count by hand: 2 layers, 8 wide, 4 heads of 2 on 2 key heads, MLP 12, 10 tokens."""
    values: dict[str, object] = {
        "name": "tiny", "hf_id": "", "layers": 2, "hidden": 8, "intermediate": 12, "heads": 4, "kv_heads": 2,
        "head_dim": 2, "vocab": 10, "tied_embeddings": False, "context": 64,
    }  # fmt: skip
    return ModelSpec(**(values | changes))  # type: ignore[arg-type]


def test_counts_of_a_model_counted_by_hand() -> None:
    model = tiny()
    # q and o 8x8, k and v 8x4; gate, up and down 8x12.
    assert model.linear_params == 2 * (2 * 64 + 2 * 32 + 3 * 96)
    assert model.embedding_params == model.head_params == 80
    assert model.other_params == 2 * 2 * 8 + 8
    assert model.total_params == 960 + 80 + 80 + 40
    assert model.block_params == 480 + 16
    assert model.active_params == model.total_params
    assert model.active_linear_params == model.linear_params
    assert model.mlp_width == 12


def test_a_tied_head_is_counted_once() -> None:
    assert tiny(tied_embeddings=True).head_params == 0
    assert tiny().total_params - tiny(tied_embeddings=True).total_params == 80


def test_biases_norms_and_tables_are_other_parameters() -> None:
    plain = tiny().other_params
    assert tiny(qkv_bias=True).other_params - plain == 2 * (8 + 4 + 4)
    assert tiny(position_table=64).other_params - plain == 64 * 8
    assert tiny(extra_params=7).other_params - plain == 7
    assert tiny(layout=LAYOUTS["qwen3"]).other_params - plain == 2 * 2 * 2
    assert tiny(layout=LAYOUTS["olmo2"]).other_params - plain == 2 * (8 + 4)
    assert tiny(layout=LAYOUTS["gemma2"]).other_params - plain == 2 * 2 * 8
    assert tiny(layout=LAYOUTS["stablelm"]).other_params - plain == 2 * 2 * 8 + 8
    assert tiny(embedding_dim=4).other_params - plain == 2 * 4 * 8
    assert tiny(embedding_dim=4).embedding_params == 40


def test_a_plain_mlp_has_two_matrices() -> None:
    model = tiny(mlp_kind="gelu")
    assert [module.name for module in model.linear_modules()][-2:] == ["up_proj", "down_proj"]
    assert model.linear_params == 2 * (2 * 64 + 2 * 32 + 2 * 96)


def test_experts_shared_experts_router_and_dense_layers() -> None:
    model = tiny(moe_experts=4, moe_top_k=2, moe_intermediate=3, moe_shared_experts=1, dense_layers=1)
    attention = 2 * (2 * 64 + 2 * 32)
    dense, one_expert = 3 * 96, 3 * 8 * 3
    assert model.linear_params == attention + dense + 5 * one_expert
    assert model.active_linear_params == attention + dense + 3 * one_expert
    assert model.other_params == 40 + 8 * 4
    assert model.total_params - model.active_params == 2 * one_expert
    # One dense layer 12 wide, one with two experts and a shared one, 3 wide each.
    assert model.mlp_width == (12 + 9) / 2
    assert model.block_params == 192 + 5 * one_expert + 32 + 16
    assert tiny(moe_experts=40, moe_top_k=2, moe_intermediate=3).block_params == 192 + 40 * 72 + 320 + 16


def test_latent_attention_compresses_queries_and_keys() -> None:
    model = tiny(
        kv_heads=4, head_dim=3, q_lora_rank=5, kv_lora_rank=6, qk_nope_head_dim=2, qk_rope_head_dim=1, v_head_dim=2
    )
    attention = 8 * 5 + 5 * (4 * 3) + 8 * (6 + 1) + 6 * (4 * 4) + (4 * 2) * 8
    assert model.linear_params == 2 * (attention + 3 * 96)
    assert model.other_params == 40 + 2 * (5 + 6)
    direct = tiny(kv_heads=4, head_dim=3, kv_lora_rank=6, qk_nope_head_dim=2, qk_rope_head_dim=1, v_head_dim=2)
    assert "q_proj" in direct.module_names()
    assert model.linear_params - direct.linear_params == 2 * (8 * 5 + 5 * 12 - 8 * 12)


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("llama-3.1-8b", "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj embed_tokens lm_head"),
        ("gpt2", "c_attn c_proj c_fc wte lm_head"),
        ("falcon-7b", "query_key_value dense dense_h_to_4h dense_4h_to_h word_embeddings lm_head"),
        ("bloom-560m", "query_key_value dense dense_h_to_4h dense_4h_to_h word_embeddings lm_head"),
        ("mpt-7b", "Wqkv out_proj up_proj down_proj wte lm_head"),
        ("qwen/qwen-7b", "c_attn c_proj w2 w1 wte lm_head"),
        ("opt-1.3b", "q_proj k_proj v_proj out_proj fc1 fc2 embed_tokens lm_head"),
        ("gpt-j-6b", "q_proj k_proj v_proj out_proj fc_in fc_out wte lm_head"),
        ("phi-2", "q_proj k_proj v_proj dense fc1 fc2 embed_tokens lm_head"),
        ("phi-4", "qkv_proj o_proj gate_up_proj down_proj embed_tokens lm_head"),
        ("internlm2-7b", "wqkv wo w1 w3 w2 tok_embeddings output"),
        ("pythia-1b", "query_key_value dense dense_h_to_4h dense_4h_to_h embed_in embed_out"),
        ("chatglm3-6b", "query_key_value dense dense_h_to_4h dense_4h_to_h word_embeddings output_layer"),
        ("baichuan2-7b", "W_pack o_proj gate_proj up_proj down_proj embed_tokens lm_head"),
        ("mixtral-8x7b", "q_proj k_proj v_proj o_proj w1 w3 w2 gate embed_tokens lm_head"),
    ],
)
def test_module_names_are_those_of_hugging_face(name: str, modules: str) -> None:
    assert MODELS.resolve(name).module_names() == tuple(modules.split())


@pytest.mark.parametrize(
    ("rank", "targets", "params"),
    [
        (8, ("q_proj", "k_proj", "v_proj"), 4_718_592),
        (4, ("q_proj", "k_proj", "v_proj"), 2_359_296),
        (8, ("q_proj", "v_proj"), 3_407_872),
        (16, ("all-linear",), 41_943_040),
    ],
)
def test_llama_adapters_have_the_published_sizes(rank: int, targets: tuple[str, ...], params: int) -> None:
    assert LLAMA.adapter(rank, targets).params == params


def test_adapter_widths_are_those_of_one_block() -> None:
    shape = LLAMA.adapter(8, ("q_proj", "v_proj"))
    assert (shape.inputs_per_block, shape.outputs_per_block) == (2 * 4096, 4096 + 1024)
    assert shape.modules == ("q_proj", "v_proj")
    assert not shape.trains_embeddings
    # DoRA: one magnitude per output of each of the 32 copies.
    assert shape.magnitude_params == 32 * (4096 + 1024)


def test_falcon_40b_adapter_gives_the_sum_that_peft_prints() -> None:
    falcon = MODELS.resolve("falcon-40b")
    adapter = falcon.adapter(8, ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"))
    assert adapter.params == 55_541_760
    assert adapter == falcon.adapter(8, ("all-linear",))


def test_one_name_may_stand_for_two_layers() -> None:
    # GPT-2's c_proj closes attention (768 to 768) and MLP (3072 to 768).
    assert MODELS.resolve("gpt2").adapter(4, ("c_proj",)).params == 12 * 4 * (768 + 768 + 3072 + 768)


def test_expert_adapters_are_counted_per_expert() -> None:
    mixtral = MODELS.resolve("mixtral-8x7b")
    per_layer = 8 * 3 * (4096 + 14336)
    assert mixtral.adapter(2, ("w1", "w2", "w3")).params == 32 * 2 * per_layer
    assert mixtral.adapter(2, ("w1",)).inputs_per_block == 2 * 4096
    # All linear layers, the router among them.
    attention = 2 * (4096 + 4096) + 2 * (4096 + 1024)
    assert mixtral.adapter(2, ("all-linear",)).params == 32 * 2 * (per_layer + attention + 4096 + 8)


def test_all_linear_passes_over_experts_that_are_bare_tensors() -> None:
    oss = MODELS.resolve("gpt-oss-20b")
    assert oss.adapter(8, ("all-linear",)).modules == ("k_proj", "o_proj", "q_proj", "v_proj")
    named = oss.adapter(8, ("all-linear", "gate_up_proj"))
    assert named.modules == ("gate_up_proj", "k_proj", "o_proj", "q_proj", "v_proj")
    assert named.params - oss.adapter(8, ("all-linear",)).params == 24 * 32 * 8 * (2880 + 2 * 2880)


def test_embedding_and_head_may_be_adapted_or_trained_whole() -> None:
    plain = LLAMA.adapter(8, ("q_proj",))
    adapted = LLAMA.adapter(8, ("q_proj", "embed_tokens", "lm_head"))
    assert adapted.params - plain.params == 2 * 8 * (128_256 + 4096)
    assert adapted.trains_embeddings
    assert adapted.inputs_per_block == plain.inputs_per_block
    assert adapted.magnitude_params - plain.magnitude_params == 4096 + 128_256
    whole = LLAMA.adapter(8, ("q_proj",), modules_to_save=("embed_tokens", "lm_head"))
    assert whole.params - plain.params == 2 * 128_256 * 4096
    assert whole.trains_embeddings
    assert MODELS.resolve("pythia-1b").adapter(8, ("embed_tokens",)).modules == ("embed_in",)


def test_a_wrong_target_names_what_is_allowed() -> None:
    with pytest.raises(JobError, match=r"job\.toml: target_modules = 'qproj': all-linear, or any of q_proj, k_proj"):
        LLAMA.adapter(8, ("qproj",), where="job.toml")
    with pytest.raises(JobError, match="target_modules"):
        LLAMA.adapter(8, ())
    with pytest.raises(JobError, match="modules_to_save = 'q_proj': embed_tokens or lm_head"):
        LLAMA.adapter(8, ("q_proj",), modules_to_save=("q_proj",))
    with pytest.raises(JobError, match="lora_rank = 0: a whole number of at least 1"):
        LLAMA.adapter(0, ("q_proj",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0}, "layers 0 is not at least 1"),
        ({"mlp_kind": "maxout"}, "mlp_kind 'maxout' is not known"),
        ({"kv_heads": 3}, "heads 4 is not a multiple of kv_heads 3"),
        ({"moe_experts": 2, "moe_top_k": 3}, "moe_top_k 3"),
        ({"moe_experts": 2}, "moe_top_k 0"),
        ({"dense_layers": 3}, "dense_layers 3 is not within 0 to 2"),
    ],
)
def test_a_shape_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"model tiny: {message}"):
        tiny(**changes)
