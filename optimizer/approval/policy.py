"""Reads a policy file: strictly, whole, and with every problem named. A policy with a problem is no policy."""

from __future__ import annotations

import hashlib
import tomllib
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from providers.errors import JobError, one_line

from .allowed_signers import read_allowed_signers
from .canonical import LARGEST_BYTES
from .oidc import trust_of
from .policy_build import budgets_of, ci_of, defaults_of, limits_of, rules_of, tiers_of
from .policy_checks import problems_of
from .policy_model import PolicyInput
from .policy_terms import Policy
from .rules import compile_rule
from .rules_check import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .policy_checks import Problem
    from .rules import CompiledRule

    ReadFile = Callable[[str], bytes]

PLAIN: Mapping[str, str] = {
    "missing": "a value: this key is required",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "too_long": "fewer entries",
    "too_short": "at least one entry",
}
"""What is allowed, by the kind of complaint that pydantic itself makes."""
MOST_PROBLEMS = 100


def load_policy(data: bytes, *, where: str, read_file: ReadFile | None = None) -> Policy:
    """Return the policy that bytes of TOML hold. Raises JobError naming the first problem: file, key, value, allowed.

    `where` names the file. `read_file` returns the bytes of a file beside the policy that it names (its allowed
    signers, keys of a CI): they are read with it, because their digests are part of the policy's.
    """
    policy, problems = lint_policy(data, where=where, read_file=read_file)
    if policy is None:
        raise problems[0]
    return policy


def lint_policy(
    data: bytes, *, where: str, read_file: ReadFile | None = None
) -> tuple[Policy | None, tuple[JobError, ...]]:
    """Return the policy and no problems, or None and every problem that was found. Arguments as for `load_policy`."""
    try:
        said = PolicyInput.model_validate(read_toml(data, where=where))
    except JobError as err:
        return None, (err,)
    except ValidationError as err:
        return None, tuple(_error(one, where) for one in _complaints(err, PolicyInput))
    compiled, wrong = _compile(said)
    problems = [_error(one, where) for one in (*problems_of(said), *wrong)]
    files, missing = _files(said, where, read_file)
    problems += [*missing, *_identity_problems(said, files, where)]
    if problems:
        return None, tuple(problems[:MOST_PROBLEMS])
    policy = Policy(
        where=where,
        currency=said.currency,
        defaults=defaults_of(said),
        tiers=tiers_of(said),
        budgets=budgets_of(said),
        limits=limits_of(said),
        rules=rules_of(said, compiled),
        groups={name: tuple(members) for name, members in said.groups.items()},
        ci=ci_of(said),
        allowed_signers=said.allowed_signers,
        files=files,
        file_digests={name: hashlib.sha256(held).hexdigest() for name, held in files.items()},
    )
    # Now: who judges by it later must not stumble over its digest.
    _ = policy.sha256
    return policy, ()


def read_toml(data: bytes, *, where: str) -> dict[str, Any]:
    """Return what bytes of TOML hold, fractions exact. Raises JobError for what is no TOML, too large or too deep."""
    if len(data) > LARGEST_BYTES:
        raise JobError(where=where, key="file", value=len(data), allowed=f"at most {LARGEST_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"), parse_float=Decimal)
    except RecursionError as err:
        raise JobError(where=where, key="file", value=where, allowed="TOML that is not nested without end") from err
    except (ValueError, ArithmeticError) as err:  # also UnicodeDecodeError and TOMLDecodeError
        reason = one_line(str(err))[:160]
        raise JobError(where=where, key="file", value=where, allowed=f"readable TOML ({reason})") from err


def complaints(err: ValidationError, model: type[BaseModel], where: str) -> tuple[JobError, ...]:
    """Return what pydantic complains of, in our words: the key's path, the value, what is allowed."""
    return tuple(_error(one, where) for one in _complaints(err, model))


def _complaints(err: ValidationError, model: type[BaseModel]) -> list[Problem]:
    found: dict[str, Problem] = {}
    for detail in err.errors(include_url=False)[:MOST_PROBLEMS]:
        place = [one for one in detail["loc"] if not (isinstance(one, str) and one.startswith("function-"))]
        kind = detail["type"]
        key = _path(place)
        value = None if kind == "missing" else detail["input"]
        if kind == "extra_forbidden":
            allowed = _known_keys(model, place)
        elif kind == "value_error":
            allowed = str(detail.get("ctx", {}).get("error", detail["msg"]))
        else:
            allowed = PLAIN.get(kind, "another value")
        found.setdefault(key, (key, _brief(value), allowed))
    return list(found.values())


def _path(place: Sequence[int | str]) -> str:
    """Return a place in the file as a person would say it: "tier 2: up_to", "limit 1: allow.gpu 3"."""
    text = ""
    for one in place:
        if isinstance(one, int):
            text += f" {one + 1}"
        elif one != "[key]":
            text += ("" if not text else ": " if text[-1].isdigit() and ":" not in text else ".") + one
    return one_line(text)[:160] or "file"


def _known_keys(model: type[BaseModel], place: Sequence[int | str]) -> str:
    """Return which keys stand beside an unknown one."""
    at: type[BaseModel] | None = model
    for one in place[:-1]:
        if isinstance(one, str) and at is not None:
            at = _inner(at, one)
    if at is None:
        return "no such key"
    known = [field.alias or name for name, field in at.model_fields.items()]
    close = get_close_matches(str(place[-1]), known, n=1)
    return f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known are {', '.join(known)}"


def _inner(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if key in {name, field.alias}:
            kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
            return next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), None)
    return None


def _compile(said: PolicyInput) -> tuple[dict[int, CompiledRule], list[Problem]]:
    compiled: dict[int, CompiledRule] = {}
    problems: list[Problem] = []
    for at, rule in enumerate(said.rule):
        try:
            compiled[at] = compile_rule(rule.when)
        except RuleError as err:
            problems.append((f"rule {at + 1} ({rule.name}): when", rule.when, str(err)))
    return compiled, problems


def _files(said: PolicyInput, where: str, read_file: ReadFile | None) -> tuple[dict[str, bytes], list[JobError]]:
    """Return the files that a policy names, as they are now, and what could not be read."""
    named = [] if said.allowed_signers is None else [("allowed_signers", said.allowed_signers)]
    named += [
        (f"ci {at}: jwks", one.jwks)
        for at, one in enumerate(said.ci, 1)
        if one.jwks is not None and not one.jwks.startswith("https://")
    ]
    files: dict[str, bytes] = {}
    problems: list[JobError] = []
    for key, name in named:
        try:
            if read_file is None:
                raise JobError(where=where, key=key, value=name, allowed="a file that can be read with the policy")  # noqa: TRY301
            files[name] = read_file(name)
        except JobError as err:
            problems.append(JobError(where=where, key=key, value=name, allowed=err.allowed))
    return files, problems


def _identity_problems(said: PolicyInput, files: Mapping[str, bytes], where: str) -> Iterator[JobError]:
    """Yield what is wrong with the keys of people and the claims of workflows that may approve."""
    if said.allowed_signers is not None and said.allowed_signers in files:
        try:
            read_allowed_signers(files[said.allowed_signers], where=said.allowed_signers)
        except JobError as err:
            yield JobError(where=where, key="allowed_signers", value=said.allowed_signers, allowed=str(err))
    for at, identity in enumerate(ci_of(said), 1):
        try:
            trust_of(identity)
        except JobError as err:
            yield JobError(where=where, key=f"ci {at}", value=identity.name, allowed=err.allowed)


def _error(problem: Problem, where: str) -> JobError:
    key, value, allowed = problem
    return JobError(where=where, key=key, value=value, allowed=allowed)


def _brief(value: object) -> object:
    """Return a value as a message may repeat it: not a whole table."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return one_line(value) if isinstance(value, str) else value
