"""Files of cases as people save them: separators, spellings of the header, encodings; nothing is lost unsaid."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from optimizer.app.case_file import read_cases, write_cases
from optimizer.app.cases import run_cases
from optimizer.app.tables import load_tables
from providers.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path

LINES = [["Model", " method ", "GPU", "seq_len", "mine"], ["llama-3.1-8b", "qlora", "L4", "2048", "a,b;c"]]


def saved(path: Path, delimiter: str, encoding: str, newline: str) -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=newline).writerows(LINES)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(("encoding", "newline"), [("utf-8", "\n"), ("utf-8-sig", "\r\n")])
def test_any_separator_and_spelling_of_the_header_is_read(
    tmp_path: Path, delimiter: str, encoding: str, newline: str
) -> None:
    path = saved(tmp_path / "cases.csv", delimiter, encoding, newline)
    file = read_cases(path)
    assert file.cells() == [
        {"model": "llama-3.1-8b", "method": "qlora", "gpu": "L4", "seq_len": "2048", "mine": "a,b;c"}
    ]
    out = io.StringIO()
    assert run_cases(path, out, tables=load_tables()).predicted == 1
    (header, row) = csv.reader(io.StringIO(out.getvalue()), delimiter=delimiter)
    assert header[:5] == LINES[0]
    assert row[:5] == LINES[1]
    assert row[header.index("pred_fits")] in {"yes", "no"}


def test_what_an_earlier_run_wrote_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "again.csv"
    path.write_text("model,method,pred_fits,mine\nllama-3.1-8b,lora,stale,x\n", "utf-8")
    out = io.StringIO()
    write_cases(read_cases(path), out, [{"pred_fits": "yes"}], ["pred_fits", "pred_error"])
    assert out.getvalue() == "model,method,mine,pred_fits,pred_error\nllama-3.1-8b,lora,x,yes,\n"


def test_cells_beyond_the_header_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("model,method,gpu\nllama-3.1-8b,lora,L4,over,board\nllama-3.1-8b,lora\n", "utf-8")
    out = io.StringIO()
    run_cases(path, out, tables=load_tables())
    first, second = csv.DictReader(io.StringIO(out.getvalue()))
    assert "cells beyond the header left out: over, board" in first["pred_assumed"]
    assert second["gpu"] == ""


def test_a_bad_amount_of_tokens_is_an_error_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"
    path.write_text("model,method,gpu,tokens\nllama-3.1-8b,lora,L4,many\nllama-3.1-8b,lora,L4,20M\n", "utf-8")
    out = io.StringIO()
    summary = run_cases(path, out, tables=load_tables())
    first, second = csv.DictReader(io.StringIO(out.getvalue()))
    assert "tokens = 'many'" in first["pred_error"]
    assert float(second["pred_hours"]) > 0
    assert (summary.rows, summary.predicted) == (2, 1)


def test_gpus_that_the_table_does_not_know_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "gpus.csv"
    path.write_text("model,method,gpu\nllama-3.1-8b,lora,H10O\nllama-3.1-8b,lora,\nllama-3.1-8b,lora,L4\n", "utf-8")
    assert run_cases(path, io.StringIO(), tables=load_tables()).unknown_gpus == {"H10O": 1, "none stated": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model,method\nllama\xe9,lora\n", "UTF-8"),
        (b"", "it is empty"),
        (b"name;kind\nx;y\n", "the columns model, method are missing"),
        (b"model,method,Model\nx,y,z\n", "one column of that name"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(JobError, match=message):
        read_cases(path)
    with pytest.raises(JobError, match="readable"):
        read_cases(tmp_path / "nowhere.csv")
