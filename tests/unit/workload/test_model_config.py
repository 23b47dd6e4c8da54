"""Local config.json files: every family reads as the table has it; what lacks or is wrong is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from optimizer.workload.models import is_model_path, load_models, model_from_config
from providers.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path

MODELS = load_models()


def common(layers: int, hidden: int, intermediate: int, heads: int, kv_heads: int, vocab: int, **more: object) -> dict:
    """The keys that most families share."""
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
        "max_position_embeddings": 4096,
        **more,
    }


LATENT = {
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "n_shared_experts": 1, "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "moe_layer_freq": 1,
}  # fmt: skip

CONFIGS: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("llama-3.1-8b", common(32, 4096, 14336, 32, 8, 128_256, attention_bias=False, mlp_bias=False)),
    "llama-tied": ("llama-3.2-1b", common(16, 2048, 8192, 32, 8, 128_256, head_dim=64, tie_word_embeddings=True)),
    "mistral": ("mistral-7b-v0.1", common(32, 4096, 14336, 32, 8, 32_000, sliding_window=4096)),
    "mixtral": (
        "mixtral-8x7b", common(32, 4096, 14336, 32, 8, 32_000, num_local_experts=8, num_experts_per_tok=2),
    ),
    "qwen2": ("qwen2.5-7b", common(28, 3584, 18944, 28, 4, 152_064)),
    "qwen3": ("qwen3-8b", common(36, 4096, 12288, 32, 8, 151_936, head_dim=128, attention_bias=False)),
    "qwen2_moe": (
        "qwen1.5-moe-a2.7b",
        common(24, 2048, 5632, 16, 16, 151_936, num_experts=60, num_experts_per_tok=4, moe_intermediate_size=1408,
               shared_expert_intermediate_size=5632, decoder_sparse_step=1),
    ),
    "qwen3_moe": (
        "qwen3-30b-a3b",
        common(48, 2048, 6144, 32, 4, 151_936, head_dim=128, num_experts=128, num_experts_per_tok=8,
               moe_intermediate_size=768, decoder_sparse_step=1, mlp_only_layers=[]),
    ),
    "gemma": ("gemma-2b", common(18, 2048, 16384, 8, 1, 256_000, head_dim=256, hidden_act="gelu")),
    "gemma2": ("gemma-2-2b", common(26, 2304, 9216, 8, 4, 256_000, head_dim=256, hidden_act="gelu_pytorch_tanh")),
    "gemma3_text": ("gemma-3-1b", common(26, 1152, 6912, 4, 1, 262_144, head_dim=256)),
    "gemma3": (
        "gemma-3-12b",
        {"vision_config": {"hidden_size": 1152},
         "text_config": {"model_type": "gemma3_text", "hidden_size": 3840, "intermediate_size": 15360,
                         "num_attention_heads": 16, "num_hidden_layers": 48, "num_key_value_heads": 8,
                         "vocab_size": 262_144}},
    ),
    "phi3": ("phi-4", common(40, 5120, 17920, 40, 10, 100_352)),
    "phi": ("phi-2", common(32, 2560, 10240, 32, 32, 51_200, hidden_act="gelu_new")),
    "gpt2": ("gpt2", {"n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50_257}),
    "gpt_bigcode": (
        "santacoder",
        {"n_embd": 2048, "n_head": 16, "n_layer": 24, "n_inner": 8192, "n_positions": 2048, "vocab_size": 49_280,
         "multi_query": True},
    ),
    "gptj": (
        "gpt-j-6b",
        {"n_embd": 4096, "n_head": 16, "n_layer": 28, "n_inner": None, "n_positions": 2048, "vocab_size": 50_400,
         "tie_word_embeddings": False},
    ),
    "gpt_neox": ("pythia-1b", common(16, 2048, 8192, 8, 8, 50_304, tie_word_embeddings=False)),
    "bloom": ("bloom-560m", {"n_layer": 24, "hidden_size": 1024, "n_head": 16, "vocab_size": 250_880}),
    "opt": (
        "opt-1.3b",
        {"num_hidden_layers": 24, "hidden_size": 2048, "ffn_dim": 8192, "num_attention_heads": 32,
         "vocab_size": 50_272, "max_position_embeddings": 2048, "word_embed_proj_dim": 2048},
    ),
    "opt-350m": (
        "opt-350m",
        {"num_hidden_layers": 24, "hidden_size": 1024, "ffn_dim": 4096, "num_attention_heads": 16,
         "vocab_size": 50_272, "max_position_embeddings": 2048, "word_embed_proj_dim": 512,
         "do_layer_norm_before": False},
    ),
    "falcon": (
        "falcon-7b",
        {"hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71, "vocab_size": 65_024,
         "multi_query": True, "parallel_attn": True, "new_decoder_architecture": False, "bias": False},
    ),
    "falcon-40b": (
        "falcon-40b",
        {"hidden_size": 8192, "num_hidden_layers": 60, "num_attention_heads": 128, "num_kv_heads": 8,
         "vocab_size": 65_024, "new_decoder_architecture": True},
    ),
    "falcon-rw": (
        "falcon-rw-1b",
        {"hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 32, "vocab_size": 50_304,
         "multi_query": False, "parallel_attn": False, "bias": True, "alibi": True},
    ),
    "mpt": (
        "mpt-7b",
        {"d_model": 4096, "n_heads": 32, "n_layers": 32, "expansion_ratio": 4, "max_seq_len": 2048,
         "vocab_size": 50_368, "no_bias": False, "learned_pos_emb": True, "attn_config": {"alibi": False}},
    ),
    "deepseek_v3": (
        "deepseek-v3",
        common(61, 7168, 18432, 128, 128, 129_280, n_routed_experts=256, first_k_dense_replace=3, **LATENT),
    ),
    "kimi_k2": (
        "kimi-k2", common(61, 7168, 18432, 64, 64, 163_840, n_routed_experts=384, first_k_dense_replace=1, **LATENT),
    ),
    "deepseek_v2": (
        "deepseek-v2-lite",
        common(27, 2048, 10944, 16, 16, 102_400, n_routed_experts=64, first_k_dense_replace=1,
               **{**LATENT, "q_lora_rank": None, "n_shared_experts": 2, "num_experts_per_tok": 6,
                  "moe_intermediate_size": 1408}),
    ),
    "gpt_oss": (
        "gpt-oss-20b",
        common(24, 2880, 2880, 64, 8, 201_088, head_dim=64, num_local_experts=32, num_experts_per_tok=4),
    ),
    "olmo2": ("olmo-2-1124-7b", common(32, 4096, 11008, 32, 32, 100_352)),
    "internlm2": ("internlm2-7b", common(32, 4096, 14336, 32, 8, 92_544, bias=False)),
    "internlm": ("internlm-7b", common(32, 4096, 11008, 32, 32, 103_168, bias=True)),
    "baichuan": ("baichuan2-7b", common(32, 4096, 11008, 32, 32, 125_696)),
    "stablelm": ("stablelm-3b-4e1t", common(32, 2560, 6912, 32, 32, 50_304, use_qkv_bias=False)),
    "starcoder2": ("starcoder2-3b", common(30, 3072, 12288, 24, 2, 49_152, use_bias=True)),
    "glm4": ("glm-4-9b-0414", common(40, 4096, 13696, 32, 2, 151_552, head_dim=128, attention_bias=True)),
    "granite": ("granite-3.0-8b", common(40, 4096, 12800, 32, 8, 49_155, tie_word_embeddings=True)),
    "granitemoe": (
        "granite-3.0-1b-a400m-instruct",
        common(24, 1024, 512, 16, 8, 49_155, num_local_experts=32, num_experts_per_tok=8, tie_word_embeddings=True),
    ),
    "qwen": (
        "qwen/qwen-7b",
        {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 22016, "num_attention_heads": 32,
         "kv_channels": 128, "vocab_size": 151_936, "seq_length": 8192},
    ),
    "chatglm": (
        "chatglm3-6b",
        {"num_layers": 28, "hidden_size": 4096, "ffn_hidden_size": 13696, "num_attention_heads": 32,
         "multi_query_attention": True, "multi_query_group_num": 2, "kv_channels": 128, "padded_vocab_size": 65_024,
         "seq_length": 8192, "add_qkv_bias": True},
    ),
}  # fmt: skip
TYPES = {"llama-tied": "llama", "opt-350m": "opt", "falcon-40b": "falcon", "falcon-rw": "falcon"}


def written(folder: Path, values: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.mark.parametrize("key", CONFIGS)
def test_a_config_reads_as_the_table_has_it(key: str, tmp_path: Path) -> None:
    name, values = CONFIGS[key]
    model = model_from_config(written(tmp_path, {"model_type": TYPES.get(key, key), **values}))
    known = MODELS.resolve(name)
    assert model.total_params == known.total_params
    assert model.active_params == known.active_params
    assert model.linear_modules() == known.linear_modules()
    assert model.mlp_width == known.mlp_width
    assert model.tied_embeddings == known.tied_embeddings
    assert model.mlp_kind == known.mlp_kind
    assert model.head_dim == known.head_dim


def test_every_other_layer_of_llama_4_maverick_is_dense(tmp_path: Path) -> None:
    text = common(48, 5120, 8192, 40, 8, 202_048, head_dim=128, model_type="llama4_text", num_local_experts=128,
                  num_experts_per_tok=1, intermediate_size_mlp=16384, interleave_moe_layer_step=2)  # fmt: skip
    model = model_from_config(written(tmp_path, {"model_type": "llama4", "text_config": text}))
    known = MODELS.resolve("llama-4-maverick")
    assert model.dense_layers == 24
    assert model.total_params == known.total_params - known.extra_params
    assert model.linear_modules() == known.linear_modules()
    # Its table row counts the vision tower and projector beside the decoder: 401,583,781,376 in all.
    assert known.total_params == 401_583_781_376


def test_the_released_mpt_has_neither_positions_nor_biases(tmp_path: Path) -> None:
    values = {"d_model": 4096, "n_heads": 32, "n_layers": 32, "expansion_ratio": 4, "max_seq_len": 2048,
              "vocab_size": 50_432, "no_bias": True, "learned_pos_emb": True,
              "attn_config": {"alibi": True}, "model_type": "mpt"}  # fmt: skip
    model = model_from_config(written(tmp_path, values))
    # 32 x 12 x 4096^2, 50,432 x 4096 and 65 norms; the published count of mosaicml/mpt-7b.
    assert model.total_params == 6_649_286_656


def test_a_folder_stands_for_its_config_and_gives_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "my-llama"
    folder.mkdir()
    written(folder, {"model_type": "llama", **CONFIGS["llama"][1]})
    model = model_from_config(folder)
    assert (model.name, model.hf_id, model.context) == ("my-llama", "", 4096)
    assert model.published_params is None
    assert model.source.endswith("config.json")


def test_llama_with_biases_has_them_on_all_projections(tmp_path: Path) -> None:
    plain = model_from_config(written(tmp_path, {"model_type": "llama", **CONFIGS["llama"][1]}))
    biased = {"model_type": "llama", **CONFIGS["llama"][1], "attention_bias": True, "mlp_bias": True}
    model = model_from_config(written(tmp_path, biased))
    per_layer = (4096 + 1024 + 1024 + 4096) + (2 * 14336 + 4096)
    assert model.total_params - plain.total_params == 32 * per_layer


def test_biases_can_be_switched_against_the_family(tmp_path: Path) -> None:
    values = {"model_type": "starcoder2", **CONFIGS["starcoder2"][1]}
    with_biases = model_from_config(written(tmp_path, values))
    without = model_from_config(written(tmp_path, {**values, "use_bias": False}))
    assert with_biases.total_params - without.total_params == 30 * (3072 + 2 * 256 + 3072 + 12288 + 3072)
    qwen = {"model_type": "qwen2_moe", **CONFIGS["qwen2_moe"][1]}
    biased = model_from_config(written(tmp_path, qwen))
    unbiased = model_from_config(written(tmp_path, {**qwen, "qkv_bias": False}))
    assert biased.total_params - unbiased.total_params == 24 * 3 * 2048


def test_heads_default_to_multi_head_attention(tmp_path: Path) -> None:
    values = {"model_type": "llama", **common(32, 4096, 11008, 32, 32, 32_000)}
    del values["num_key_value_heads"]
    assert model_from_config(written(tmp_path, values)).total_params == 6_738_415_616


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "hidden_size = not given: required: a whole number"),
        ({"vocab_size": "many"}, "vocab_size = 'many': a whole number from 1 to"),
        ({"vocab_size": 0}, "vocab_size = 0: a whole number from 1 to"),
        ({"vocab_size": 1.5}, "vocab_size = 1.5: a whole number"),
        ({"vocab_size": True}, "vocab_size = true: a whole number"),
        ({"vocab_size": 10**12}, "vocab_size = 1000000000000: a whole number from 1 to 1000000000"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings = 'no': true or false"),
        ({"model_type": "lama"}, r"model_type = 'lama': an architecture that can be read, such as llama"),
        ({"model_type": "mamba-zz"}, "model_type = 'mamba-zz': an architecture that can be read, such as"),
        ({"model_type": None}, "model_type = not given: an architecture that can be read"),
        ({"model_type": 3}, "model_type = 3: a text"),
        ({"num_attention_heads": 33}, "num_attention_heads = 33: a divisor of the hidden width 4096"),
        ({"num_key_value_heads": 5}, "num_key_value_heads = 5: a divisor of the 32 attention heads"),
        ({"text_config": []}, r"text_config = \[\]: an object"),
        ({"num_local_experts": 8, "num_experts_per_tok": 2, "mlp_only_layers": 3}, "mlp_only_layers = 3: a list"),
        ({"num_local_experts": 8}, "num_experts_per_tok = not given: required"),
        ({"use_qk_norm": True}, "use_qk_norm = true: false"),
        ({"model_type": "stablelm", "qk_layernorm": True}, "qk_layernorm = true: false: .* of stablelm"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = written(tmp_path, {"model_type": "llama", **CONFIGS["llama"][1], **change})
    with pytest.raises(JobError, match=message) as caught:
        model_from_config(path)
    assert str(caught.value).startswith(str(path))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("missing", ["num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size"])
def test_a_field_that_lacks_is_named(missing: str, tmp_path: Path) -> None:
    values = {"model_type": "llama", **CONFIGS["llama"][1]}
    del values[missing]
    with pytest.raises(JobError, match=f"{missing} = not given: required|not given.*{missing}"):
        model_from_config(written(tmp_path, values))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"model: path = .*nowhere\.json.*a readable config\.json \(No such file"):
        model_from_config(tmp_path / "nowhere.json")
    with pytest.raises(JobError, match=r"a readable config\.json"):
        model_from_config(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(JobError, match="a JSON object in UTF-8"):
        model_from_config(tmp_path)
    for text in ("[1]", "{", "", "[" * 100_000):
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
        with pytest.raises(JobError, match="a JSON object in UTF-8"):
            model_from_config(tmp_path)


@pytest.mark.parametrize(
    ("model", "is_path"),
    [("config.json", True), ("./x", True), ("/x/y", True), ("~/x", True), ("meta-llama/Llama-3.1-8B", False)],
)
def test_paths_and_names_are_told_apart(model: str, is_path: bool) -> None:  # a test parameter
    assert is_model_path(model) is is_path


def test_org_and_name_is_a_path_where_such_a_folder_holds_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c" / "dir").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not is_model_path("c/dir")
    for folder in ("c/dir", "plain"):
        (tmp_path / folder / "config.json").write_text("{}")
    assert is_model_path("c/dir")
    assert is_model_path("c/dir/")
    # A plain name is looked up in the table, whatever lies beside.
    assert not is_model_path("plain")
    assert is_model_path("plain/")
    assert not is_model_path("meta-llama/Llama-3.1-8B")
    assert not is_model_path("a/" + "b" * 5000)
    assert not is_model_path("a/b\0c")
    monkeypatch.chdir("/")
    assert not is_model_path("c/dir")
    assert is_model_path("c/dir", folder=tmp_path)


def test_too_many_chosen_experts_name_the_key(tmp_path: Path) -> None:
    values = {"model_type": "mixtral", **CONFIGS["mixtral"][1], "num_experts_per_tok": 9}
    with pytest.raises(JobError, match="num_experts_per_tok = 9: at most 8, the number of experts"):
        model_from_config(written(tmp_path, values))
