"""Reads a file of many jobs: [[job]] tables with the job flags as keys, what they share, and what limits them all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from providers.errors import JobError

from .job_file import MODEL_KEYS, PATH_KEYS, PATHS_KEYS, read_toml, relative_to_file
from .job_input import JobInput
from .model_config import is_model_path
from .quota_input import (
    parse_budget,
    parse_quotas,
    parse_slots,
    refuse_twice,
    refuse_unknown,
    table_list,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .quota_input import BudgetInput, QuotaInput, SlotInput

JOBS_MAX = 20_000
PRIORITY_MAX = 1_000
DEFAULT_PRIORITY = 1
TABLES = ("job", "defaults", "quota", "budget", "slot")
OWN_KEYS = ("name", "priority", "team", "slots")
TOTAL = "total"
NOT_HERE: Mapping[str, str] = {
    "now": "not of one job: say it once, in [defaults] or as --now",
    "top": "not in a portfolio: it lists no runners-up (`tunefare plan` does)",
    "recipe": "only with `tunefare estimate`: a search finds the recipe",
    "quota": "not of one job: tables [[quota]] beside the jobs hold for all of them",
    **dict.fromkeys(("robust", "simulate", "seed"), "not in a portfolio: `tunefare plan` takes it, for one job"),
    "usd_per_gpu_hour": "only with `tunefare estimate`: a search takes prices from the list and from `offers`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioJob:
    """One job as written: its input with the defaults merged in, and what only a portfolio asks.

    Priority 1 goes first. `slots` names the start slots that it may take; empty: any.
    """

    name: str
    priority: int
    team: str | None
    slots: tuple[str, ...]
    said: JobInput
    where: str
    """Names the job in error messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioInput:
    """A file of jobs as written."""

    jobs: tuple[PortfolioJob, ...]
    quotas: tuple[QuotaInput, ...]
    slots: tuple[SlotInput, ...]
    budget: BudgetInput
    now: object | None
    """The moment that [defaults] name; None where they do not."""
    where: str


def read_portfolio_file(path: str | Path) -> PortfolioInput:
    """Return the jobs that a TOML file describes; paths in it are taken relative to the file.

    Raises JobError naming the file, the job and the key.
    """
    file = Path(path)
    return parse_portfolio(read_toml(file), where=str(file), folder=file.parent)


def parse_portfolio(values: Mapping[str, object], *, where: str, folder: Path) -> PortfolioInput:
    """Return the jobs that the tables of a file describe. Raises JobError as `read_portfolio_file` does."""
    if "job" not in values and "model" in values:
        allowed = "inside a [[job]] table: this file describes one job, which `tunefare plan` takes"
        raise JobError(where=where, key="model", value=values["model"], allowed=allowed)
    refuse_unknown(values, TABLES, key="", where=where)
    shared = values.get("defaults", {})
    if not isinstance(shared, dict):
        raise JobError(where=where, key="defaults", value=shared, allowed="a table: [defaults]")
    tables = table_list(values.get("job", []), "job", where)
    if not 1 <= len(tables) <= JOBS_MAX:
        allowed = f"from 1 to {JOBS_MAX} tables [[job]]"
        raise JobError(where=where, key="job", value=len(tables), allowed=allowed)
    common = _Common(shared, where=where, folder=folder)
    jobs = tuple(common.job(at, table) for at, table in enumerate(tables, 1))
    refuse_twice([job.name for job in jobs], key="job", where=where)
    slots = parse_slots(values.get("slot", []), where=where)
    _refuse_unknown_slots(jobs, slots)
    return PortfolioInput(
        jobs=jobs,
        quotas=parse_quotas(values.get("quota", []), key="quota", where=where),
        slots=slots,
        budget=parse_budget(values.get("budget", {}), where=where),
        now=common.now,
        where=where,
    )


class _Common:
    """What [defaults] say, and the jobs that are read on top of it."""

    def __init__(self, shared: Mapping[str, object], *, where: str, folder: Path) -> None:
        place = f"{where}: [defaults]"
        if "name" in shared:
            raise JobError(where=place, key="name", value=shared["name"], allowed="not here: each job has its own")
        self._where, self._folder = where, folder
        self._own = {key: value for key, value in shared.items() if key in OWN_KEYS}
        self.now = shared.get("now")
        said = {key: value for key, value in shared.items() if key not in OWN_KEYS}
        self._said = self._input(said, place, refused=tuple(key for key in NOT_HERE if key != "now"))
        self._memory: dict[str, JobInput] = {}

    def job(self, at: int, table: Mapping[str, object]) -> PortfolioJob:
        """Return the job of a table, counted from 1."""
        name = text_of(table.get("name"), key=f"job {at}: name", where=self._where)
        place = f"{self._where}: job {name!r}"
        own = {**self._own, **{key: value for key, value in table.items() if key in OWN_KEYS}}
        said = {key: value for key, value in table.items() if key not in OWN_KEYS}
        return PortfolioJob(
            name=name,
            priority=_priority(own.get("priority", DEFAULT_PRIORITY), place),
            team=_team(own.get("team"), place),
            slots=_slot_names(own.get("slots"), place),
            said=self._merged(said, place),
            where=place,
        )

    def _merged(self, said: dict[str, object], place: str) -> JobInput:
        # A thousand alike jobs are checked once.
        key = repr(sorted(said.items(), key=lambda item: item[0]))
        if key not in self._memory:
            self._memory[key] = self._said.overridden_by(self._input(said, place, refused=tuple(NOT_HERE)))
        return self._memory[key]

    def _input(self, values: dict[str, object], place: str, *, refused: tuple[str, ...]) -> JobInput:
        for key in refused:
            if key in values:
                raise JobError(where=place, key=key, value=values[key], allowed=NOT_HERE[key])
        return JobInput.from_mapping(_anchored(values, self._folder), where=place)


def _anchored(values: dict[str, object], folder: Path) -> dict[str, object]:
    """Return the values with paths taken relative to the file."""
    found = dict(values)
    for key in (*PATH_KEYS, *MODEL_KEYS):
        value = found.get(key)
        if isinstance(value, str) and (key in PATH_KEYS or is_model_path(value, folder=folder)):
            found[key] = str(folder / Path(value).expanduser())
    for key in PATHS_KEYS:
        if key in found:
            found[key] = relative_to_file(found[key], folder)
    return found


def _priority(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= PRIORITY_MAX:
        allowed = f"a whole number from 1 (goes first) to {PRIORITY_MAX}"
        raise JobError(where=where, key="priority", value=value, allowed=allowed)
    return value


def _team(value: object, where: str) -> str | None:
    if value is None:
        return None
    team = text_of(value, key="team", where=where)
    if team == TOTAL:
        allowed = "another name: [budget] total is the budget of all teams"
        raise JobError(where=where, key="team", value=team, allowed=allowed)
    return team


def _slot_names(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise JobError(where=where, key="slots", value=value, allowed="names of [[slot]] tables")
    return tuple(dict.fromkeys(text_of(name, key="slots", where=where) for name in names))


def _refuse_unknown_slots(jobs: tuple[PortfolioJob, ...], slots: tuple[SlotInput, ...]) -> None:
    known = [slot.name for slot in slots]
    for job in jobs:
        for name in job.slots:
            if name not in known:
                allowed = f"one of {', '.join(known)}" if known else "nothing: there is no [[slot]]"
                raise JobError(where=job.where, key="slots", value=name, allowed=allowed)
