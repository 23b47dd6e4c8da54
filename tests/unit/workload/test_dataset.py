"""JSONL datasets: the shapes of rows, the estimate of lengths, and what is said about broken files."""

from __future__ import annotations

import builtins
import json
from typing import TYPE_CHECKING

import pytest

from optimizer.workload.dataset import BYTES_PER_TOKEN, MESSAGE_OVERHEAD_TOKENS, read_dataset
from providers.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path

FORTY = "x" * 40
TWENTY = "y" * 20


def jsonl(folder: Path, *rows: object) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "tokens"),
    [
        ({"text": FORTY, "id": "not counted"}, 10),
        ({"prompt": FORTY, "completion": TWENTY}, 15),
        ({"instruction": FORTY, "input": "", "output": TWENTY}, 15),
        ({"question": FORTY, "answer": TWENTY, "score": 3}, 15),
        ({"messages": [{"role": "user", "content": FORTY}, {"role": "assistant", "content": TWENTY}]}, 15 + 2 * 5),
        ({"conversations": [{"from": "human", "value": FORTY}, {"from": "gpt", "value": TWENTY}]}, 15 + 2 * 5),
        ({"messages": [{"role": "assistant", "content": None}]}, 5),
        ({"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": FORTY}]}]}, 10 + 5),
        ({"prompt": [{"role": "user", "content": FORTY}], "completion": [{"content": TWENTY}]}, 15 + 2 * 5),
        ({"text": "abc"}, 1),
        ({"text": "abcde"}, 2),
        # Six Chinese characters are 18 bytes of UTF-8.
        ({"text": "金融命名实体"}, 5),
    ],
)
def test_the_length_of_a_row(row: dict[str, object], tokens: int, tmp_path: Path) -> None:
    lengths = read_dataset(jsonl(tmp_path, row))
    assert lengths.quantiles == (tokens,)
    assert lengths.basis == "assumed"
    assert lengths.pairs == 0


def test_the_constants_that_the_cases_above_are_counted_with() -> None:
    assert (BYTES_PER_TOKEN, MESSAGE_OVERHEAD_TOKENS) == (4.0, 5)


def test_rows_are_counted_and_empty_lines_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "' + b"a" * 40 + b'"}\r\n\r\n   \n{"text": "' + b"b" * 80 + b'"}')
    lengths = read_dataset(str(path))
    assert (lengths.count, lengths.quantiles, lengths.total_tokens) == (2, (10, 20), 30)


def test_a_large_file_keeps_a_histogram_only(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f'{{"text": "{"a" * (4 * (i % 100 + 1))}"}}\n' for i in range(3000)), encoding="utf-8")
    lengths = read_dataset(path)
    assert (lengths.count, lengths.mean, lengths.total_tokens) == (3000, 50.5, 151_500)
    assert len(lengths.quantiles) == 200
    assert lengths.percentile(0.95) == 95


def test_pairs_are_two_sequences_each(tmp_path: Path) -> None:
    row = {"prompt": FORTY, "chosen": TWENTY, "rejected": FORTY}
    lengths = read_dataset(jsonl(tmp_path, row, row))
    assert lengths.quantiles == (15, 15, 20, 20)
    assert (lengths.count, lengths.pairs, lengths.prompt_mean) == (4, 2, 10)


def test_pairs_of_conversations_share_all_but_the_last_message(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": FORTY}]
    row = {"chosen": [*turns, {"content": TWENTY}], "rejected": [*turns, {"content": FORTY}]}
    lengths = read_dataset(jsonl(tmp_path, row))
    assert lengths.quantiles == (10 + 5 + 5 + 5, 10 + 5 + 10 + 5)
    assert lengths.prompt_mean == 15
    # A prompt beside whole conversations is not counted twice.
    assert read_dataset(jsonl(tmp_path, {"prompt": FORTY, **row})).quantiles == lengths.quantiles


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "cut', r"data\.jsonl:2: row = .*one JSON object a line with text"),
        ("[1, 2]", r"data\.jsonl:2: row = '\[1, 2\]': one JSON object a line"),
        ("3", r"data\.jsonl:2: row = '3'"),
        ('{"id": 7}', r"data\.jsonl:2: row = \['id'\]: one JSON object"),
        ('{"text": ""}', r"data\.jsonl:2: row = \['text'\]: one JSON object"),
        ('{"messages": "x", "messages": []}', r"data\.jsonl:2: messages = \[\]: a list of messages"),
        ('{"messages": [{"content": 3}]}', r"data\.jsonl:2: messages = \{'content': 3\}: a list of messages"),
        ('{"chosen": "a", "rejected": "b"}', r"data\.jsonl:2: row = .*all rows pairs \(chosen, rejected\), or none"),
        ('{"chosen": 1, "rejected": "b"}', r"data\.jsonl:2: chosen = 1: a list of messages"),
        ("[" * 50_000, r"data\.jsonl:2: row = "),
    ],
)
def test_a_broken_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f'{{"text": "fine"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(JobError, match=message) as caught:
        read_dataset(path)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_files_that_hold_nothing_or_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("\n  \n", encoding="utf-8")
    with pytest.raises(JobError, match=r"dataset = 'no rows': one JSON object a line"):
        read_dataset(path)
    path.write_bytes(b'{"text": "fine"}\n{"text": "\xe4"}\n')
    with pytest.raises(JobError, match=r"data\.jsonl:2: row = .*text in UTF-8"):
        read_dataset(path)
    with pytest.raises(JobError, match=r"dataset: file = .*none\.jsonl.*a readable file \(No such file"):
        read_dataset(tmp_path / "none.jsonl")
    with pytest.raises(JobError, match="a readable file"):
        read_dataset(tmp_path)


def test_a_tokenizer_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_tokenizers(name: str, *args: object, **kwargs: object) -> object:
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_tokenizers)
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}", encoding="utf-8")
    path = jsonl(tmp_path, {"text": FORTY})
    with pytest.raises(JobError, match=r"tokenizer = .*the package `tokenizers`: install `tunefare\[tokenizers\]`"):
        read_dataset(path, tokenizer)
    with pytest.raises(JobError, match=r"tokenizer = .*the path of a tokenizer\.json"):
        read_dataset(path, tmp_path / "missing.json")


def test_a_tokenizer_counts_exactly(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {"[UNK]": 0, "net": 1, "income": 2, "rose": 3}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106  # no password
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    lengths = read_dataset(jsonl(tmp_path, {"text": "net income rose"}), tmp_path / "tokenizer.json")
    assert (lengths.quantiles, lengths.basis) == ((3,), "measured")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(JobError, match=r"the path of a tokenizer\.json"):
        read_dataset(jsonl(tmp_path, {"text": "x"}), tmp_path / "tokenizer.json")
