"""How much is trained on: tokens, sequences, their length and the batch, from what the job says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from providers.basis import Basis
from providers.errors import JobError

from .dataset import read_dataset
from .lengths import ASSUMED_VARIATION, spread_around
from .models import ModelSpec, is_model_path

if TYPE_CHECKING:
    from .job_input import JobInput
    from .job_limits import DefaultNotes
    from .lengths import LengthDistribution

SEQ_LEN_STEP = 128
DEFAULT_SEQ_LEN = 2048
"""Where only a number of tokens is said: a usual length for instruction tuning, basis `assumed`."""
DEFAULT_GLOBAL_BATCH = 16
PERCENTILE = 0.95
TOKENS_MAX = 10**13
"""Ten trillion, as for `tokens` themselves: half of what the largest models are pretrained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlan:
    """Tokens and sequences with every epoch counted, the row length and what is known of the lengths."""

    objective: str
    tokens: int
    sequences: int
    seq_len: int
    global_batch: int
    packing: bool
    lengths: LengthDistribution | None
    prompt_tokens: int
    response_tokens: int
    basis: str

    @property
    def needs_reward_model(self) -> bool:
        """PPO scores its rollouts with a reward model."""
        return self.objective == "ppo"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Amount:
    """Tokens and sequences of one job, and the row length they lie in."""

    tokens: int
    sequences: int
    seq_len: int
    basis: str
    lengths: LengthDistribution | None = None
    prompt_tokens: int = 0
    response_tokens: int = 0


def plan_data(said: JobInput, *, model: ModelSpec, defaults: DefaultNotes, where: str) -> DataPlan:
    """Return the amount of data that the job trains on.

    SFT: tokens as said; samples x tokens per sample x epochs; or the dataset x epochs (rows cut at the sequence
    length). DPO: a pair is two sequences of prompt and response (the chosen and the rejected one), so tokens are
    pairs x 2 x (prompt + response) x epochs and sequences pairs x epochs. PPO: tokens are rollouts x (prompt +
    response) x epochs. Raises JobError for an amount that is missing, said twice, or longer than the context.
    """
    if said.objective is None:
        defaults.note("objective", "sft", "default")
    objective = said.objective or "sft"
    _refuse_foreign_keys(said, objective, where)
    if said.seq_len is not None and said.seq_len > model.context:
        allowed = f"at most {model.context}, the context of {model.name} (a config.json of your own may say more)"
        raise JobError(where=where, key="seq_len", value=said.seq_len, allowed=allowed)
    amount = (_supervised if objective == "sft" else _preference)(said, model, defaults, where)
    if amount.tokens > TOKENS_MAX:
        key = next(key for key in ("samples", "pairs", "rollouts", "dataset", "tokens") if getattr(said, key))
        allowed = f"at most {TOKENS_MAX} tokens in all, every epoch counted, and this makes {amount.tokens}"
        raise JobError(where=where, key=key, value=getattr(said, key), allowed=allowed)
    if said.global_batch is None:
        defaults.note("global batch", f"{DEFAULT_GLOBAL_BATCH} sequences", "default")
    if said.packing is None:
        defaults.note("packing", "no", "default")
    return DataPlan(
        objective=objective,
        tokens=amount.tokens,
        sequences=amount.sequences,
        seq_len=amount.seq_len,
        global_batch=said.global_batch or DEFAULT_GLOBAL_BATCH,
        packing=bool(said.packing),
        lengths=amount.lengths,
        prompt_tokens=amount.prompt_tokens,
        response_tokens=amount.response_tokens,
        basis=amount.basis,
    )


def _refuse_foreign_keys(said: JobInput, objective: str, where: str) -> None:
    """Raise JobError for keys that belong to another objective: they would be passed over in silence."""
    rl_keys = ("pairs", "rollouts", "prompt_tokens", "response_tokens", "reward_model")
    foreign = {
        "sft": rl_keys,
        "dpo": ("rollouts", "reward_model", "tokens", "samples", "tokens_per_sample"),
        "ppo": ("pairs", "tokens", "samples", "tokens_per_sample", "dataset"),
    }[objective]
    for key in foreign:
        value = getattr(said, key)
        if value is not None:
            allowed = f"not with objective {objective}"
            raise JobError(where=where, key=key, value=value, allowed=allowed)
    if said.tokenizer is not None and said.dataset is None:
        raise JobError(where=where, key="tokenizer", value=said.tokenizer, allowed="only together with dataset")


def _supervised(said: JobInput, model: ModelSpec, defaults: DefaultNotes, where: str) -> _Amount:
    ways = [key for key in ("tokens", "samples", "dataset") if getattr(said, key) is not None]
    allowed = "one of: tokens; samples with tokens_per_sample (and epochs); dataset (and epochs)"
    if len(ways) != 1:
        raise JobError(where=where, key=" and ".join(ways) or "tokens", value=ways or None, allowed=allowed)
    if said.tokens is not None:
        return _from_tokens(said, said.tokens, model, defaults, where)
    if said.samples is not None:
        return _from_samples(said, said.samples, model, defaults, where)
    if said.tokens_per_sample is not None:
        allowed = "not with a dataset: the lengths are read from it"
        raise JobError(where=where, key="tokens_per_sample", value=said.tokens_per_sample, allowed=allowed)
    return _from_dataset(said, model, defaults, where)


def _from_tokens(said: JobInput, tokens: int, model: ModelSpec, defaults: DefaultNotes, where: str) -> _Amount:
    if said.epochs is not None:
        allowed = "not with tokens, which count every epoch: leave epochs out, or say samples and tokens_per_sample"
        raise JobError(where=where, key="epochs", value=said.epochs, allowed=allowed)
    length = said.tokens_per_sample
    seq_len = _row_length(said, length, model, defaults, why="tokens per sample, rounded up to 128")
    mean = min(length or seq_len, seq_len)
    sequences = -(-tokens // mean)
    lengths = _assumed_lengths(said, mean, sequences=sequences, seq_len=seq_len, defaults=defaults)
    return _Amount(tokens=tokens, sequences=sequences, seq_len=seq_len, basis=Basis.ASSUMED.value, lengths=lengths)


def _from_samples(said: JobInput, samples: int, model: ModelSpec, defaults: DefaultNotes, where: str) -> _Amount:
    length = said.tokens_per_sample
    if length is None:
        allowed = "required with samples: the mean number of tokens of a sample"
        raise JobError(where=where, key="tokens_per_sample", value=None, allowed=allowed)
    epochs = _epochs(said, defaults)
    seq_len = _row_length(said, length, model, defaults, why="tokens per sample, rounded up to 128")
    if length > seq_len:
        defaults.note("tokens per sample", seq_len, f"cut from {length} at the sequence length")
    kept = min(length, seq_len)
    sequences = samples * epochs
    lengths = _assumed_lengths(said, kept, sequences=sequences, seq_len=seq_len, defaults=defaults)
    return _Amount(
        tokens=sequences * kept, sequences=sequences, seq_len=seq_len, basis=Basis.ASSUMED.value, lengths=lengths
    )


def _assumed_lengths(
    said: JobInput, mean: int, *, sequences: int, seq_len: int, defaults: DefaultNotes
) -> LengthDistribution | None:
    """The spread of lengths where only their mean is known; None where rows are full or packed."""
    if said.packing or mean == seq_len:
        return None
    defaults.note("spread of lengths", f"{ASSUMED_VARIATION:.0%} of their mean", "assumed: only the mean was said")
    return spread_around(mean, count=sequences, seq_len=seq_len)


def _from_dataset(said: JobInput, model: ModelSpec, defaults: DefaultNotes, where: str) -> _Amount:
    lengths = _read(said, defaults)
    if lengths.pairs:
        allowed = "samples; this one holds preference pairs (chosen, rejected): objective dpo"
        raise JobError(where=where, key="dataset", value=said.dataset, allowed=allowed)
    epochs = _epochs(said, defaults)
    p95 = lengths.percentile(PERCENTILE)
    seq_len = _row_length(said, p95, model, defaults, why="95th percentile of the dataset, rounded up to 128")
    kept = lengths.truncated_mean(seq_len)
    tokens = lengths.total_tokens * epochs if kept == lengths.mean else round(kept * lengths.count) * epochs
    return _Amount(
        tokens=tokens, sequences=lengths.count * epochs, seq_len=seq_len, basis=lengths.basis, lengths=lengths
    )


def _preference(said: JobInput, model: ModelSpec, defaults: DefaultNotes, where: str) -> _Amount:
    """DPO pairs or PPO rollouts, from their three figures; for DPO also from a dataset of pairs."""
    dpo = said.objective == "dpo"
    count_key = "pairs" if dpo else "rollouts"
    lengths = None
    if dpo and said.dataset is not None:
        lengths = _read(said, defaults)
        count, prompt, response = _pair_figures(said, lengths, where)
        basis = lengths.basis
    else:
        count, prompt, response = (
            _required(said, key, where) for key in (count_key, "prompt_tokens", "response_tokens")
        )
        basis = Basis.ASSUMED.value
    if not dpo:
        _required(said, "reward_model", where)
    epochs = _epochs(said, defaults)
    longest = prompt + response if lengths is None else lengths.percentile(PERCENTILE)
    seq_len = _row_length(said, longest, model, defaults, why="prompt and response, rounded up to 128")
    if lengths is None and prompt + response > seq_len:
        allowed = f"together with response_tokens ({response}) at most {seq_len}, the sequence length"
        raise JobError(where=where, key="prompt_tokens", value=prompt, allowed=allowed)
    per_item = 2 * (prompt + response) if dpo else prompt + response
    return _Amount(
        tokens=count * per_item * epochs,
        sequences=count * epochs,
        seq_len=seq_len,
        basis=basis,
        lengths=lengths,
        prompt_tokens=prompt,
        response_tokens=response,
    )


def _pair_figures(said: JobInput, lengths: LengthDistribution, where: str) -> tuple[int, int, int]:
    """Pairs, prompt and response tokens (means, rounded) of a dataset of pairs; figures that were said go first."""
    if not lengths.pairs:
        allowed = "rows with chosen and rejected, for objective dpo"
        raise JobError(where=where, key="dataset", value=said.dataset, allowed=allowed)
    prompt = max(1, round(lengths.prompt_mean))
    response = max(1, round(lengths.mean - lengths.prompt_mean))
    return said.pairs or lengths.pairs, said.prompt_tokens or prompt, said.response_tokens or response


def _required(said: JobInput, key: str, where: str) -> int:
    value: int | None = getattr(said, key)
    if value is None:
        raise JobError(where=where, key=key, value=None, allowed=f"required for objective {said.objective}")
    return value


def _epochs(said: JobInput, defaults: DefaultNotes) -> int:
    if said.epochs is None:
        defaults.note("epochs", 1, "default")
    return said.epochs or 1


def _row_length(said: JobInput, length: int | None, model: ModelSpec, defaults: DefaultNotes, *, why: str) -> int:
    """The sequence length: as said, or `length` rounded up to a multiple of 128, at most the model's context."""
    if said.seq_len is not None:
        return said.seq_len
    if length is None:
        seq_len = min(DEFAULT_SEQ_LEN, model.context)
        defaults.note("sequence length", seq_len, "assumed: neither dataset nor tokens per sample were said")
        return seq_len
    seq_len = min(-(-length // SEQ_LEN_STEP) * SEQ_LEN_STEP, model.context)
    capped = f", at most the context of {model.name}" if seq_len == model.context else ""
    defaults.note("sequence length", seq_len, why + capped)
    return seq_len


def _read(said: JobInput, defaults: DefaultNotes) -> LengthDistribution:
    """Read the dataset, exactly where a tokenizer was named or lies beside the model's config.json."""
    tokenizer = said.tokenizer or _tokenizer_beside(said.model)
    lengths = read_dataset(said.dataset or "", tokenizer)
    if tokenizer is None:
        defaults.note("token lengths", "UTF-8 bytes / 4", "assumed: no tokenizer.json was named")
    elif said.tokenizer is None:
        defaults.note("tokenizer", tokenizer, "found beside the model's config.json")
    return lengths


def _tokenizer_beside(model: str | None) -> str | None:
    """The `tokenizer.json` in the folder of a local model, when it is there and can be read here."""
    if model is None or not is_model_path(model):
        return None
    from importlib.util import find_spec  # only for local models

    path = Path(model)
    beside = (path if path.is_dir() else path.parent) / "tokenizer.json"
    return str(beside) if beside.is_file() and find_spec("tokenizers") is not None else None
