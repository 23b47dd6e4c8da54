"""Managed services beside a plan."""

from __future__ import annotations

from dataclasses import replace

from optimizer.report.style import Style
from optimizer.report.text_rivals import MOST_RIVALS, rivals_section
from optimizer.search.results import Rival

NARROW = Style(width=80)


def rival(vendor: str, model: str, low: int | None, high: int | None = None, date: str = "2031") -> Rival:
    return Rival(
        vendor=vendor, model=model, method="sft", low_usd_micro=low, high_usd_micro=high, tokens=21_300_000,
        source="invented", source_date=date, notes="",
    )  # fmt: skip


MANY = [rival("A", f"a{dollars}", dollars * 1_000_000, dollars * 1_000_000) for dollars in (9, 7, 5, 3)]
MANY += [rival("B", f"b{dollars}", dollars * 1_000_000, dollars * 2_000_000) for dollars in (8, 4, 2)]
MANY += [rival("C", "dark", None), rival("D", "darker", None)]


def test_the_cheapest_few_are_shown_and_the_rest_counted() -> None:
    assert MOST_RIVALS == 6
    assert rivals_section(MANY, NARROW) == [
        "Managed services  priced per training token, for 21.3M tokens",
        "  B        b2 $2.00 – $4.00 · b4 $4.00 – $8.00 · b8 $8.00 – $16.00; prices of",
        "           2031",
        "  A        a3 $3.00 · a5 $5.00 · a7 $7.00; prices of 2031",
        "  more     1 dearer price with --verbose",
        "  unknown  C dark · D darker",
    ]


def test_verbose_shows_all() -> None:
    text = " ".join(" ".join(rivals_section(MANY, NARROW, verbose=True)).split())
    assert "b8 $8.00 – $16.00; prices of 2031 A a3" in text
    assert "a9 $9.00; prices of 2031 unknown C dark" in text
    assert "--verbose" not in text


def test_the_unknown_alone_and_none_at_all() -> None:
    assert rivals_section([rival("C", "dark", None)], NARROW)[1:] == ["  unknown  C dark"]
    assert rivals_section([], NARROW) == []


def test_one_end_of_a_range_and_two_dates() -> None:
    mixed = [rival("A", "low", 2_000_000), rival("A", "high", None, 3_000_000, date="2030")]
    assert rivals_section(mixed, NARROW)[1] == "  A  low from $2.00 (2031) · high up to $3.00 (2030)"


def test_models_of_the_vendor_are_said_to_be_so() -> None:
    own = [replace(rival("A", f"m{dollars}", dollars * 1_000_000), stands_for="another model") for dollars in (1, 2)]
    assert rivals_section(own, NARROW)[1] == "  A  m1 from $1.00 · m2 from $2.00; their own models; prices of 2031"
    own[1] = replace(own[1], stands_for="every size", source_date="2030")
    assert rivals_section(own, NARROW)[1] == "  A  m1 from $1.00 (2031) · m2 from $2.00 (2030)"
