"""Where labels of a chart go: beside their point, inside the chart, over nothing that is there already."""

from __future__ import annotations

from dataclasses import dataclass, field

CHARACTER, LINE = 6.9, 13.0
"""Pixels that a character of 12 px type takes (generously), and a line of it."""
GAP = 7.0


@dataclass(frozen=True, slots=True)
class LabelBox:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, x: float, y: float, radius: float) -> LabelBox:
        """Return the square around a point."""
        return cls(x - radius, y - radius, x + radius, y + radius)

    def meets(self, other: LabelBox) -> bool:
        """Return whether two rectangles share any pixel."""
        return not (
            self.right <= other.left or other.right <= self.left or self.bottom <= other.top or other.bottom <= self.top
        )


@dataclass(slots=True, kw_only=True)
class Boxes:
    """The room of a chart, and what is taken of it."""

    left: float
    right: float
    top: float
    bottom: float
    taken: list[LabelBox] = field(default_factory=list)

    def take(self, box: LabelBox) -> None:
        """Take the room of a rectangle."""
        self.taken.append(box)

    def place(self, x: float, y: float, words: str) -> tuple[float, float, str] | None:
        """Return x, base line and anchor of a label for the point at (x, y), and take its room; None without any."""
        width = CHARACTER * len(words)
        for right, above in ((True, True), (False, False), (True, False), (False, True)):
            at_x = x + GAP if right else x - GAP
            base = y - GAP + 1.0 if above else y + GAP + 9.0
            start = at_x if right else at_x - width
            box = LabelBox(start, base - LINE + 3.0, start + width, base + 3.0)
            if self._is_free(box):
                self.take(box)
                return at_x, base, "start" if right else "end"
        return None

    def _is_free(self, box: LabelBox) -> bool:
        inside = box.left >= self.left and box.right <= self.right and box.top >= self.top and box.bottom <= self.bottom
        return inside and not any(box.meets(other) for other in self.taken)
