"""Writes what the documentation says of each price source, from what the source says of itself.

    python -m providers.documentation docs/providers.md .env.example

replaces what stands between the marks of those files. A test holds the files to the sources.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from .registry import load_providers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Provider, ProviderInfo

DOCUMENT_MARKS = ("<!-- providers -->", "<!-- end -->")
ENVIRONMENT_MARKS = ("# --- price sources ---", "# --- end ---")
ENVIRONMENT_WIDTH = 118


def provider_table(providers: Sequence[Provider]) -> str:
    """Return the table of the documentation, one row a source."""
    head = "| source | account | permissions | live | not checked |\n|---|---|---|---|---|\n"
    return head + "".join(_row(provider.info) for provider in providers)


def environment_block(providers: Sequence[Provider]) -> str:
    """Return the part of `.env.example` that the sources read: what each variable is, and its name, commented out."""
    lines: list[str] = []
    for provider in providers:
        info = provider.info
        extra = f" Needs the extra: pip install 'tunefare[{info.extra}]'." if info.extra else ""
        lines += ["", f"# {info.title}: account {info.account.value}.{extra}"]
        for item in info.variables:
            lines += textwrap.wrap(
                f"# {item.help}",
                ENVIRONMENT_WIDTH,
                subsequent_indent="#   ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            lines.append(f"# {item.name}=")
    return "\n".join(lines[1:]) + "\n"


def replaced(text: str, marks: tuple[str, str], block: str) -> str:
    """Return `text` with what stands between the marks replaced. Raises ValueError where the marks are missing."""
    first, last = marks
    if first not in text or last not in text:
        raise ValueError(f"the marks {first} and {last} are missing")
    before, rest = text.split(first, 1)
    return f"{before}{first}\n{block}{last}{rest.split(last, 1)[1]}"


def main(files: Sequence[str]) -> int:
    """Rewrite the files."""
    providers = load_providers()
    for name in files:
        path = Path(name)
        document = path.suffix == ".md"
        marks = DOCUMENT_MARKS if document else ENVIRONMENT_MARKS
        block = provider_table(providers) if document else environment_block(providers)
        path.write_text(replaced(path.read_text(encoding="utf-8"), marks, block), encoding="utf-8")
    return 0


def _row(info: ProviderInfo) -> str:
    names = ", ".join(f"`{item.name}`" for item in info.variables if not item.name.endswith("_ENDPOINT"))
    account = info.account.value + (f": {names}" if names else "")
    cells = (info.name, account, info.permissions, info.live, info.unverified)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
