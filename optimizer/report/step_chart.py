"""A step chart in the terminal: a price that holds until it changes, on a grid of characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .table import text_width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .style import Style

HEIGHT = 8
FLAT = 1
"""Rows of a chart, and of one of a price that never changed."""

Step = tuple[float, int | None]
"""A moment in seconds, and the value from then on; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What is drawn: the window on the time axis, the changes, and the moment up to which the last value is known."""

    start_s: float
    end_s: float
    known_until_s: float
    changes: Sequence[Step]
    start_label: str
    end_label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """The characters of a line, of its corners (named by where the line comes from and goes to), and of the axes."""

    flat: str
    upright: str
    left_up: str
    left_down: str
    up_right: str
    down_right: str
    tick: str
    corner: str


UNICODE = Glyphs(
    flat="─", upright="│", left_up="┘", left_down="┐", up_right="└", down_right="┌", tick="┤", corner="└"
)  # fmt: skip
ASCII = Glyphs(flat="-", upright="|", left_up="+", left_down="+", up_right="+", down_right="+", tick="+", corner="+")


def draw_steps(steps: Steps, label: Callable[[int], str], style: Style, *, indent: str = "  ") -> list[str]:
    """Return the lines of the chart, at most `style.width` wide; nothing where there is no value to draw.

    `label` formats a value for the axis on the left, which has the highest and the lowest one.
    """
    values = [value for _, value in steps.changes if value is not None]
    if not values:
        return []
    glyphs = UNICODE if style.unicode else ASCII
    low, high = min(values), max(values)
    height = HEIGHT if high > low else FLAT
    labels = {0: style.plain(label(high)), height - 1: style.plain(label(low))}
    margin = max(text_width(text) for text in labels.values())
    width = style.width - len(indent) - margin - 2
    grid = _grid(steps, low=low, high=high, width=width, height=height, glyphs=glyphs)
    lines = []
    for at, cells in enumerate(grid):
        text = labels.get(at, "")
        axis = glyphs.tick if text else glyphs.upright
        blank = " " * (margin - text_width(text))
        lines.append(f"{indent}{blank}{text} {axis}{''.join(cells)}".rstrip())
    lines.append(f"{indent}{' ' * margin} {glyphs.corner}{glyphs.flat * width}")
    gap = width - text_width(steps.start_label) - text_width(steps.end_label)
    lines.append(f"{indent}{' ' * margin}  {steps.start_label}{' ' * gap}{steps.end_label}")
    return lines


def _grid(steps: Steps, *, low: int, high: int, width: int, height: int, glyphs: Glyphs) -> list[list[str]]:
    grid = [[" "] * width for _ in range(height)]

    def row_of(value: int) -> int:
        return round((high - value) * (height - 1) / (high - low)) if high > low else 0

    rows = [[None if value is None else row_of(value) for value in column] for column in _columns(steps, width)]
    before: int | None = None
    for at, column in enumerate(rows):
        _draw_column(grid, at, before, column, glyphs)
        before = column[-1]
    return grid


def _columns(steps: Steps, width: int) -> list[list[int | None]]:
    """Return the values that hold within each column, in order; the last is the one that it ends with."""
    span = max(steps.end_s - steps.start_s, 1.0)
    current = next((value for at, value in reversed(steps.changes) if at <= steps.start_s), None)
    changes = [change for change in steps.changes if change[0] > steps.start_s]
    columns: list[list[int | None]] = []
    for at in range(width):
        end = steps.start_s + span * (at + 1) / width
        inside: list[int | None] = []
        # The last column ends with the window, and what happens at its very end belongs to it.
        while changes and (changes[0][0] < end or at == width - 1):
            current = changes.pop(0)[1]
            inside.append(current)
        known = steps.start_s + span * at / width <= steps.known_until_s
        columns.append((inside or [current]) if known else [None])
    return columns


def _draw_column(
    grid: list[list[str]], at: int, before: int | None, column: Sequence[int | None], glyphs: Glyphs
) -> None:
    """Draw one column: an upright from where the line was to where it is, through everything that it touched."""
    now = column[-1]
    touched = [row for row in (before, *column) if row is not None]
    if not touched:
        return
    top, bottom = min(touched), max(touched)
    for row in range(top, bottom + 1):
        grid[row][at] = glyphs.upright
    if top == bottom:
        # Only flat where something holds: the column in which an offer goes stays blank.
        grid[top][at] = glyphs.flat if now is not None else " "
        return
    if before in {top, bottom}:
        grid[before][at] = glyphs.left_up if before == bottom else glyphs.left_down
    if now in {top, bottom} and now != before:
        grid[now][at] = glyphs.up_right if now == bottom else glyphs.down_right
