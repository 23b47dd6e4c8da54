"""The check that our three packages are ours: their names are generic, and another distribution may carry one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("optimizer", "providers", "cache")


def find_shadow() -> str | None:
    """Return who shadows whom, in one sentence, or None when the three packages share one parent directory.

    Nothing is imported. `optimizer` is the reference: this module runs from it.
    """
    home = Path(__file__).resolve().parents[2]
    for name in PACKAGES:
        place = _locate(name)
        if place is None:
            return f"package {name!r} is missing beside {home / 'optimizer'}: install tunefare again"
        if place.parent != home:
            return (
                f"package {name!r} comes from {place}, not from {home}: something else of that name is found first; "
                f"install tunefare in an environment of its own (pipx, uv tool), or remove the other one"
            )
    return None


def _locate(name: str) -> Path | None:
    """Return the directory, or the file, that `import name` would take."""
    spec = find_spec(name)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    place = places[0] if places else spec.origin
    return Path(place).resolve() if place else None
