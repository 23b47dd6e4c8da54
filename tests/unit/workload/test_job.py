"""The complete job: defaults, amounts of data, checks."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar

import pytest

from optimizer.workload.job import Job, complete_job
from optimizer.workload.job_defaults import LIMITS, NOTED_WHERE_TAKEN, PLAIN, WITHOUT_DEFAULT
from optimizer.workload.job_file import read_job_file
from optimizer.workload.job_input import JobInput
from optimizer.workload.job_limits import gpu_advice
from optimizer.workload.models import load_models
from providers.errors import JobError, KnowledgeMissing
from providers.gpus import load_gpus

if TYPE_CHECKING:
    from providers.gpus import GpuTable

MODELS = load_models()
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
ROOT = Path(__file__).parents[3]


class InventedGpus:
    """Two GPUs that do not exist, found by id and by one alias."""

    by_id: ClassVar = {
        "Z9-PCIE-1GB": SimpleNamespace(id="Z9-PCIE-1GB"),
        "Z10-SXM-2GB": SimpleNamespace(id="Z10-SXM-2GB"),
    }
    aliases: ClassVar = {"zed9": "Z9-PCIE-1GB"}

    def close_names(self, name: str, *, limit: int = 3) -> tuple[str, ...]:
        """Return the ids that hold the name."""
        return tuple(gpu for gpu in self.by_id if name.lower() in gpu.lower())[:limit]

    def resolve(self, name: str) -> object:
        """Find by id or alias."""
        return self.by_id.get(name.upper()) or self.by_id.get(self.aliases.get(name.lower(), ""))


GPUS: GpuTable = InventedGpus()  # type: ignore[assignment]


SAID: dict[str, object] = {
    "objective": "sft", "seq_len": 512, "global_batch": 8, "packing": False, "lora_rank": 8, "target_modules": "q_proj",
    "optimizer": "sgd", "stack": "nemo", "loss": "fused", "attention": "eager", "confidence": 0.5, "max_gpus": 2,
    "max_nodes": 2, "pricing_model": "spot", "runs": 2, "executor": "policy", "setup_minutes": 1,
    "deadline": "3h", "budget": 5, "quality_floor": "low", "max_complexity": "high", "provider": "x", "region": "x",
    "gpu": "zed9", "exclude_gpu": "zed9", "max_price_age": "3d", "data_gb": 1, "egress_gb": 1, "labelling_usd": 1,
    "preference_usd": 1, "evaluation_usd": 1, "oncall_usd": 1, "method": "lora", "quantization": 16,
    "checkpoint_every": "1h", "disk_gb": 5, "eval_fraction": 0.5, "failed_run_multiplier": 2,
}  # fmt: skip
"""A value for every key that has a line of its own in the list of defaults."""
NOTED_WORDS = {
    "objective": "objective", "seq_len": "sequence length", "global_batch": "global batch", "packing": "packing",
    "lora_rank": "LoRA rank", "target_modules": "LoRA targets", "optimizer": "optimizer", "stack": "stack",
    "loss": "loss", "attention": "attention", "confidence": "confidence", "max_gpus": "GPUs", "max_nodes": "nodes",
    "method": "method", "quantization": "quantization",
}  # fmt: skip


def job(**values: object) -> Job:
    """The job that the values describe, on Llama-3.1-8B unless they say otherwise."""
    said = JobInput.from_mapping({"model": "llama-3.1-8b", **values}, where="job.toml")
    return complete_job(said, models=MODELS, gpus=GPUS, now=NOW, where="job.toml")


def refused(message: str, **values: object) -> None:
    with pytest.raises(JobError) as caught:
        job(**values)
    assert str(caught.value).startswith(f"job.toml: {message}")


def test_every_default_is_filled_in_and_listed() -> None:
    done = job(samples=100, tokens_per_sample=138)
    assert done.defaults_used == (
        "objective = sft (default)",
        "epochs = 1 (default)",
        "sequence length = 256 (tokens per sample, rounded up to 128)",
        "spread of lengths = 50% of their mean (assumed: only the mean was said)",
        "global batch = 16 sequences (default)",
        "packing = no (default)",
        "LoRA rank = 16 (default)",
        "LoRA targets = all-linear (default)",
        "optimizer = adamw (default)",
        "stack = hf (default, intervals widened)",
        "loss = standard (default)",
        "attention = sdpa (default)",
        "confidence = 0.9 (default)",
        "GPUs = 64 (default, at most)",
        "nodes = 1 (default, at most)",
        "method and quantization = all that make sense (default)",
        (
            "limits not set = deadline, budget, quality floor, complexity ceiling, provider, region, GPU, "
            "excluded GPUs, price age (default)"
        ),
        "pricing model = on_demand, and spot where its price is fresh (default)",
        "runs = 1 (default)",
        "executor = none: a person restarts what spot loses (default)",
        "set-up = 10 min (assumed)",
        "checkpoint every = 30 min, or 20 times as long as one takes to write (default, the longer one)",
        "data to download and results to take out = 0 GB (default)",
        "disk = what image, model, data and checkpoints need (derived)",
        "share of time for evaluation = 0 (default)",
        "failed-run multiplier = 1 (default)",
        "labelling, preferences, evaluation set and on-call duty = $0 (default)",
        "precision = bf16 mixed, fp16 mixed on GPUs without bf16 (default)",
        "checkpointing, micro-batch, sharding and offload = searched (default)",
    )
    assert (done.name, done.objective, done.seq_len, done.global_batch) == ("Llama-3.1-8B", "sft", 256, 16)
    assert (done.packing, done.runs, done.methods, done.quantization_bits) == (False, 1, (), ())
    assert (done.lora_rank, done.target_modules, done.optimizer) == (16, ("all-linear",), "adamw")
    assert (done.stack, done.stack_known, done.confidence_ppm) == ("hf", False, 900_000)
    assert (done.max_gpus, done.max_nodes, done.executor) == (64, 1, "none")
    assert (done.deadline_at, done.budget_usd, done.max_price_age_s) == (None, None, None)
    assert done.overheads.setup_s is None
    assert done.overheads.checkpoint_every_s is None
    assert done.basis == "assumed"
    assert done.lengths is not None


def test_nothing_is_listed_that_was_said() -> None:
    done = job(
        name="ner", tokens=1000, seq_len=512, global_batch=32, packing=True, runs=3, method="lora,dora,lora",
        quantization=[16, 8], objective="sft", lora_rank=8, target_modules="q_proj,v_proj,q_proj",
        optimizer="adamw-8bit", stack="hf", deadline="36h", confidence=0.95, budget="500.50", quality_floor="medium",
        max_complexity="high", provider="nowhere", region="mars-1", gpu="zed9", exclude_gpu="Z10-SXM-2GB", max_gpus=8,
        max_nodes=2, pricing_model="spot", max_price_age="24h", executor="policy", setup_minutes=5, data_gb=1.5,
        egress_gb=2, disk_gb=100, checkpoint_every="30m", eval_fraction=0.05, failed_run_multiplier=1.2,
        labelling_usd=1, preference_usd=2, evaluation_usd=3, oncall_usd=4, loss="triton", attention="Flash",
    )  # fmt: skip
    # What no key of a job can say.
    assert done.defaults_used == (
        "precision = bf16 mixed, fp16 mixed on GPUs without bf16 (default)",
        "checkpointing, micro-batch, sharding and offload = searched (default)",
    )
    assert (done.loss, done.attention) == ("triton", "flash")
    assert (done.name, done.tokens, done.sequences, done.seq_len, done.global_batch) == ("ner", 1000, 2, 512, 32)
    assert (done.packing, done.runs, done.methods, done.quantization_bits) == (True, 3, ("lora", "dora"), (16, 8))
    assert (done.lora_rank, done.target_modules, done.optimizer) == (8, ("q_proj", "v_proj"), "adamw-8bit")
    assert done.stack_known
    assert done.deadline_at == NOW + timedelta(hours=36)
    assert (done.confidence_ppm, done.budget_usd) == (950_000, Decimal("500.50"))
    assert (done.quality_floor, done.max_complexity) == ("medium", "high")
    assert (done.providers, done.regions) == (("nowhere",), ("mars-1",))
    assert (done.gpus, done.exclude_gpus) == (("Z9-PCIE-1GB",), ("Z10-SXM-2GB",))
    assert (done.max_gpus, done.max_nodes, done.pricing_models) == (8, 2, ("spot",))
    assert (done.max_price_age_s, done.executor) == (86_400, "policy")
    costs = done.overheads
    assert (costs.setup_s, costs.data_bytes, costs.egress_bytes, costs.disk_bytes) == (300, 1.5e9, 2e9, 100e9)
    assert (costs.checkpoint_every_s, costs.eval_fraction, costs.failed_run_multiplier) == (1800, 0.05, 1.2)
    assert (costs.labelling_usd, costs.preference_usd) == (Decimal(1), Decimal(2))
    assert (costs.evaluation_usd, costs.oncall_usd) == (Decimal(3), Decimal(4))


def test_every_key_of_a_job_is_said_or_accounted_for() -> None:
    """A key added to the job without a thought for its default fails here."""
    plain = {key for unsaid in PLAIN for key in unsaid.names}
    rooms = (set(NOTED_WHERE_TAKEN), set(WITHOUT_DEFAULT), set(LIMITS), plain)
    assert set().union(*rooms) == set(JobInput.model_fields)
    assert sum(map(len, rooms)) == len(JobInput.model_fields)


@pytest.mark.parametrize(("key", "value"), SAID.items())
def test_saying_a_key_takes_its_word_from_the_list(key: str, value: object) -> None:
    """Each default has a word in the list that goes when its key is said, and that alone."""
    words = {**LIMITS, **{name: word for unsaid in PLAIN for name, word in unsaid.names.items()}, **NOTED_WORDS}
    before, after = job(tokens=5).defaults_used, job(tokens=5, **{key: value}).defaults_used
    (line,) = set(before) - set(after)
    named = re.split(r", | and | = ", line.partition(" (")[0])
    assert words[key] in named
    # The others of its line stay.
    left = {word for other in set(after) - set(before) for word in re.split(r", | and | = ", other.partition(" (")[0])}
    assert words[key] not in left
    assert not left or set(named) - left == {words[key]}


def test_unsloth_brings_its_own_cross_entropy() -> None:
    assert job(tokens=5, stack="unsloth").loss == "fused"
    assert "loss = fused (default)" in job(tokens=5, stack="unsloth").defaults_used
    assert job(tokens=5, stack="unsloth", loss="standard").loss == "standard"


def test_bare_experts_take_no_k_bit_weights() -> None:
    bare = {"model": "gpt-oss-20b", "tokens": 5}
    reason = "the experts of gpt-oss-20b are one bare tensor a layer, which the k-bit loaders pass over: 16 bits"
    refused(f"quantization = '4': {reason}", **bare, quantization=4)
    refused(f"quantization = '8,4': {reason}", **bare, quantization=[8, 4])
    refused(f"method = 'qlora': {reason}", **bare, method="qlora")
    refused(f"quantization = '16,4': {reason}", **bare, quantization=[16, 4])
    # Left to choose, it is 16, and said so; on a stack whose checkpoints hold them as linear layers all is open.
    note = f"width of the weights = 16 ({reason.partition(':')[0]})"
    assert job(**bare).quantization_bits == (16,)
    assert note in job(**bare).defaults_used
    assert "method = all that make sense (default)" in job(**bare).defaults_used
    assert job(**bare, quantization=16).quantization_bits == (16,)
    assert note not in job(**bare, quantization=16).defaults_used
    assert job(**bare, stack="unsloth").quantization_bits == ()
    assert job(**bare, method="qlora", stack="unsloth").methods == ("qlora",)
    assert job(model="mixtral-8x7b", tokens=5, method="qlora").methods == ("qlora",)


def test_an_amount_beyond_bounds_names_what_was_said() -> None:
    refused("samples = 1000000000000: at most 10000000000000 tokens in all, every epoch counted, and this makes ",
            samples=10**12, tokens_per_sample=1000)  # fmt: skip
    refused("pairs = 1000000000000: at most 10000000000000 tokens", objective="dpo", pairs=10**12, prompt_tokens=50,
            response_tokens=50)  # fmt: skip
    assert job(tokens=10**13).tokens == 10**13


def test_a_deadline_beyond_the_calendar_is_refused() -> None:
    said = JobInput.from_mapping({"model": "llama-3.1-8b", "tokens": 5, "deadline": "2d"}, where="job.toml")
    last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    with pytest.raises(JobError, match=r"deadline = '2d': a moment before the year 10000, seen from now \(9999-12-31"):
        complete_job(said, models=MODELS, gpus=GPUS, now=last, where="job.toml")


def test_a_name_that_could_be_several_gpus_says_so() -> None:
    assert gpu_advice("A100", load_gpus()).startswith("one GPU, and that could be any of A100-")
    for one in ("A100-SXM-40GB", "A100-PCIE-40GB", "A100-SXM-80GB", "A100-PCIE-80GB"):
        assert one in gpu_advice("a100", load_gpus())
    assert gpu_advice("H100-SXM-81GB", load_gpus()).startswith("a GPU id or alias of the table, such as H100-SXM-80GB")


def test_samples_times_tokens_times_epochs() -> None:
    done = job(samples=13_300, tokens_per_sample=140, epochs=4)
    assert (done.tokens, done.sequences, done.seq_len) == (7_448_000, 53_200, 256)


def test_samples_are_cut_at_the_sequence_length_and_the_cut_is_listed() -> None:
    done = job(samples=10, tokens_per_sample=300, seq_len=200)
    assert done.tokens == 2000
    assert "tokens per sample = 200 (cut from 300 at the sequence length)" in done.defaults_used
    long = job(model="llama-2-7b", samples=10, tokens_per_sample=5000)
    assert (long.seq_len, long.tokens) == (4096, 40_960)
    assert (
        "sequence length = 4096 (tokens per sample, rounded up to 128, at most the context of Llama-2-7b-hf)"
        in long.defaults_used
    )


def test_tokens_alone_are_cut_into_rows() -> None:
    done = job(tokens=10_000)
    assert (done.tokens, done.seq_len, done.sequences) == (10_000, 2048, 5)
    assert any(line.startswith("sequence length = 2048 (assumed") for line in done.defaults_used)
    assert job(model="gpt2", tokens=10_000).seq_len == 1024
    sized = job(tokens=10_000, tokens_per_sample=100)
    assert (sized.seq_len, sized.sequences) == (128, 100)


def jsonl(folder: Path, *rows: object) -> str:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_dataset_gives_rows_tokens_and_its_95th_percentile(tmp_path: Path) -> None:
    path = jsonl(tmp_path, *({"text": "a" * 4 * length} for length in range(1, 101)))
    done = job(dataset=path, epochs=2)
    assert (done.sequences, done.seq_len, done.tokens) == (200, 128, 2 * 5050)
    assert done.lengths is not None
    assert done.lengths.percentile(0.95) == 95
    assert "sequence length = 128 (95th percentile of the dataset, rounded up to 128)" in done.defaults_used
    assert "token lengths = UTF-8 bytes / 4 (assumed: no tokenizer.json was named)" in done.defaults_used
    cut = job(dataset=path, seq_len=50)
    assert cut.tokens == sum(min(length, 50) for length in range(1, 101))


def test_a_pair_is_two_sequences(tmp_path: Path) -> None:
    done = job(objective="dpo", pairs=1000, prompt_tokens=100, response_tokens=200, epochs=2)
    assert (done.tokens, done.sequences, done.seq_len) == (1000 * 2 * 300 * 2, 2000, 384)
    assert (done.prompt_tokens, done.response_tokens) == (100, 200)
    path = jsonl(tmp_path, *[{"prompt": "p" * 40, "chosen": "c" * 40, "rejected": "r" * 80}] * 3)
    read = job(objective="dpo", dataset=path)
    # Prompt 10, responses 10 and 20: 15 in the mean.
    assert (read.prompt_tokens, read.response_tokens, read.sequences, read.tokens) == (10, 15, 3, 3 * 2 * 25)
    assert read.lengths is not None
    assert read.lengths.count == 6


def test_ppo_counts_rollouts_and_names_its_reward_model() -> None:
    done = job(objective="ppo", rollouts=500, prompt_tokens=64, response_tokens=64, reward_model="qwen2.5-0.5b")
    assert (done.tokens, done.sequences, done.seq_len) == (64_000, 500, 128)
    assert done.reward_model is MODELS.resolve("qwen2.5-0.5b")
    assert job(tokens=5).reward_model is None


@pytest.mark.parametrize("missing", ["pairs", "prompt_tokens", "response_tokens"])
def test_dpo_needs_its_figures(missing: str) -> None:
    values = {"pairs": 10, "prompt_tokens": 10, "response_tokens": 10}
    del values[missing]
    refused(f"{missing} = not given: required for objective dpo", objective="dpo", **values)


@pytest.mark.parametrize("missing", ["rollouts", "prompt_tokens", "response_tokens", "reward_model"])
def test_ppo_needs_its_figures(missing: str) -> None:
    values = {"rollouts": 10, "prompt_tokens": 10, "response_tokens": 10, "reward_model": "gpt2"}
    del values[missing]
    refused(f"{missing} = not given: required for objective ppo", objective="ppo", **values)


def test_amounts_that_lack_or_contradict_are_refused(tmp_path: Path) -> None:
    refused("tokens = not given: one of: tokens; samples with tokens_per_sample")
    refused("tokens and samples = ['tokens', 'samples']: one of", tokens=5, samples=5, tokens_per_sample=5)
    refused("tokens_per_sample = not given: required with samples", samples=5)
    refused("epochs = 4: not with tokens, which count every epoch", tokens=5, epochs=4)
    refused("pairs = 5: not with objective sft", tokens=5, pairs=5)
    refused("tokens = 5: not with objective dpo", objective="dpo", tokens=5)
    refused("dataset = 'x': not with objective ppo", objective="ppo", dataset="x")
    refused("tokenizer = 'x': only together with dataset", tokens=5, tokenizer="x")
    refused("seq_len = 9000: at most 8192, the context of", model="llama-3-8b", tokens=5, seq_len=9000)
    refused(
        "samples = 1000000000000: at most 10000000000000 tokens", samples=10**12, tokens_per_sample=100_000, epochs=1
    )
    refused(
        "prompt_tokens = 100: together with response_tokens (100) at most 128",
        objective="dpo", pairs=1, prompt_tokens=100, response_tokens=100, seq_len=128,
    )  # fmt: skip
    samples = jsonl(tmp_path, {"text": "fine"})
    refused("tokens_per_sample = 5: not with a dataset", dataset=samples, tokens_per_sample=5)
    refused(f"dataset = {samples!r}: rows with chosen and rejected", objective="dpo", dataset=samples)
    pairs = jsonl(tmp_path, {"chosen": "a", "rejected": "b"})
    refused(f"dataset = {pairs!r}: samples; this one holds preference pairs", dataset=pairs)


def test_a_sequence_may_be_as_long_as_the_context() -> None:
    assert job(model="llama-3-8b", tokens=5, seq_len=8192).seq_len == 8192


def test_widths_that_make_no_sense_are_refused_with_the_reason() -> None:
    refused("quantization = '16': not with method qlora: qlora is LoRA over weights held in 4 bits: 4",
            tokens=5, method="qlora", quantization=16)  # fmt: skip
    refused("quantization = '4,8': not with method full: full fine-tuning changes every weight",
            tokens=5, method="full,lora", quantization=[4, 8])  # fmt: skip
    assert job(tokens=5, method="full,qlora", quantization=[16, 4]).methods == ("full", "qlora")
    assert job(tokens=5, method="lora", quantization=[4]).quantization_bits == (4,)


def test_models_gpus_and_modules_that_are_not_known() -> None:
    refused("model = not given: required: a model name", model=None, tokens=5)
    with pytest.raises(KnowledgeMissing, match=r"job\.toml: model: 'lama-3' is not in the model table"):
        job(model="lama-3", tokens=5)
    with pytest.raises(KnowledgeMissing, match=r"job\.toml: reward_model: 'nobody'"):
        job(objective="ppo", rollouts=5, prompt_tokens=5, response_tokens=5, reward_model="nobody")
    with pytest.raises(JobError, match=r"a readable config\.json"):
        job(model="./nowhere/config.json", tokens=5)
    refused("gpu = 'Z9': a GPU id or alias of the table, such as Z9-PCIE-1GB", tokens=5, gpu="Z9")
    refused("gpu = 'Z11': a GPU id or alias of the table, such as Z10-SXM-2GB, Z9-PCIE-1GB", tokens=5, gpu="Z11")
    refused(
        "exclude_gpu = '?': a GPU id or alias of the table, such as Z10-SXM-2GB, Z9-PCIE-1GB", tokens=5, exclude_gpu="?"
    )
    refused("exclude_gpu = ['Z9-PCIE-1GB']: at least one GPU", tokens=5, gpu="zed9", exclude_gpu="Z9-PCIE-1GB")
    refused("target_modules = 'c_attn': all-linear, or any of q_proj", tokens=5, target_modules="c_attn")


def test_deadlines_are_spans_or_moments() -> None:
    assert job(tokens=5, deadline="1d12h").deadline_at == NOW + timedelta(hours=36)
    assert job(tokens=5, deadline="2026-12-01T08:00+01:00").deadline_at == datetime(2026, 12, 1, 7, tzinfo=UTC)
    east = datetime(2026, 12, 1, 8, tzinfo=timezone(timedelta(hours=2)))
    assert job(tokens=5, deadline=east).deadline_at == datetime(2026, 12, 1, 6, tzinfo=UTC)
    refused("deadline = '2026-11-22T08:59Z': a moment after now (2026-11-22T09:00Z)",
            tokens=5, deadline="2026-11-22T08:59Z")  # fmt: skip
    refused("deadline = 'soon': ", tokens=5, deadline="soon")
    refused("deadline = '-3h': ", tokens=5, deadline="-3h")
    refused("deadline = '2026-12-01T08:00:00': a date and time with its zone",
            tokens=5, deadline=datetime(2026, 12, 1, 8))  # noqa: DTZ001  # fmt: skip
    refused("checkpoint_every = '0.5s': at least 1s", tokens=5, checkpoint_every="0.5s")
    assert job(tokens=5, checkpoint_every="1s").overheads.checkpoint_every_s == 1
    refused("checkpoint_every = 'often': ", tokens=5, checkpoint_every="often")
    refused("max_price_age = '5': ", tokens=5, max_price_age="5")


def test_confidence_is_kept_in_millionths() -> None:
    assert job(tokens=5, confidence=0.123_456_7).confidence_ppm == 123_457
    refused("confidence = 1e-09: a number from 0.000001 to 0.999999", tokens=5, confidence=1e-9)
    refused("confidence = 0.9999999: a number from", tokens=5, confidence=0.999_999_9)


def test_a_local_model_may_bring_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 256, "vocab_size": 9}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    data = jsonl(tmp_path, {"text": "four"})
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert job(model=str(tmp_path / "config.json"), dataset=data).basis == "assumed"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setattr("optimizer.workload.dataset._load_tokenizer", lambda _: len)
    done = job(model=str(tmp_path), dataset=data)
    assert (done.basis, done.tokens, done.seq_len) == ("measured", 4, 128)
    beside = tmp_path / "tokenizer.json"
    assert f"tokenizer = {beside} (found beside the model's config.json)" in done.defaults_used


def test_the_example_job_is_what_the_readme_says() -> None:
    said = read_job_file(ROOT / "docs" / "examples" / "llama-ner.toml")
    done = complete_job(said, models=MODELS, gpus=GPUS, now=NOW, where="llama-ner.toml")
    assert (done.model.hf_id, done.tokens, done.sequences) == ("meta-llama/Llama-3.1-8B", 7_448_000, 53_200)
    assert done.deadline_at == NOW + timedelta(hours=24)
