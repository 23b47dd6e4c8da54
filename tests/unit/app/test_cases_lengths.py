"""Lengths of the rows of a case: stated, limited, or assumed from the kind of data, never from what was measured."""

from __future__ import annotations

import pytest

from optimizer.app.case_lengths import CaseLengths, read_lengths
from optimizer.workload.models import load_models

MODEL = load_models().resolve("llama-3.1-8b")


def lengths(
    packing: str, seq_len: str = "", *, notes: str = "", micro_batch: int = 1, packed: bool = False
) -> CaseLengths:
    row = {"packing": packing, "seq_len": seq_len}
    return read_lengths(row, notes, MODEL, micro_batch=micro_batch, packed=packed)


@pytest.mark.parametrize("packing", ["packed", "padded/fixed length", "max length 1024", ""])
def test_a_stated_length_is_that_of_every_row(packing: str) -> None:
    found = lengths(packing, "1024")
    assert (found.in_memory, found.processed, found.variable, found.limit) == (1024, None, False, 1024)
    assert (found.doubt, found.assumed) == (0.0, ())


def test_packed_rows_of_a_data_set_do_not_vary() -> None:
    assert lengths("packed; dataset Alpaca", "4096", packed=True).variable is False


def test_an_unstated_length_is_assumed_and_in_doubt() -> None:
    found = lengths("")
    assert (found.in_memory, found.variable, found.limit, found.doubt) == (2048, False, MODEL.context, 0.6)
    assert found.assumed == ("seq_len 2048",)


def test_padded_rows_of_unknown_data_peak_at_seven_means() -> None:
    found = lengths("padded to longest in micro-batch (variable length)", micro_batch=4)
    assert found.in_memory == 2048
    assert 6.5 < found.in_memory / 290 < 7.5
    assert found.variable
    assert found.doubt == 0.6
    # E[max of 4] over the mean of lognormal lengths with a variation of 0.5 is 1.56 (numerical integration).
    assert found.processed == pytest.approx(290 * 1.56, rel=0.02)
    assert found.assumed == ("rows of 290 tokens, the longest 2048",)


def test_one_padded_row_is_its_own_batch() -> None:
    assert lengths("padded/dynamic", "4096").processed == pytest.approx(290, rel=0.01)


def test_rows_without_padding_meet_one_long_one_at_a_time() -> None:
    found = lengths("padding-free (no pad)", micro_batch=8)
    assert found.in_memory == round(290 + (2048 - 290) / 8)
    assert found.processed == 290.0
    assert lengths("padding_free", micro_batch=1).in_memory == 2048


@pytest.mark.parametrize(
    ("packing", "notes", "mean", "longest"),
    [
        ("padded; dataset Alpaca (52K)", "", 120, 512),
        ("padded; dataset LAION Chip2", "", 60, 256),
        ("padded/dynamic", "dataset 'swift/self-cognition#1000'", 60, 128),
        ("padded/dynamic", "dataset 'ai-modelscope/longalpaca-12k'", 290, 2048),
        ("padded; dataset OASST", "", 290, 2048),
        ("padded to longest; ner task (avg prompt ~138 tok per readme)", "", 138, 208),
    ],
)
def test_lengths_by_the_kind_of_data(packing: str, notes: str, mean: int, longest: int) -> None:
    found = lengths(packing, notes=notes)
    assert found.in_memory == longest
    assert found.assumed == (f"rows of {mean} tokens, the longest {longest}",)


def test_a_stated_prompt_is_less_in_doubt() -> None:
    assert lengths("padded to longest; avg prompt ~138 tok").doubt == 0.15


def test_a_limit_cuts_off_and_is_said() -> None:
    found = lengths("padded/dynamic", "1024", micro_batch=16)
    assert (found.in_memory, found.limit) == (1024, 1024)
    assert found.assumed == ("rows of 290 tokens, the longest 1024 (limit 1024)",)
    tiny = lengths("padded/dynamic", "100", micro_batch=16)
    assert (tiny.in_memory, tiny.processed) == (100, 100.0)
