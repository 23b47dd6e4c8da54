"""A small writer of aligned text: tables, key-value blocks, wrapped paragraphs. Widths in terminal columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

from .colour import Meaning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .style import Style

GAP = "  "
INDENT = "  "
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
TOGETHER = re.compile(r"(?<=\d) (?=(?:%|(?:s|min|h|days?|[KMG]iB|GB|tokens|GPUs?|UTC)\b|[×–x] ))|(?<= [×–x]) (?=[\d$])")
"""Blanks at which no line may end: between a number and its unit, around the sign of a product or a range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its title, whether numbers align right, and how it gives way when space is short.

    An `optional` column is left out then, one that `shrinks` is shortened, down to `smallest`.
    """

    title: str
    right: bool = False
    shrinks: bool = False
    smallest: int = 8
    optional: bool = False


def text_width(text: str) -> int:
    """Return how many terminal columns `text` takes: escapes and combining marks none, wide characters two."""
    # Most cells are plain ASCII; a list has a hundred thousand of them.
    bare = ESCAPE.sub("", text) if "\x1b" in text else text
    if bare.isascii():
        return len(bare)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in bare)


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return `text` filled with blanks to `width` columns, on the left when `right`."""
    blanks = " " * max(0, width - text_width(text))
    return blanks + text if right else text + blanks


def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """Return plain `text` cut to `width` columns, ending in an ellipsis when something was cut."""
    if text_width(text) <= width:
        return text
    kept = ""
    for char in text:
        if text_width(kept + char) > width - text_width(ellipsis):
            break
        kept += char
    return kept.rstrip() + ellipsis


def format_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], style: Style) -> list[str]:
    """Return the lines of an indented table with a title row, fitted into `style.width`.

    Optional columns give way first, then those that shrink, widest first. A column without any entry is left out.
    """
    room = style.width - len(INDENT)
    kept = [at for at in range(len(columns)) if any(row[at] for row in rows)]
    natural = {at: max(text_width(text) for text in (columns[at].title, *(row[at] for row in rows))) for at in kept}
    for at in [at for at in kept if columns[at].optional]:
        if sum(natural[at] for at in kept) + len(GAP) * (len(kept) - 1) > room:
            kept.remove(at)
    columns = [columns[at] for at in kept]
    cells = [[style.plain(row[at]) for at in kept] for row in rows]
    widths = _fit(columns, [natural[at] for at in kept], room)
    ellipsis = style.plain("…")
    lines = [style.paint(_line([column.title for column in columns], columns, widths), Meaning.ASIDE)]
    for row in cells:
        cut = [shorten(cell, width, ellipsis) for cell, width in zip(row, widths, strict=True)]
        lines.append(_line(cut, columns, widths))
    return lines


def _fit(columns: Sequence[Column], natural: Sequence[int], room: int) -> list[int]:
    """Return the width of each column so that the line takes at most `room`, as far as shrinking allows."""
    widths = list(natural)
    spare = room - len(GAP) * (len(columns) - 1)
    while sum(widths) > spare:
        able = [at for at, column in enumerate(columns) if column.shrinks and widths[at] > column.smallest]
        if not able:
            break
        widths[max(able, key=lambda at: widths[at])] -= 1
    return widths


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    padded = (
        pad(shorten(cell, width, ""), width, right=column.right)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    )
    return (INDENT + GAP.join(padded)).rstrip()


def format_pairs(pairs: Sequence[tuple[str, str]], style: Style, *, label_width: int = 0) -> list[str]:
    """Return "  label   text" lines, the text wrapped under itself. Painted text must fit on its line."""
    widest = max([label_width, *(text_width(label) for label, _ in pairs)]) + len(GAP)
    lines: list[str] = []
    for label, text in pairs:
        room = style.width - len(INDENT) - widest
        parts = [text] if text_width(text) <= room else _wrap(style.plain(text), room)
        for at, part in enumerate(parts or [""]):
            head = style.paint(pad(label if at == 0 else "", widest), Meaning.ASIDE) if at == 0 else " " * widest
            lines.append((INDENT + head + style.plain(part)).rstrip())
    return lines


def format_paragraph(text: str, style: Style, *, indent: str = INDENT, first: str | None = None) -> list[str]:
    """Return `text` wrapped to the width; `first` replaces the indent of the first line ("  - ")."""
    return _wrap(style.plain(text), style.width, style.plain(indent if first is None else first), indent)


def format_list(items: Sequence[str], style: Style) -> list[str]:
    """Return each item as a wrapped bullet."""
    bullet = "  · " if style.unicode else "  - "
    return [line for item in items for line in format_paragraph(item, style, indent="    ", first=bullet)]


def format_heading(text: str, aside: str, style: Style) -> str:
    """Return a section title, followed by an explanation that is shortened to the line."""
    room = style.width - text_width(text) - len(GAP)
    shown = shorten(style.plain(aside), room, style.plain("…"))
    title = style.paint(style.plain(text), Meaning.HEADING)
    return f"{title}{GAP}{style.paint(shown, Meaning.ASIDE)}" if aside else title


def format_headline(title: str, text: str, style: Style) -> list[str]:
    """Return the title and the choice behind it, on further lines under itself where it is long."""
    indent = " " * (text_width(title) + len(GAP))
    first, *more = [style.paint(line.strip(), Meaning.CHOICE) for line in format_paragraph(text, style, indent=indent)]
    return [f"{style.paint(title, Meaning.HEADING)}{GAP}{first}", *(indent + line for line in more)]


def join_sections(sections: Sequence[Sequence[str]]) -> str:
    """Return the sections as one text, a blank line between them; sections without lines are left out."""
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _wrap(text: str, width: int, first: str = "", indent: str = "") -> list[str]:
    """Return `text` in lines of at most `width`; a number is never parted from its unit."""
    bound = TOGETHER.sub("\N{NO-BREAK SPACE}", text)
    lines = wrap(
        bound,
        width,
        initial_indent=first,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
