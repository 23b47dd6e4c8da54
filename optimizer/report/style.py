"""How a text report is drawn: how wide, with which characters, with or without colour. Chosen once, by the caller."""

from __future__ import annotations

from dataclasses import dataclass

from .colour import Meaning, paint

NARROWEST = 72
WIDEST = 132


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """`width` in columns. Without `unicode` only ASCII is written; without `colour` no escape sequence."""

    width: int = 80
    unicode: bool = True
    colour: bool = False

    def __post_init__(self) -> None:
        # Below 72 columns no table is readable, beyond 132 no line is: lines then wrap, or stay short.
        object.__setattr__(self, "width", max(NARROWEST, min(WIDEST, self.width)))

    def paint(self, text: str, meaning: Meaning) -> str:
        """Return `text` in the colour of `meaning`, or as it is when colours are off."""
        return paint(text, meaning) if self.colour else text

    def plain(self, text: str) -> str:
        """Return `text` with every character that ASCII lacks replaced, when the terminal shows ASCII only."""
        return text if self.unicode else text.translate(ASCII).encode("ascii", "replace").decode("ascii")

    def bar(self, fraction: float, cells: int = 20) -> str:
        """Return a bar of `cells` characters, filled to `fraction` (0 to 1, clipped)."""
        filled = max(0, min(cells, round(fraction * cells)))
        full, empty = ("█", "░") if self.unicode else ("#", ".")
        return full * filled + empty * (cells - filled)


ASCII = str.maketrans(
    {
        "–": "-",
        "—": "-",
        "×": "x",
        "·": "|",
        "…": "...",
        "≤": "<=",
        "≥": ">=",
        "→": "->",
        "≈": "~",
        "█": "#",
        "░": ".",
        "─": "-",
        "’": "'",
    }
)
"""What stands in for each character that the reports use and ASCII lacks."""
