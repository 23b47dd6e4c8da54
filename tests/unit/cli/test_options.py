from __future__ import annotations

import dataclasses
import re

import pytest
import typer

from optimizer.app.estimating import RecipeChoice
from optimizer.cli.options import PLAN_FLAGS, RECIPE_FLAGS, Flag, parse_count, parse_number
from optimizer.cli.plan import repeat_flags
from optimizer.workload import vocabulary
from optimizer.workload.job_input import JobInput
from optimizer.workload.matrices import COMPLEXITY_ORDER, QUALITY_ORDER

FLAGS = [flag for flags in PLAN_FLAGS.values() for flag in flags]
FILE_ONLY = {"name", "discounts", "recipe", "quota"}
OF_ESTIMATE = {"usd_per_gpu_hour"}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("13300", 13_300),
        ("13_300", 13_300),
        ("13,300", 13_300),
        ("14M", 14_000_000),
        ("14m", 14_000_000),
        ("1.5k", 1_500),
        ("2.5B", 2_500_000_000),
        ("1T", 10**12),
        ("1e9", 10**9),
        ("1.5E3", 1_500),
        ("-7", -7),
        ("9007199254740993", 9_007_199_254_740_993),
    ],
)
def test_counts_are_read_as_people_write_them(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "1.5", "k", "1.0001k", "nan", "inf", "0x10", "1 000", "ten", "1e400000000"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a whole number"):
        parse_count(text)


def test_numbers_are_left_to_the_job_to_judge() -> None:
    assert parse_number("0.9") == 0.9
    assert parse_number("1_000.5") == 1000.5
    assert parse_number("-inf") == float("-inf")
    with pytest.raises(typer.BadParameter, match="'x' is not a number"):
        parse_number("x")


def test_every_field_of_a_job_has_its_flag_and_every_flag_its_field() -> None:
    assert {flag.key for flag in FLAGS} == set(JobInput.model_fields) - FILE_ONLY - OF_ESTIMATE


def test_every_field_of_a_recipe_has_its_flag() -> None:
    assert {flag.key for flag in RECIPE_FLAGS} == {field.name for field in dataclasses.fields(RecipeChoice)}


@pytest.mark.parametrize("flag", [*FLAGS, *RECIPE_FLAGS], ids=lambda flag: flag.key)
def test_every_flag_says_what_it_is_for(flag: Flag) -> None:
    assert flag.name.startswith("--")
    assert flag.help
    assert not flag.help.endswith(".")
    assert flag.metavar or flag.kind is bool


def test_flags_are_repeated_as_they_were_typed() -> None:
    flags = {
        "model": "a b",
        "tokens": 5,
        "packing": False,
        "only_offers": True,
        "method": ["lora", "full"],
        "epochs": 2.0,
    }
    assert repeat_flags("job.toml", flags) == [
        "job.toml", "--model", "a b", "--tokens", "5", "--no-packing", "--only-offers", "--method", "lora", "--method",
        "full", "--epochs", "2",
    ]  # fmt: skip
    assert repeat_flags(None, {}) == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("method", vocabulary.METHODS),
        ("quantization", tuple(map(str, vocabulary.QUANTIZATION_BITS))),
        ("objective", vocabulary.OBJECTIVES),
        ("optimizer", vocabulary.OPTIMIZERS),
        ("stack", vocabulary.STACKS),
        ("loss", vocabulary.LOSSES),
        ("attention", vocabulary.ATTENTIONS),
        ("pricing_model", vocabulary.PRICING_MODELS),
        ("executor", vocabulary.EXECUTORS),
        ("quality_floor", QUALITY_ORDER),
        ("max_complexity", COMPLEXITY_ORDER),
    ],
)
def test_help_names_every_word_that_is_allowed(key: str, words: tuple[str, ...]) -> None:
    (flag,) = [flag for flag in FLAGS if flag.key == key]
    for word in words:
        assert word in re.split(r"[ ,;:()]+", flag.help)
