"""The pieces of SVG charts: head with colours for light and dark ground, text, lines. Everything said is escaped."""

from __future__ import annotations

from html import escape

from providers.payload import clean_name

STYLE = """text{font-family:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.back{fill:#ffffff}
.title{font-size:18px;font-weight:600}
.name,.label{font-size:12px}
.chosen{font-size:12px;font-weight:700}
.label,.chosen,.limit{paint-order:stroke;stroke:#ffffff;stroke-width:3px}
.small{font-size:11px;fill:#59636e}
.limit{font-size:11px;fill:#cf222e}
.grid{stroke:#d1d9e0;stroke-width:1}
.axis{fill:none;stroke:#59636e;stroke-width:1}
.line{fill:none;stroke-width:1.5;stroke-opacity:.65}
.hollow{fill:#ffffff;stroke:#59636e;stroke-width:1.5}
.ring{fill:none;stroke:#1f2328;stroke-width:1.5}
.dashed{stroke:#cf222e;stroke-width:1.5;stroke-dasharray:6 4}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}
.label,.chosen,.limit{stroke:#0d1117}
.back{fill:#0d1117}
.small{fill:#9198a1}
.limit{fill:#ff7b72}
.grid{stroke:#30363d}
.axis{stroke:#9198a1}
.hollow{fill:#0d1117;stroke:#9198a1}
.ring{stroke:#e6edf3}
.dashed{stroke:#ff7b72}
}
"""


def chart_head(width: int, height: int, *, title: str, words: str, style: str = "") -> list[str]:
    """Return the first lines of an SVG file: size, title and description for screen readers, styles, ground."""
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc">',
        f'<title id="title">{escaped(title)}</title>',
        f'<desc id="desc">{escaped(words)}</desc>',
        f"<style>{STYLE}{style}</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
    ]


def text(x: float, y: float, words: str, kind: str, *, anchor: str = "start", turned: bool = False) -> str:
    """Return words at a place; `turned` runs them upwards, as along a vertical axis."""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{escaped(words)}</text>'


def gridline(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a faint line across the chart."""
    return _line("grid", x1, y1, x2, y2)


def dashed(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a dashed line, for a limit."""
    return _line("dashed", x1, y1, x2, y2)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def escaped(words: str) -> str:
    """Return words that any XML may hold: markup escaped, characters that are not printable replaced."""
    return escape(clean_name(words))
