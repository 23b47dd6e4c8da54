"""Help pages whose options stand under headings, written by Typer's plain formatter: no rich, no 100 ms."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

LAST = "Output"
"""The group that ends every page; options of Typer's own (--help) stand in it."""


PAIR = re.compile(r"--(\S+) / --no-\1\b")
"""A switch and its negation, written as one: `--[no-]packing`."""


class GroupedCommand(TyperCommand):
    """A command whose options are listed under their `rich_help_panel`, in the order in which panels first occur."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options of the command to `formatter`, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            argument = getattr(param, "param_type_name", "") == "argument"
            panel = "Arguments" if argument else getattr(param, "rich_help_panel", None) or LAST
            names, text = record
            if argument:
                # Typer writes the type behind the name; a file is a file.
                names = names.split()[0]
            groups.setdefault(panel, []).append((PAIR.sub(r"--[no-]\1", names), text))
        for panel in sorted(groups, key=lambda name: name == LAST):
            with formatter.section(panel):
                formatter.write_dl(groups[panel])
