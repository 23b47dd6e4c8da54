"""Settings beside the job: flags win over `TUNEFARE_*`, that over `tunefare.toml`, that over the user's own file."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from providers.errors import JobError, ProviderError

from .freshness_settings import read_freshness

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cache.freshness import FreshnessTable

PROJECT_FILE = "tunefare.toml"
ENVIRONMENT_KEYS: tuple[str, ...] = (
    "TUNEFARE_OFFERS", "TUNEFARE_ONLY_OFFERS", "TUNEFARE_CALIBRATION", "TUNEFARE_NOW", "TUNEFARE_CONFIG",
    "TUNEFARE_CACHE_URL", "TUNEFARE_LEDGER_URL", "TUNEFARE_PING_URL", "TUNEFARE_POLICY",
)  # fmt: skip
KNOWN_VARIABLES = frozenset({*ENVIRONMENT_KEYS, "TUNEFARE_TRACEBACK"})
FILE_KEYS: tuple[str, ...] = (
    "offers", "only_offers", "calibration", "max_price_age", "cache_url", "ledger_url", "policy", "discounts",
    "freshness",
)  # fmt: skip

Value = TypeVar("Value")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What stands in the environment and the configuration files, merged. None is "not set".

    `offers` is the CSV file of own machines; `only_offers` leaves the store out; `max_price_age` a duration like
    "30d"; `discounts` the fraction taken off by provider ("0.2" is 20 % off); `now` stands in for the clock.
    `calibration` names files of measured runs, or of calibrations, that estimates and plans are made with.
    `cache_url` is where live prices are kept: the path of a SQLite file, or postgresql://... `freshness` holds the
    limits of age that differ from `cache.freshness.LIMITS`. `ping_url` is told that a refresh ended. `policy` is the
    policy file that the gate judges by, `ledger_url` where its ledger is: named as prices are.
    """

    offers: Path | None = None
    only_offers: bool | None = None
    max_price_age: str | None = None
    discounts: Mapping[str, Decimal] = field(default_factory=dict)
    now: str | None = None
    calibration: tuple[Path, ...] = ()
    cache_url: str | None = None
    freshness: FreshnessTable = field(default_factory=dict)
    ping_url: str | None = None
    policy: Path | None = None
    ledger_url: str | None = None


def load_settings(
    *, environment: Mapping[str, str] | None = None, directory: Path | None = None, home: Path | None = None
) -> Settings:
    """Return the settings in force; the arguments stand in for the process's environment and places in tests.

    Read are `$XDG_CONFIG_HOME/tunefare/config.toml` (or `TUNEFARE_CONFIG`), then `tunefare.toml` in the working
    directory, then the environment; a later one wins key by key, discounts provider by provider, freshness kind by
    kind. A path in a file is relative to that file. Raises JobError for an unreadable file, an unknown key and a value
    of the wrong kind.
    """
    variables = os.environ if environment is None else environment
    here = Path.cwd() if directory is None else directory
    files = [_user_file(variables, home), here / PROJECT_FILE]
    _refuse_unknown(variables)
    merged = Settings()
    for path in files:
        merged = _over(merged, _read(path)) if path.is_file() else merged
    named = variables.get("TUNEFARE_CONFIG")
    if named and not Path(named).is_file():
        raise JobError(where="environment", key="TUNEFARE_CONFIG", value=named, allowed="the path of a TOML file")
    return _over(merged, _from_environment(variables))


def _refuse_unknown(variables: Mapping[str, str]) -> None:
    """Raise JobError for a variable of ours that means nothing: a typing error would be passed over in silence."""
    for name in sorted(variables):
        if name.startswith("TUNEFARE_") and name not in KNOWN_VARIABLES and not _is_of_a_provider(name):
            close = get_close_matches(name, sorted(KNOWN_VARIABLES), n=1, cutoff=0.9)
            known = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(KNOWN_VARIABLES))}"
            raise JobError(where="environment", key=name, value=variables[name], allowed=f"unknown variable; {known}")


def _is_of_a_provider(variable: str) -> bool:
    """Return whether a price source reads the variable: TUNEFARE_AZURE_ENDPOINT, or another that it declares."""
    parts = variable.split("_")
    if len(parts) < 3:
        return False
    from providers.registry import load_provider, provider_names  # looks at what is installed: not for every command

    for name in provider_names():
        prefix = f"TUNEFARE_{name.upper().replace('-', '_')}_"
        if variable == f"{prefix}ENDPOINT":
            return True
        if variable.startswith(prefix):
            try:
                declared = load_provider(name).info.variables
            except ProviderError:  # broken: a refresh says so
                return True
            if any(item.name == variable for item in declared):
                return True
    return False


def config_directory(environment: Mapping[str, str], home: Path | None = None) -> Path:
    """Return the directory of the user's own configuration: `$XDG_CONFIG_HOME/tunefare`, else `~/.config/tunefare`."""
    stated = environment.get("XDG_CONFIG_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    if stated and Path(stated).is_absolute():
        return Path(stated) / "tunefare"
    return (home or Path.home()) / ".config" / "tunefare"


def _user_file(environment: Mapping[str, str], home: Path | None) -> Path:
    named = environment.get("TUNEFARE_CONFIG")
    return Path(named) if named else config_directory(environment, home) / "config.toml"


def _over(base: Settings, top: Settings) -> Settings:
    return Settings(
        offers=base.offers if top.offers is None else top.offers,
        only_offers=base.only_offers if top.only_offers is None else top.only_offers,
        max_price_age=base.max_price_age if top.max_price_age is None else top.max_price_age,
        discounts={**base.discounts, **top.discounts},
        now=base.now if top.now is None else top.now,
        calibration=top.calibration or base.calibration,
        cache_url=base.cache_url if top.cache_url is None else top.cache_url,
        freshness={**base.freshness, **top.freshness},
        ping_url=base.ping_url if top.ping_url is None else top.ping_url,
        policy=base.policy if top.policy is None else top.policy,
        ledger_url=base.ledger_url if top.ledger_url is None else top.ledger_url,
    )


def _from_environment(environment: Mapping[str, str]) -> Settings:
    offers = environment.get("TUNEFARE_OFFERS")
    only = environment.get("TUNEFARE_ONLY_OFFERS")
    measured = environment.get("TUNEFARE_CALIBRATION", "").split(os.pathsep)
    return Settings(
        offers=Path(offers) if offers else None,
        only_offers=None if only is None else _parse_switch(only),
        now=environment.get("TUNEFARE_NOW") or None,
        calibration=tuple(Path(one) for one in measured if one),
        cache_url=environment.get("TUNEFARE_CACHE_URL") or None,
        ping_url=_ping_url(environment.get("TUNEFARE_PING_URL")),
        policy=Path(policy) if (policy := environment.get("TUNEFARE_POLICY")) else None,
        ledger_url=environment.get("TUNEFARE_LEDGER_URL") or None,
    )


def _ping_url(value: str | None) -> str | None:
    if not value:
        return None
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value, re.ASCII):
        # Not repeated: the address of a check is what authorises its report.
        raise JobError(
            where="environment", key="TUNEFARE_PING_URL", value="(not shown)", allowed="an http:// or https:// address"
        )
    return value


def _parse_switch(value: str) -> bool:
    lowered = value.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise JobError(where="environment", key="TUNEFARE_ONLY_OFFERS", value=value, allowed="1 or 0")
    return lowered in _TRUE


def _read(path: Path) -> Settings:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        reason = str(err).splitlines()[0]
        raise JobError(where=str(path), key="file", value=path.name, allowed=f"readable TOML ({reason})") from err
    for key in raw:
        if key not in FILE_KEYS:
            raise JobError(where=str(path), key=key, value=raw[key], allowed=f"one of {', '.join(FILE_KEYS)}")
    offers = _typed(raw, "offers", str, "the path of a CSV file", path)
    discounts = _typed(raw, "discounts", dict, "a table of provider = fraction", path)
    return Settings(
        offers=None if offers is None else path.parent / Path(offers).expanduser(),
        only_offers=_typed(raw, "only_offers", bool, "true or false", path),
        max_price_age=_typed(raw, "max_price_age", str, 'a duration like "30d"', path),
        discounts={name: _discount(name, value, path) for name, value in (discounts or {}).items()},
        calibration=_calibration(raw.get("calibration"), path),
        cache_url=_database_url(raw, "cache_url", path),
        ledger_url=_database_url(raw, "ledger_url", path),
        policy=_beside(raw, "policy", "the path of a policy file", path),
        freshness=read_freshness(raw.get("freshness"), where=str(path)),
    )


def _beside(raw: Mapping[str, object], key: str, allowed: str, path: Path) -> Path | None:
    """Return the path that a key names, relative to the file that names it."""
    stated = _typed(raw, key, str, allowed, path)
    if stated is not None and not stated.strip():
        raise JobError(where=str(path), key=key, value=stated, allowed=allowed)
    return None if stated is None else path.parent / Path(stated).expanduser()


def _database_url(raw: Mapping[str, object], key: str, path: Path) -> str | None:
    allowed = "the path of a SQLite file, or postgresql://..."
    stated = _typed(raw, key, str, allowed, path)
    if stated is None or "://" in stated:
        return stated
    if not stated.strip():
        raise JobError(where=str(path), key=key, value=stated, allowed=allowed)
    return str(path.parent / Path(stated).expanduser())


def _calibration(value: object, path: Path) -> tuple[Path, ...]:
    named = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(named, list) or not all(isinstance(one, str) and one for one in named):
        allowed = "the path of a file of measured runs or of a calibration, or a list of them"
        raise JobError(where=str(path), key="calibration", value=value, allowed=allowed)
    return tuple(path.parent / Path(one).expanduser() for one in named)


def _typed(raw: Mapping[str, object], key: str, kind: type[Value], allowed: str, path: Path) -> Value | None:
    value = raw.get(key)
    if value is None or isinstance(value, kind):
        return value
    raise JobError(where=str(path), key=key, value=value, allowed=allowed)


def _discount(name: str, value: object, path: Path) -> Decimal:
    fraction = Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None
    if fraction is None or not fraction.is_finite() or not 0 <= fraction < 1:
        raise JobError(
            where=str(path),
            key=f"discounts.{name}",
            value=value,
            allowed="a fraction from 0 to below 1 (0.2: 20 % off)",
        )
    return fraction
