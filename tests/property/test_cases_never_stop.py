"""Whatever stands in the cells of a case, it is answered: with figures in order, or with one line saying why not."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.app.cases import COLUMNS, READINGS, predict_cases
from optimizer.app.tables import load_tables

TABLES = load_tables()
GARBAGE = st.text(max_size=12)
NUMBERS = st.one_of(st.sampled_from(["", "0", "-3", "1e30", "nan", "7.5", "1", "8", "64"]), GARBAGE)


def cell(*known: str) -> st.SearchStrategy[str]:
    """Return known texts most of the time, and anything at all for the rest."""
    return st.one_of(st.sampled_from(["", *known]), st.sampled_from(["", *known]), GARBAGE)


CASES = st.fixed_dictionaries(
    {
        "model": cell("Llama-3.1-8B", "mistralai/Mixtral-8x7B-Instruct-v0.1", "mine", "gpt2", "Qwen-7B-Chat"),
        "method": cell("full", "lora", "qlora", "dora", "dpo+lora", "ppo+full", "dpo+dpo+lora", "+lora", "lora+"),
        "stack": cell("trl + liger", "unsloth", "litgpt", "megatron-lm", "deepspeed zero-3"),
        "quant": cell("nf4 (bnb)", "8bit", "gptq", "n/a", "bnb", "bf16/nf4"),
        "precision": cell("bf16", "fp16 AMP", "FP8", "fp32", "bf16 mixed", "16-mixed", "nf4"),
        "target_modules": cell(
            "all-linear", "q_proj", "q_proj + modules_to_save lm_head", "c_attn", "+", "qkvo + mlp", "['q_proj']", "?"
        ),
        "optimizer": cell("adamw", "paged_adamw_8bit", "sgd", "lion", "DeepSpeedCPUAdam"),
        "packing": cell("packed", "padded to longest", "no", "packing=False", "varlen"),
        "grad_checkpointing": cell("yes", "no", "selective", "disabled", "unsloth"),
        "attention": cell("flash2", "eager"),
        "gpu": cell("A100-80GB", "T4", "H100-SXM", "card of given size", "MI300X", "TPU v5e", "2x8 H100", "4x3090"),
        "parallelism": cell("fsdp full_shard", "deepspeed zero3_offload", "ddp", "megatron tp=2", "deepspeed zero2",
                            "stage 2 + cpu offload", "HYBRID_SHARD", "cpu offload"),
        "notes": cell("nodes 2", "nodes 0", "framework_config=foak", "compile", "liger", "seq len 99, bs 3, ga 2",
                      "4 GPUs per node", "rank 0, r=4", "no flash attention; w/o checkpointing", "cpu offload"),
    }
    | dict.fromkeys(
        (
            "layers", "hidden", "heads", "kv_heads", "vocab", "params_b", "lora_rank", "micro_batch", "grad_accum",
            "seq_len", "num_gpus", "gpu_mem_gib", "tokens_per_s_per_gpu", "samples_per_s_total", "tokens", "hours",
        ),
        NUMBERS,
    )
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(rows=st.lists(CASES, min_size=1, max_size=4))
def test_every_row_gets_figures_in_order_or_a_reason(rows: list[dict[str, str]]) -> None:
    predictions = predict_cases(rows, tables=TABLES)
    assert len(predictions) == len(rows)
    for found in predictions:
        assert set(found) <= set(COLUMNS)
        if found.get("pred_error"):
            assert "\n" not in found["pred_error"]
            continue
        for reading in READINGS:
            low, middle, high = (float(found[f"pred_{reading}{end}_gib"]) for end in ("_low", "", "_high"))
            assert 0 < low <= middle <= high
        assert found["pred_basis"] in {"measured", "published", "derived", "assumed"}
