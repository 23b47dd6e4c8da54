"""Colours with a meaning; the reports name the meaning and never a colour."""

from __future__ import annotations

from enum import StrEnum

RESET = "\x1b[0m"


class Meaning(StrEnum):
    """What a colour says. Nothing is said by colour alone: the words are there without it."""

    HEADING = "heading"
    CHOICE = "choice"
    GOOD = "good"
    TIGHT = "tight"
    BROKEN = "broken"
    ASIDE = "aside"


CODES: dict[Meaning, str] = {
    Meaning.HEADING: "\x1b[1m",
    Meaning.CHOICE: "\x1b[1;36m",
    Meaning.GOOD: "\x1b[32m",
    Meaning.TIGHT: "\x1b[33m",
    Meaning.BROKEN: "\x1b[31m",
    Meaning.ASIDE: "\x1b[2m",
}


def paint(text: str, meaning: Meaning) -> str:
    """Return `text` between the escape sequences of `meaning`; empty text stays empty."""
    return f"{CODES[meaning]}{text}{RESET}" if text else text
