"""One measured run, as it travels: written by `tunefare probe` as RUN.json, read by `calibrate` and the truth tables.

Bytes are per GPU, tokens/s of the whole job and of real tokens. A reading that was not taken is None, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, get_type_hints

from optimizer.physics.recipe import Recipe
from optimizer.workload.layouts import LAYOUTS, Layout
from optimizer.workload.models import ModelSpec
from providers.errors import JobError

from .record_limits import LIMITS, check_figure, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "tunefare.run/v1"


class RunStatus(StrEnum):
    """How a measured run ended."""

    OK = "ok"
    OUT_OF_MEMORY = "oom"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What was read: memory in bytes per GPU (torch's counters; `device` by the driver), speed in real tokens/s.

    `load_peak_bytes` is the allocated peak until the first step, `allocated_bytes` that of the training steps,
    `step_s` the seconds of each measured optimizer step after the warm-up, over which `tokens_per_s` is the median.
    """

    load_peak_bytes: int | None = None
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None
    device_bytes: int | None = None
    tokens_per_s: float | None = None
    step_s: tuple[float, ...] = ()
    trained_params: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRun:
    """One run: what was trained, how, on what, and what was read.

    `gpu` is a canonical GPU id, None where the card is not in the table (or there is none: a CPU); `gpu_name` what the
    driver calls it. `source` says who measured (`probe`, a file, a publication), `group` what counts as one source
    when sources are left out in turn.
    """

    model: ModelSpec
    recipe: Recipe
    gpu: str | None
    gpu_name: str = ""
    gpus_per_node: int = 1
    nodes: int = 1
    network_bytes_per_s: float | None = None
    status: RunStatus = RunStatus.OK
    error: str = ""
    readings: Readings = field(default_factory=Readings)
    made_at: str = ""
    source: str = ""
    group: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def gpus(self) -> int:
        """GPUs of the whole run."""
        return self.gpus_per_node * self.nodes


def run_document(run: MeasuredRun) -> dict[str, Any]:
    """Return the run as the JSON document `tunefare.run/v1`: plain types, keys in a fixed order."""
    return {
        "schema": SCHEMA,
        "made_at": run.made_at,
        "source": run.source,
        "status": run.status.value,
        "error": run.error,
        "model": _plain(run.model, without=("layout",)) | {"layout": layout_name(run.model.layout)},
        "recipe": _plain(run.recipe),
        "machine": {
            "gpu": run.gpu,
            "gpu_name": run.gpu_name,
            "gpus_per_node": run.gpus_per_node,
            "nodes": run.nodes,
            "network_bytes_per_s": run.network_bytes_per_s,
        },
        "readings": _plain(run.readings),
        "versions": dict(sorted(run.versions.items())),
    }


def parse_run(document: object, *, where: str) -> MeasuredRun:
    """Return the run that a RUN.json document holds. Raises JobError naming file, key, value and what is allowed."""
    if not isinstance(document, dict):
        raise JobError(where=where, key="(whole file)", value=type(document).__name__, allowed="a JSON object")
    if document.get("schema") != SCHEMA:
        raise JobError(where=where, key="schema", value=document.get("schema"), allowed=f'"{SCHEMA}"')
    machine = _table(document, "machine", where)
    gpu = machine.get("gpu")
    if gpu is not None and not isinstance(gpu, str):
        raise JobError(where=where, key="machine.gpu", value=gpu, allowed="a GPU id, or null where it is unknown")
    recipe = _built(Recipe, _table(document, "recipe", where), "recipe", where)
    _check_rows(recipe, where)
    return MeasuredRun(
        model=_model(_table(document, "model", where), where),
        recipe=recipe,
        gpu=gpu,
        gpu_name=_text(machine, "gpu_name", "machine", where),
        gpus_per_node=_count(machine, "gpus_per_node", where),
        nodes=_count(machine, "nodes", where),
        network_bytes_per_s=_figure(machine, "network_bytes_per_s", "machine", where),
        status=_status(document, where),
        error=_text(document, "error", "", where),
        readings=_readings(_table(document, "readings", where), where),
        made_at=_text(document, "made_at", "", where),
        source=_text(document, "source", "", where),
        group=_text(document, "source", "", where),
        versions={str(name): str(value) for name, value in _table(document, "versions", where, lacking={}).items()},
    )


def layout_name(layout: Layout) -> str:
    """Return the name of a layout in the table of layouts; "" for one with biases of its own."""
    return next((name for name, known in LAYOUTS.items() if known == layout), "")


def _plain(item: object, without: tuple[str, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in fields(item):  # type: ignore[arg-type]  # a dataclass instance, by its callers
        if one.name in without:
            continue
        value = getattr(item, one.name)
        found[one.name] = list(value) if isinstance(value, tuple) else value
    return found


def _model(values: Mapping[str, Any], where: str) -> ModelSpec:
    name = values.get("layout", "")
    if not isinstance(name, str) or (name and name not in LAYOUTS):
        raise JobError(where=where, key="model.layout", value=name, allowed=f"one of {', '.join(LAYOUTS)}")
    shape = {key: value for key, value in values.items() if key != "layout"}
    built: ModelSpec = _built(ModelSpec, shape, "model", where, **({"layout": LAYOUTS[name]} if name else {}))
    return built


def _built(kind: type, values: Mapping[str, Any], key: str, where: str, **others: Any) -> Any:
    """Return a dataclass from its JSON object: enums from words, tuples from lists, every key and type checked."""
    hints = get_type_hints(kind, include_extras=False) if kind is not Recipe else _recipe_hints()
    names = {one.name for one in fields(kind)}
    unknown = sorted(set(values) - names)
    if unknown:
        raise JobError(where=where, key=f"{key}.{unknown[0]}", value=values[unknown[0]], allowed="no such key")
    made = {name: _typed(value, hints[name], f"{key}.{name}", where) for name, value in values.items()}
    try:
        return kind(**made, **others)
    except (TypeError, ValueError) as err:
        raise JobError(where=where, key=key, value=values.get("name", ""), allowed=str(err)) from err


def _recipe_hints() -> dict[str, Any]:
    from optimizer.physics import axes, recipe

    return get_type_hints(Recipe, vars(recipe) | vars(axes))


def _typed(value: object, hint: Any, key: str, where: str) -> object:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        try:
            return hint(str(value))
        except ValueError as err:
            raise JobError(where=where, key=key, value=value, allowed=f"one of {', '.join(hint)}") from err
    words = str(hint)
    if value is None:
        if "None" in words:
            return None
        raise JobError(where=where, key=key, value=None, allowed="a value")
    if "tuple" in words:
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise JobError(where=where, key=key, value=value, allowed="a list of words")
    wanted: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
        ("bool", bool, "true or false"), ("float", (int, float), "a number"), ("int", int, "a whole number"),
        ("str", str, "a text"),
    )  # fmt: skip
    for word, kind, allowed in wanted:
        if word in words:
            if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
                raise JobError(where=where, key=key, value=shown(value), allowed=allowed)
            if key in LIMITS:
                check_figure(value, key, where=where)  # type: ignore[arg-type]  # a number, by its hint
            return float(value) if word == "float" else value  # type: ignore[arg-type]
    raise JobError(where=where, key=key, value=value, allowed="no such key")


def _readings(values: Mapping[str, Any], where: str) -> Readings:
    unknown = sorted(set(values) - {one.name for one in fields(Readings)})
    if unknown:
        raise JobError(where=where, key=f"readings.{unknown[0]}", value=values[unknown[0]], allowed="no such key")
    whole = ("load_peak_bytes", "allocated_bytes", "reserved_bytes", "device_bytes", "trained_params")
    steps = values.get("step_s", [])
    if not isinstance(steps, list):
        raise JobError(where=where, key="readings.step_s", value=steps, allowed="a list of seconds")
    read = {name: _figure(values, name, "readings", where) for name in whole}
    return Readings(
        **{name: None if value is None else round(value) for name, value in read.items()},
        tokens_per_s=_figure(values, "tokens_per_s", "readings", where),
        step_s=tuple(_step(one, where) for one in steps),
    )


def _table(document: Mapping[str, Any], key: str, where: str, lacking: object = None) -> dict[str, Any]:
    value = document.get(key, lacking)
    if not isinstance(value, dict):
        raise JobError(where=where, key=key, value=value, allowed="a JSON object")
    return value


def _status(document: Mapping[str, Any], where: str) -> RunStatus:
    try:
        return RunStatus(str(document.get("status", "ok")))
    except ValueError as err:
        allowed = f"one of {', '.join(RunStatus)}"
        raise JobError(where=where, key="status", value=document.get("status"), allowed=allowed) from err


def _text(values: Mapping[str, Any], key: str, group: str, where: str) -> str:
    value = values.get(key, "")
    if not isinstance(value, str):
        raise JobError(where=where, key=f"{group}.{key}".lstrip("."), value=value, allowed="a text")
    return value


def _count(values: Mapping[str, Any], key: str, where: str) -> int:
    value = values.get(key, 1)
    if isinstance(value, bool) or not isinstance(value, int):
        raise JobError(where=where, key=f"machine.{key}", value=shown(value), allowed="a whole number of at least 1")
    check_figure(value, f"machine.{key}", where=where)
    return value


def _step(value: object, where: str) -> float:
    read = _figure({"step_s": value}, "step_s", "readings", where)
    if read is None:
        raise JobError(where=where, key="readings.step_s", value=None, allowed="seconds, one number a step")
    return read


def _figure(values: Mapping[str, Any], key: str, group: str, where: str) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise JobError(where=where, key=f"{group}.{key}", value=value, allowed="a number above 0, or null")
    check_figure(value, f"{group}.{key}", where=where)
    return float(value)


def _check_rows(recipe: Recipe, where: str) -> None:
    """Raise JobError for rows of no tokens, or of more than a row can hold."""
    rows = recipe.row_tokens
    if rows is not None and not 0 < rows <= recipe.seq_len:
        allowed = f"above 0 and at most seq_len ({recipe.seq_len:,}), or null"
        raise JobError(where=where, key="recipe.row_tokens", value=rows, allowed=allowed)
