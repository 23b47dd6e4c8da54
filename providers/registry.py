"""Finds price sources by name, through entry points: nothing here imports an adapter until it is asked for.

A package of someone else adds a source with one line in its own pyproject.toml:

    [project.entry-points."tunefare.providers"]
    examplecloud = "examplecloud_prices:ExampleCloud"

A name that comes with the program always means the program's own adapter.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from .base import ENTRY_POINT_GROUP, Provider
from .errors import JobError, ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

DISTRIBUTION = "tunefare"
LONGEST_REASON = 200


def provider_names() -> tuple[str, ...]:
    """Return the names of all sources that are installed, in alphabetical order."""
    return tuple(sorted(_entry_points()))


def load_provider(name: str) -> Provider:
    """Return the source of that name.

    Raises JobError (exit 2) for an unknown name, ProviderError where its package cannot be imported or is no source.
    """
    found = _entry_points()
    if name not in found:
        raise JobError(
            where="command line", key="provider", value=name, allowed=f"a price source: {', '.join(sorted(found))}"
        )
    try:
        provider = found[name].load()()
        fits = isinstance(provider, Provider) and provider.info.name == name
    except (Exception, SystemExit) as err:  # whatever someone else's package does, it harms no other source
        reason = " ".join(f"{type(err).__name__}: {err}".split())[:LONGEST_REASON]
        raise ProviderError(f"{name}: its adapter cannot be loaded ({reason})") from err
    if not fits:
        raise ProviderError(f"{name}: {found[name].value} is not a price source of that name")
    return cast("Provider", provider)


def load_providers(names: Iterable[str] = ()) -> tuple[Provider, ...]:
    """Return the sources of those names in alphabetical order; all that are installed where none is named."""
    wanted = tuple(dict.fromkeys(names)) or provider_names()
    return tuple(load_provider(name) for name in sorted(wanted))


def _entry_points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        own = point.dist is not None and point.dist.name == DISTRIBUTION
        if own or point.name not in found:
            found[point.name] = point
    return found
