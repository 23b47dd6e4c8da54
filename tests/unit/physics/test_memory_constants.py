"""The table of memory constants: complete, sourced, and complained about by key when it is not."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from optimizer.physics.memory_constants import GROUPS, load_memory_constants, load_memory_records
from providers.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = (files("optimizer.physics") / "data" / "memory.toml").read_text("utf-8")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    return path


def test_every_constant_ships_with_unit_and_origin() -> None:
    records = load_memory_records()
    assert all(record.unit and record.origin for record in records)
    assert len({record.name for record in records}) == len(records)
    assert {record.name.split(".")[0] for record in records} == set(GROUPS)
    fitted = {record.name: record.fitted for record in records if record.fitted}
    assert "fms-acceleration" in fitted["logits.triton_vocab"]
    assert "weights.nf4_bytes" not in fitted


def test_values_reach_their_group(tmp_path: Path) -> None:
    changed = SHIPPED.replace("[logits.litgpt_vocab]\nvalue = 6", "[logits.litgpt_vocab]\nvalue = 13.5")
    assert load_memory_constants(written(tmp_path, changed)).logits.litgpt_vocab == 13.5
    shipped = load_memory_constants()
    assert shipped.logits.litgpt_vocab == 6
    assert shipped.weights.nf4_double_bytes == 0.5 + 1 / 64 + 4 / (64 * 256)
    assert shipped.weights.nf4_bytes == 0.5 + 4 / 64
    assert 4.12 < 8 * shipped.weights.nf4_double_bytes < 4.15


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("[host.process_bytes]", "[host.other]", "host.other"),
        ("[host.process_bytes]", "[elsewhere.process_bytes]", "elsewhere"),
        ("[host.process_bytes]\nvalue = 3e9", "[host.process_bytes]\nvalue = -1", "host.process_bytes.value"),
        ("[host.process_bytes]\nvalue = 3e9", '[host.process_bytes]\nvalue = "3e9"', "host.process_bytes.value"),
        ("[host.process_bytes]\nvalue = 3e9", "[host.process_bytes]\nvalue = true", "host.process_bytes.value"),
        ("[host.process_bytes]\nvalue = 3e9", "[host.process_bytes]\nvalue = inf", "host.process_bytes.value"),
        ("[weights.nf4_bytes]", "[weights.nf4_bytes", "(whole file)"),
    ],
)
def test_a_broken_table_is_named(tmp_path: Path, old: str, new: str, key: str) -> None:
    path = written(tmp_path, SHIPPED.replace(old, new))
    with pytest.raises(JobError) as caught:
        load_memory_constants(path)
    assert caught.value.key == key
    assert caught.value.where == str(path)


def test_a_missing_constant_is_named(tmp_path: Path) -> None:
    start = SHIPPED.index("[host.process_bytes]")
    end = SHIPPED.index("[", start + 1)
    with pytest.raises(JobError, match=r"host\.process_bytes"):
        load_memory_constants(written(tmp_path, SHIPPED[:start] + SHIPPED[end:]))


def test_a_stray_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="stray"):
        load_memory_constants(written(tmp_path, "stray = 1\n" + SHIPPED))
