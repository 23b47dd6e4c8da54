"""A grid file: sweeps multiply, names tell cases apart, what is wrong is one line before anything is measured."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from optimizer.measure.probe_case import KEYS, prepare_case
from optimizer.measure.probe_grid_file import GridCase, read_grid
from optimizer.measure.probe_model import FAMILIES
from optimizer.workload.models import load_models
from providers.errors import JobError

ROOT = Path(__file__).parents[3]
TINY = ROOT / "tests" / "fixtures" / "probe-tiny" / "config.json"
SHIPPED = ROOT / "docs" / "examples" / "probe-grid.toml"


def grid(tmp_path: Path, text: str, name: str = "grid.toml") -> list[GridCase]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return read_grid(file)


def test_lists_of_a_sweep_expand_to_their_product_the_last_key_fastest(tmp_path: Path) -> None:
    cases = grid(
        tmp_path,
        """
        [defaults]
        model = "llama-3.2-1b"
        steps = 2
        [[sweep]]
        micro_batch = [1, 2]
        seq_len = [64, 128, 256]
        """,
    )
    shapes = [(one.case.micro_batch, one.case.seq_len) for one in cases]
    assert shapes == [(batch, length) for batch in (1, 2) for length in (64, 128, 256)]
    assert {one.case.steps for one in cases} == {2}
    assert len({one.name for one in cases}) == 6


def test_modules_in_a_sweep_are_alternatives_and_in_a_case_one_choice(tmp_path: Path) -> None:
    cases = grid(
        tmp_path,
        """
        [[case]]
        model = "llama-3.2-1b"
        target_modules = ["q_proj", "v_proj"]
        [[sweep]]
        model = "llama-3.2-1b"
        target_modules = ["q_proj,k_proj", "all-linear"]
        """,
    )
    assert [one.case.target_modules for one in cases] == [("q_proj", "v_proj"), ("q_proj", "k_proj"), ("all-linear",)]


def test_a_case_wins_over_the_defaults_and_comes_before_sweeps(tmp_path: Path) -> None:
    cases = grid(
        tmp_path,
        """
        [defaults]
        model = "llama-3.2-1b"
        method = "dora"
        [[sweep]]
        seq_len = 64
        [[case]]
        name = "My case/1"
        method = "full"
        """,
    )
    assert [one.case.method for one in cases] == ["full", "dora"]
    assert cases[0].name.startswith("my-case-1-")
    assert cases[1].name.startswith("llama-3.2-1b-dora-16bit-r16-all-mb1x1-seq64-")


def test_a_case_that_stands_there_twice_is_measured_once(tmp_path: Path) -> None:
    text = '[[case]]\nmodel = "llama-3.2-1b"\n[[case]]\nmodel = "llama-3.2-1b"\nquantization = 16\nseq_len = 2048\n'
    assert len(grid(tmp_path, text)) == 1


def test_a_changed_case_has_another_name(tmp_path: Path) -> None:
    names = [
        grid(tmp_path, f'[[case]]\nname = "a"\nmodel = "llama-3.2-1b"\n{line}\n')[0].name
        for line in ("", "steps = 4", "warmup = 1", 'device = "cpu"', "layers = 4", "kbit_preparation = true")
    ]
    assert len(set(names)) == 6
    assert {name[:2] for name in names} == {"a-"}


def test_a_model_file_is_found_from_the_grid_file(tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "config.json").write_bytes(TINY.read_bytes())
    (one,) = grid(tmp_path, '[[case]]\nmodel = "./shapes/config.json"\n')
    assert Path(one.case.model) == tmp_path / "shapes" / "config.json"


def test_a_csv_has_one_case_a_row_and_an_empty_cell_is_a_default(tmp_path: Path) -> None:
    text = (
        "name, model,method,quantization,target_modules,checkpointing,seq_len\n"
        'one,llama-3.2-1b,qlora,,"q_proj,v_proj",no,1_024\n'
        "two,llama-3.2-1b,full,16,,,\n"
    )
    first, second = (one.case for one in grid(tmp_path, text, "grid.csv"))
    assert (first.method, first.quantization, first.target_modules) == ("qlora", None, ("q_proj", "v_proj"))
    assert (first.checkpointing, first.seq_len) == (False, 1024)
    assert (second.method, second.quantization, second.checkpointing) == ("full", 16, True)


def test_the_device_of_the_flag_is_that_of_every_case(tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    file.write_text('[[case]]\nmodel = "llama-3.2-1b"\ndevice = "cuda"\n', encoding="utf-8")
    assert [one.case.device for one in read_grid(file, device="cpu")] == ["cpu"]


@pytest.mark.parametrize(
    ("text", "where", "key", "says"),
    [
        ("[[case]\n", "", "syntax", "a TOML file"),
        ("[[cases]]\n", "", "cases", "[defaults], [[case]] and [[sweep]] are"),
        ("case = 3\n", "", "case", "tables: [[case]]"),
        ("defaults = 3\n", "", "defaults", "a table: [defaults]"),
        ("", "", "case", "at least one"),
        ('[[sweep]]\nmodel = "llama-3.2-1b"\nseq_len = []\n', ": sweep 1", "seq_len", "a list of at least one"),
        ('[[sweep]]\nmodel = "llama-3.2-1b"\nname = "a"\n', ": sweep 1", "name", "in [[case]] only"),
        ('[[sweep]]\nmodel = "llama-3.2-1b"\nseq_lens = [3]\n', ": sweep 1", "seq_lens", "did you mean seq_len?"),
        ("[defaults]\nmicrobatch = 3\n", ": [defaults]", "microbatch", "did you mean micro_batch?"),
        ('[[case]]\nmodel = "llama-3.2-1b"\nseq_len = "4"\n', ": case 1", "seq_len", "a whole number"),
        ('[[case]]\nmodel = "llama-3.2-1b"\nname = 3\n', ": case 1", "name", "a text"),
        ("[[case]]\nseq_len = 4\n", ": case 1", "model", "a model's name"),
        ('[[sweep]]\nmodel="llama-3.2-1b"\nmethod=["lora","full"]\nquantization=4\n', ": sweep 1", "quantization", "4"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, where: str, key: str, says: str) -> None:
    with pytest.raises(JobError) as caught:
        grid(tmp_path, text)
    assert (caught.value.where, caught.value.key) == (f"{tmp_path / 'grid.toml'}{where}", key)
    assert says in caught.value.allowed


@pytest.mark.parametrize(
    ("text", "where", "key"),
    [
        ("model,speed\nllama-3.2-1b,3\n", "", "speed"),
        ("model,seq_len\nllama-3.2-1b,long\n", ": line 2", "seq_len"),
        ("model,seq_len\nllama-3.2-1b,64,3\n", ": line 2", "cells"),
        ("model,checkpointing\nllama-3.2-1b,perhaps\n", ": line 2", "checkpointing"),
    ],
)
def test_what_is_wrong_in_a_csv_is_named_with_its_line(tmp_path: Path, text: str, where: str, key: str) -> None:
    with pytest.raises(JobError) as caught:
        grid(tmp_path, text, "grid.csv")
    assert (caught.value.where, caught.value.key) == (f"{tmp_path / 'grid.csv'}{where}", key)


def test_a_file_that_is_not_there_or_not_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="No such file"):
        read_grid(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(JobError, match="not UTF-8"):
        read_grid(tmp_path / "bytes.toml")


def test_a_product_without_end_is_refused(tmp_path: Path) -> None:
    numbers = list(range(1, 102))
    text = f'[[sweep]]\nmodel = "llama-3.2-1b"\nmicro_batch = {numbers}\ngrad_accum = {numbers}\n'
    with pytest.raises(JobError, match="at most 10000"):
        grid(tmp_path, text)


def test_the_shipped_grid_covers_what_it_promises() -> None:
    cases = read_grid(SHIPPED)
    tasks = [prepare_case(one.case, where=one.where) for one in cases]
    recipes = [task.recipe for task in tasks]
    assert 120 <= len(cases) <= 200
    assert Counter(task.model.name for task in tasks).keys() == {
        "Llama-3.2-1B", "Llama-3.2-3B", "Llama-3.1-8B", "Qwen2.5-0.5B", "Qwen2.5-1.5B", "Qwen2.5-7B", "Mistral-7B-v0.3",
    }  # fmt: skip
    assert {recipe.tuning.value for recipe in recipes} == {"full", "lora", "dora", "rslora"}
    assert {recipe.bits for recipe in recipes} == {16, 8, 4}
    assert {recipe.objective.value for recipe in recipes} == {"sft", "dpo"}
    assert {recipe.attention.value for recipe in recipes} == {"sdpa", "eager"}
    assert {recipe.loss.value for recipe in recipes} == {"standard", "fused"}
    assert {recipe.checkpointing.value for recipe in recipes} == {"full", "none"}
    assert {recipe.micro_batch for recipe in recipes} >= {1, 2, 4, 8, 16}
    assert {recipe.seq_len for recipe in recipes} >= {256, 512, 1024, 2048, 4096, 8192}
    assert {recipe.lora_rank for recipe in recipes} >= {8, 16, 64}
    assert {recipe.target_modules for recipe in recipes} == {("all-linear",), ("q_proj", "v_proj")}
    assert {recipe.optimizer.value for recipe in recipes} >= {"adamw", "adamw-8bit"}


def test_the_page_about_probing_names_every_key_and_counts_the_grid() -> None:
    page = (ROOT / "docs" / "probe.md").read_text(encoding="utf-8")
    assert [key for key in KEYS if f"`{key}`" not in page] == []
    assert f"{len(read_grid(SHIPPED))} cases" in page
    mapped = [s for s in load_models().by_name.values() if s.layout.family in FAMILIES and not s.moe_experts]
    assert f"{len(mapped)} of {len(load_models().by_name)}" in page
