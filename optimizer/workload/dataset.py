"""Reads a JSONL dataset: how many samples it holds, and how long they are in tokens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from providers.basis import Basis
from providers.errors import JobError

from .lengths import LengthDistribution, from_histogram

BYTES_PER_TOKEN = 4.0
"""UTF-8 bytes per token, basis `assumed`: the usual rule of four characters a token for English prose. Bytes instead
of characters, because a Chinese or Japanese character takes three bytes and most of a token."""

MESSAGE_OVERHEAD_TOKENS = 5
"""Tokens that a chat template sets around one message (Llama-3: two header marks, role, line break, end mark)."""

TokenCounter = Callable[[str], int]

ALLOWED_ROW = (
    "one JSON object a line with text, prompt and completion, instruction (input) output, messages, conversations,"
    " or prompt, chosen and rejected"
)
_PROMPT_KEYS = ("prompt", "instruction", "question", "system", "input", "context")


def read_dataset(path: str | Path, tokenizer: str | Path | None = None) -> LengthDistribution:
    """Return the lengths in tokens of the samples in a JSONL file; empty lines are passed over.

    With `tokenizer`, a local `tokenizer.json`, counts are exact (basis measured); without, UTF-8 bytes over
    BYTES_PER_TOKEN (basis assumed). A row with chosen and rejected is a preference pair: two sequences. The file is
    read line by line, and only a histogram is kept.
    Raises JobError naming file and line for a broken row, for a file that is missing, empty or not UTF-8, and for one
    that mixes pairs and samples.
    """
    file = Path(path)
    count_tokens = _estimated_tokens if tokenizer is None else _load_tokenizer(Path(tokenizer))
    histogram: Counter[int] = Counter()
    pairs = samples = prompt_tokens = 0
    for where, row in _rows(file):
        if "chosen" in row and "rejected" in row:
            pairs += 1
            prompt, chosen, rejected = _pair_lengths(row, count_tokens, where)
            prompt_tokens += prompt
            histogram.update((chosen, rejected))
        else:
            samples += 1
            histogram[_sample_length(row, count_tokens, where)] += 1
        if pairs and samples:
            allowed = "all rows pairs (chosen, rejected), or none"
            raise JobError(where=where, key="row", value=sorted(row), allowed=allowed)
    if not histogram:
        raise JobError(where=str(file), key="dataset", value="no rows", allowed=ALLOWED_ROW)
    basis = Basis.ASSUMED if tokenizer is None else Basis.MEASURED
    prompt_mean = prompt_tokens / pairs if pairs else 0.0
    return from_histogram(histogram, basis=basis.value, pairs=pairs, prompt_mean=prompt_mean)


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield "file:line" and the object of every line that is not empty."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                where = f"{file}:{number}"
                yield where, _row(line, where)
    except OSError as err:
        reason = err.strerror or type(err).__name__
        raise JobError(where="dataset", key="file", value=str(file), allowed=f"a readable file ({reason})") from err


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise JobError(where=where, key="row", value=line[:40], allowed="text in UTF-8") from err
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise JobError(where=where, key="row", value=text.strip(), allowed=f"{ALLOWED_ROW} ({err})") from err
    if not isinstance(row, dict):
        raise JobError(where=where, key="row", value=text.strip(), allowed=ALLOWED_ROW)
    return row


def _sample_length(row: dict[str, Any], count_tokens: TokenCounter, where: str) -> int:
    """Length in tokens of one sample, whichever of the usual shapes it has; otherwise all its strings together."""
    for key in ("messages", "conversations", "conversation"):
        if key in row:
            return _conversation_length(row[key], count_tokens, where, key)
    if isinstance(row.get("text"), str):
        texts = [row["text"]]
    else:
        texts = [value for value in row.values() if isinstance(value, str)]
        for key in ("prompt", "completion"):
            if isinstance(row.get(key), list):
                return sum(
                    _conversation_length(row[part], count_tokens, where, part)
                    for part in ("prompt", "completion")
                    if part in row
                )
    if not any(texts):
        raise JobError(where=where, key="row", value=sorted(row), allowed=ALLOWED_ROW)
    return max(1, sum(count_tokens(text) for text in texts))


def _conversation_length(value: object, count_tokens: TokenCounter, where: str, key: str) -> int:
    """Length in tokens of a text, or of a list of messages with the marks that a chat template sets around them."""
    if isinstance(value, str) and value:
        return max(1, count_tokens(value))
    allowed = "a list of messages such as {role, content} or {from, value}"
    if not isinstance(value, list) or not value:
        raise JobError(where=where, key=key, value=value, allowed=allowed)
    total = 0
    for message in value:
        content = message.get("content", message.get("value")) if isinstance(message, dict) else message
        if isinstance(content, list):
            # Multimodal messages: only the text parts count, images are not text.
            parts = [part.get("text") for part in content if isinstance(part, dict)]
            content = "".join(part for part in parts if isinstance(part, str))
        if content is None:
            content = ""
        if not isinstance(content, str):
            raise JobError(where=where, key=key, value=message, allowed=allowed)
        total += count_tokens(content) + MESSAGE_OVERHEAD_TOKENS
    return total


def _pair_lengths(row: dict[str, Any], count_tokens: TokenCounter, where: str) -> tuple[int, int, int]:
    """Tokens of the prompt, of prompt with chosen, and of prompt with rejected response.

    Without a prompt of its own the conversations repeat it: then it is everything before the last message.
    """
    sides = [_conversation_length(row[key], count_tokens, where, key) for key in ("chosen", "rejected")]
    prompts = [row[key] for key in _PROMPT_KEYS if row.get(key)]
    if prompts:
        prompt = sum(_conversation_length(value, count_tokens, where, "prompt") for value in prompts)
        whole = isinstance(row["chosen"], list) and len(row["chosen"]) > 1
        chosen, rejected = (sides[0], sides[1]) if whole else (prompt + sides[0], prompt + sides[1])
        return prompt, chosen, rejected
    chosen = row["chosen"]
    shared = chosen[:-1] if isinstance(chosen, list) else []
    prompt = _conversation_length(shared, count_tokens, where, "chosen") if shared else 0
    return prompt, sides[0], sides[1]


def _estimated_tokens(text: str) -> int:
    """Tokens of a text by its size in UTF-8, at least 1 for a text that is not empty."""
    size = len(text.encode("utf-8", "surrogatepass"))
    return -int(-size // BYTES_PER_TOKEN)


def _load_tokenizer(path: Path) -> TokenCounter:
    """Return a function that counts tokens exactly with a local `tokenizer.json`.

    Raises JobError when the optional package or the file is missing, or the file is no tokenizer.
    """
    allowed = "the path of a tokenizer.json"
    if not path.is_file():
        raise JobError(where="dataset", key="tokenizer", value=str(path), allowed=allowed)
    try:
        from tokenizers import Tokenizer  # type: ignore[import-not-found,unused-ignore]  # optional
    except ImportError as err:
        hint = "the package `tokenizers`: install `tunefare[tokenizers]`, or leave the tokenizer out for an estimate"
        raise JobError(where="dataset", key="tokenizer", value=str(path), allowed=hint) from err
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as err:  # the package raises bare Exception for a broken file
        raise JobError(where="dataset", key="tokenizer", value=str(path), allowed=f"{allowed} ({err})") from err
    return lambda text: len(tokenizer.encode(text).ids)
