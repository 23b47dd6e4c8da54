"""What managed services ask, beside the machines of a plan: the cheapest few, the rest for `--verbose`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .figures import UNKNOWN, format_count, format_dollars, format_range, plural
from .table import format_heading, format_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.search.results import Rival

    from .style import Style

MOST_RIVALS = 6
"""Services with a known price that a report shows unless it is verbose."""
ANOTHER_MODEL = "another model"
"""What `Rival.stands_for` says of a price for a model by name."""


def rivals_section(rivals: Sequence[Rival], style: Style, *, verbose: bool = False) -> list[str]:
    """Return what managed services ask, the cheapest first; those without a known price in one line at the end.

    Unless verbose, the cheapest few, and how many more there are.
    """
    if not rivals:
        return []
    ordered = sorted(rivals, key=_place)
    known = [rival for rival in ordered if _is_known(rival)]
    shown = known if verbose else known[:MOST_RIVALS]
    pairs = [(vendor, _describe(group)) for vendor, group in _by_vendor(shown)]
    if len(known) > len(shown):
        pairs.append(("more", f"{plural(len(known) - len(shown), 'dearer price')} with --verbose"))
    nameless = [f"{rival.vendor} {rival.model}" for rival in ordered if not _is_known(rival)]
    if nameless:
        pairs.append((UNKNOWN, " · ".join(nameless)))
    aside = f"priced per training token, for {format_count(rivals[0].tokens)} tokens"
    return [format_heading("Managed services", aside, style), *format_pairs(pairs, style)]


def _is_known(rival: Rival) -> bool:
    return rival.low_usd_micro is not None or rival.high_usd_micro is not None


def _place(rival: Rival) -> tuple[int, str, str]:
    """Return the place of a rival in the list: by the lower end, then vendor and model."""
    lowest = rival.low_usd_micro if rival.low_usd_micro is not None else rival.high_usd_micro
    return (lowest or 0, rival.vendor, rival.model)


def _by_vendor(rivals: Sequence[Rival]) -> list[tuple[str, list[Rival]]]:
    """Return the rivals grouped by vendor, in the order in which the vendors come first."""
    vendors: dict[str, list[Rival]] = {}
    for rival in rivals:
        vendors.setdefault(rival.vendor, []).append(rival)
    return list(vendors.items())


def _describe(rivals: Sequence[Rival]) -> str:
    """Return models, costs and dates of one vendor; a date that all share is named once."""
    dates = {rival.source_date for rival in rivals}
    each = [f"{rival.model} {_cost(rival)}" for rival in rivals]
    # A service that trains only models of its vendor does not train the job's.
    whose = "; their own models" if all(rival.stands_for == ANOTHER_MODEL for rival in rivals) else ""
    if len(dates) > 1:
        each = [f"{text} ({rival.source_date})" for text, rival in zip(each, rivals, strict=True)]
        return " · ".join(each) + whose
    return f"{' · '.join(each)}{whose}; prices of {dates.pop()}"


def _cost(rival: Rival) -> str:
    low, high = format_dollars(rival.low_usd_micro), format_dollars(rival.high_usd_micro)
    if rival.high_usd_micro is None:
        return f"from {low}"
    return f"up to {high}" if rival.low_usd_micro is None else format_range(low, high)
