"""Reads a grid of cases: TOML with `[defaults]`, `[[case]]` and `[[sweep]]`, or CSV with one case a row."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import re
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimizer.physics.axes import Objective, Tuning
from optimizer.workload.models import ALL_LINEAR, is_model_path
from providers.errors import JobError

from .probe_case import COUNTS, KEYS, SWITCHES, ProbeCase, ProbeTask, prepare_case, read_case

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optimizer.physics.recipe import Recipe

TABLES = ("defaults", "case", "sweep")
NAME = "name"
_NO_FILE_NAME = re.compile(r"[^a-z0-9._-]+")
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})
MOST_CASES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCase:
    """One case of a grid: its name (of the result's file too), where it stands, and what it measures."""

    name: str
    where: str
    case: ProbeCase


def read_grid(path: str | Path, *, device: str | None = None) -> list[GridCase]:
    """Return the cases of a grid file in its order; `device` stands in for that of every case.

    A model's path is relative to the file. A case that stands there twice is measured once. Raises JobError naming
    the file, the case, the key, its value and what is allowed, KnowledgeMissing for an unknown model: before anything
    is measured.
    """
    file = Path(path)
    text = _read(file)
    rows = _rows_of_csv(text, file) if file.suffix.lower() == ".csv" else _rows_of_toml(text, file)
    listed = list(itertools.islice(rows, MOST_CASES + 1))
    if len(listed) > MOST_CASES:
        raise JobError(where=str(file), key="cases", value=f"more than {MOST_CASES}", allowed=f"at most {MOST_CASES}")
    cases: dict[str, GridCase] = {}
    for where, row in listed:
        values = dict(row)
        given = values.pop(NAME, None)
        if given is not None and (not isinstance(given, str) or not given.strip()):
            raise JobError(where=where, key=NAME, value=given, allowed="a text")
        model = values.get("model")
        if isinstance(model, str) and is_model_path(model, folder=file.parent):
            values["model"] = str(file.parent / Path(model).expanduser())
        case = read_case(values, where=where)
        case = case if device is None else replace(case, device=device)
        name = case_name(prepare_case(case, where=where), given)
        cases.setdefault(name, GridCase(name=name, where=where, case=case))
    if not cases:
        raise JobError(
            where=str(file), key="case", value=None, allowed="at least one [[case]] or [[sweep]], or CSV row"
        )
    return list(cases.values())


def case_name(task: ProbeTask, given: str | None = None) -> str:
    """Return a name for a case that is a file name too: what it is in short, and a digest of all its settings.

    A case that is changed gets another name, so that an old result is never taken for its own.
    """
    words = given or " ".join(_words(task))
    slug = _NO_FILE_NAME.sub("-", words.lower()).strip("-.")[:100] or "case"
    digest = hashlib.sha256(json.dumps(_settings(task), sort_keys=True).encode()).hexdigest()
    return f"{slug}-{digest[:8]}"


def _settings(task: ProbeTask) -> dict[str, object]:
    """Return everything that makes a case what it is; said or left to its default is the same."""
    recipe, model = task.recipe, task.model
    return asdict(task.case) | {
        "model": [model.name, model.total_params, model.linear_params, model.layers],
        "method": recipe.tuning.value,
        "quantization": recipe.bits,
        "lora_rank": recipe.lora_rank,
        "target_modules": recipe.target_modules,
        "seq_len": recipe.seq_len,
        "kbit_preparation": recipe.kbit_preparation,
        "layers": model.layers,
    }


def _words(task: ProbeTask) -> Iterator[str]:
    recipe, case = task.recipe, task.case
    yield task.model.name.split(" (")[0]
    if case.layers is not None:
        yield f"{task.model.layers}layers"
    yield recipe.method if recipe.bits in {16, 4} and recipe.method == "qlora" else f"{recipe.method}-{recipe.bits}bit"
    if recipe.objective is not Objective.SFT:
        yield recipe.objective.value
    if recipe.tuning is not Tuning.FULL:
        yield f"r{recipe.lora_rank}"
        yield "all" if recipe.target_modules == (ALL_LINEAR,) else "+".join(_short(n) for n in recipe.target_modules)
    yield f"mb{recipe.micro_batch}x{recipe.grad_accum}"
    yield f"seq{recipe.seq_len}"
    yield from _departures(recipe, case)


def _departures(recipe: Recipe, case: ProbeCase) -> Iterator[str]:
    """Yield words for whatever is not as it usually is."""
    usual = ProbeCase(model="")
    if case.optimizer != usual.optimizer:
        yield recipe.optimizer.value
    if not case.checkpointing:
        yield "nockpt"
    if case.attention != usual.attention:
        yield case.attention
    if case.loss != usual.loss:
        yield f"{case.loss}-loss"
    if case.pure_bf16:
        yield "pure"
    if case.kbit_preparation is not None:
        yield "prepared" if case.kbit_preparation else "unprepared"


def _short(module: str) -> str:
    return module.removesuffix("_proj")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise JobError(where=str(file), key="encoding", value="not UTF-8", allowed="a file in UTF-8") from err
    except (OSError, ValueError) as err:
        reason = getattr(err, "strerror", None) or str(err)
        allowed = f"a readable TOML or CSV file ({reason})"
        raise JobError(where="command line", key="grid", value=str(file), allowed=allowed) from err


def _rows_of_toml(text: str, file: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as err:
        raise JobError(where=str(file), key="syntax", value=str(err), allowed="a TOML file: key = value") from err
    for key, value in document.items():
        if key not in TABLES:
            allowed = "no such table: [defaults], [[case]] and [[sweep]] are"
            raise JobError(where=str(file), key=key, value=value, allowed=allowed)
    defaults = document.get("defaults", {})
    if not isinstance(defaults, dict):
        raise JobError(where=str(file), key="defaults", value=defaults, allowed="a table: [defaults]")
    _refuse_unknown(defaults, f"{file}: [defaults]", names=False)
    for at, case in enumerate(_tables(document, "case", file), start=1):
        yield f"{file}: case {at}", defaults | case
    for at, sweep in enumerate(_tables(document, "sweep", file), start=1):
        where = f"{file}: sweep {at}"
        _refuse_unknown(sweep, where, names=False)
        for combination in _product(sweep, where):
            yield where, defaults | combination


def _tables(document: Mapping[str, Any], key: str, file: Path) -> list[dict[str, Any]]:
    found = document.get(key, [])
    if isinstance(found, list) and all(isinstance(one, dict) for one in found):
        return found
    raise JobError(where=str(file), key=key, value=found, allowed=f"tables: [[{key}]]")


def _refuse_unknown(table: Mapping[str, object], where: str, *, names: bool) -> None:
    """Raise JobError for a key that no case has, before it is multiplied or overridden."""
    for key, value in table.items():
        if key == NAME and not names:
            raise JobError(where=where, key=key, value=value, allowed="a name in [[case]] only: one case, one name")
        if key != NAME and key not in KEYS:
            read_case({key: value}, where=where)


def _product(sweep: Mapping[str, object], where: str) -> Iterator[dict[str, object]]:
    """Yield every combination of the lists in a sweep, the last key turning fastest."""
    choices = []
    for key, value in sweep.items():
        if isinstance(value, list) and not value:
            raise JobError(where=where, key=key, value=value, allowed="a value, or a list of at least one")
        choices.append(value if isinstance(value, list) else [value])
    for values in itertools.product(*choices):
        yield dict(zip(sweep, values, strict=True))


def _rows_of_csv(text: str, file: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    reader = csv.DictReader(io.StringIO(text))
    header = [name.strip() for name in reader.fieldnames or []]
    _refuse_unknown(dict.fromkeys(header, "a column"), str(file), names=True)
    reader.fieldnames = header
    for row in reader:
        where = f"{file}: line {reader.line_num}"
        if None in row or None in row.values():
            raise JobError(where=where, key="cells", value=len(row), allowed=f"{len(header)}, as the header has")
        cells = {key: value.strip() for key, value in row.items()}
        yield where, {key: _from_text(key, value) for key, value in cells.items() if value}


def _from_text(key: str, text: str) -> object:
    """Return a cell in the type of its key; text that is not of that type stays, for the check to refuse."""
    if key in COUNTS or key == "quantization":
        digits = text.replace("_", "")
        return int(digits) if digits.isascii() and digits.isdigit() else text
    if key in SWITCHES and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    return text
