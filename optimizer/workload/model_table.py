"""The table of known models: loaded from `data/models.csv`, found by Hugging Face id, last part, or alias."""

from __future__ import annotations

import csv
import difflib
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from providers.errors import KnowledgeMissing

from .layouts import LAYOUTS
from .model_spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TABLE_PATH = Path(__file__).with_name("data") / "models.csv"
SAME_SHAPE_ENDINGS: tuple[str, ...] = (
    "-instruct", "-chat", "-it", "-pt", "-base", "-hf", "-gptq", "-gptq-int4", "-gptq-int8", "-awq", "-fp8",
    "-bnb-4bit",
)  # fmt: skip
"""Endings that name another training, or another packing, of the same shape."""
_SAME_SHAPE_WORDS = re.compile(r"-(?:instruct|chat|it)(?=-)")
_SEPARATORS = re.compile(r"[-_ /]+")
_TEXT_COLUMNS = frozenset({"name", "hf_id", "mlp_kind", "source", "notes"})
_FLAG_COLUMNS = frozenset({"tied_embeddings", "qkv_bias"})
_REAL_COLUMNS = frozenset({"published_bytes_per_param"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTable:
    """Models by canonical name (the Hugging Face id, or the bare name where there is none), and their other names."""

    by_name: Mapping[str, ModelSpec]
    aliases: Mapping[str, str]
    """Lower-case spelling to canonical name."""

    def resolve(self, name: str) -> ModelSpec:
        """Return the model that `name` stands for: an id, its last part or an alias, in any case, however separated.

        Words like Instruct, Chat or GPTQ are dropped when only the shape without them is known. The rest must match
        whole: no part of a name is enough.
        Raises KnowledgeMissing, with close matches, for a name that is not in the table.
        """
        spellings = tuple(_spellings(name))
        found = next((self.aliases[spelling] for spelling in spellings if spelling in self.aliases), None)
        if found is None:
            squeezed = {_squeezed(alias): canonical for alias, canonical in self.aliases.items()}
            keys = (_squeezed(spelling) for spelling in spellings)
            found = next((squeezed[key] for key in keys if key and key in squeezed), None)
        if found is not None:
            return self.by_name[found]
        close = self._close(name)
        hint = f"close: {', '.join(close)}" if close else "no name is close"
        raise KnowledgeMissing(
            f"{name!r} is not in the model table ({hint}); give the path of its config.json, or list the names with"
            " `tunefare estimate --list-models`"
        )

    def names(self) -> tuple[str, ...]:
        """Return the canonical names in alphabetical order, whatever the case."""
        return tuple(sorted(self.by_name, key=str.lower))

    def other_names(self, name: str) -> tuple[str, ...]:
        """Return the accepted lower-case spellings of the canonical `name`, sorted."""
        return tuple(sorted(alias for alias, canonical in self.aliases.items() if canonical == name))

    def _close(self, name: str) -> list[str]:
        found = difflib.get_close_matches(name.strip().lower(), list(self.aliases), n=5, cutoff=0.6)
        return list(dict.fromkeys(self.aliases[alias] for alias in found))[:3]


def load_models(path: Path = TABLE_PATH) -> ModelTable:
    """Return the models of the bundled table (or of another file in its schema).

    Raises ValueError naming the row when the table is broken: two models with one name, a bad figure.
    """
    by_name: dict[str, ModelSpec] = {}
    aliases: dict[str, str] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            spec = _spec(row)
            canonical = spec.hf_id or spec.name
            if canonical in by_name:
                raise ValueError(f"{path.name}: model {canonical} stands there twice")
            by_name[canonical] = spec
            for alias in (canonical, canonical.rpartition("/")[2], spec.name, *row["aliases"].split()):
                taken = aliases.setdefault(alias.lower(), canonical)
                if taken != canonical:
                    raise ValueError(f"{path.name}: {alias} names both {taken} and {canonical}")
    for alias, canonical in tuple(aliases.items()):
        for shorter in _same_shape(alias):
            aliases.setdefault(shorter, canonical)
    return ModelTable(by_name=by_name, aliases=aliases)


def _spellings(name: str) -> Iterator[str]:
    """Spellings to look up, most exact first: as written, last part, then without what leaves the shape alone."""
    whole = name.strip().lower()
    for base in dict.fromkeys((whole, whole.rpartition("/")[2])):
        yield base
        yield from _same_shape(base)
        yield from _same_shape(_SAME_SHAPE_WORDS.sub("", base))


def _same_shape(base: str) -> Iterator[str]:
    """`base` with one ending after another taken off, as long as there is one to take."""
    yield base
    for ending in SAME_SHAPE_ENDINGS:
        if base.endswith(ending):
            yield from _same_shape(base.removesuffix(ending))


def _squeezed(spelling: str) -> str:
    """The spelling without separators: `LLAMA3.1_405B` and `llama-3.1-405b` are the same."""
    return _SEPARATORS.sub("", spelling.lower())


def _spec(row: Mapping[str, str]) -> ModelSpec:
    """Return the model of one row; an empty cell takes the default of the field."""
    values: dict[str, object] = {}
    for field in fields(ModelSpec):
        text = row.get(field.name, "")
        if field.name == "layout" or not text:
            continue
        if field.name in _TEXT_COLUMNS:
            values[field.name] = text
        elif field.name in _FLAG_COLUMNS:
            values[field.name] = text == "yes"
        elif field.name in _REAL_COLUMNS:
            values[field.name] = float(text)
        else:
            values[field.name] = int(text)
    values.setdefault("hf_id", "")
    try:
        return ModelSpec(**values, layout=LAYOUTS[row["family"]])  # type: ignore[arg-type]  # checked by the row test
    except (KeyError, TypeError, ValueError) as err:
        raise ValueError(f"{TABLE_PATH.name}: row {row.get('name')}: {err}") from err
