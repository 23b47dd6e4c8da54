"""The CSV file of cases: read as people save it, written back as it came with the predictions beside it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

NEEDED = ("model", "method")
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """What a file holds. `names` are its column names as written, `rows` its cells, cut or filled to that width.

    `surplus` holds by position of the row what a row has beyond the header.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    surplus: Mapping[int, tuple[str, ...]]
    delimiter: str

    def cells(self) -> list[dict[str, str]]:
        """Return each row by column name, lower case and without blanks around it."""
        keys = [name.strip().lower() for name in self.names]
        return [dict(zip(keys, row, strict=True)) for row in self.rows]


def read_cases(path: Path) -> CaseFile:
    """Return what the file holds: separated by commas, semicolons or tabs, with or without a byte order mark.

    Raises JobError for a file that cannot be read, is not UTF-8, lacks the columns that every case needs, or names a
    column twice.
    """
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        allowed = f"a file in UTF-8 (a spreadsheet saves it as CSV UTF-8); byte {err.start} is not"
        raise JobError(where=where, key="--cases", value=path.name, allowed=allowed) from err
    except OSError as err:
        raise JobError(
            where=where, key="--cases", value=path.name, allowed=f"a readable CSV file ({err.strerror})"
        ) from err
    if not text.strip():
        raise JobError(where=where, key="--cases", value=path.name, allowed="a CSV file with a header; it is empty")
    delimiter = _delimiter(text.partition("\n")[0])
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if line]
    except csv.Error as err:
        raise JobError(where=where, key="--cases", value=path.name, allowed=f"a CSV file ({err})") from err
    names, width = tuple(lines[0]), len(lines[0])
    _check(names, where)
    return CaseFile(
        names=names,
        rows=tuple(tuple((*line, *[""] * width)[:width]) for line in lines[1:]),
        surplus={at: tuple(line[width:]) for at, line in enumerate(lines[1:]) if any(line[width:])},
        delimiter=delimiter,
    )


def write_cases(file: CaseFile, out: TextIO, predictions: Sequence[Mapping[str, str]], columns: Iterable[str]) -> None:
    """Write the rows back with `columns` of the predictions; what an earlier run put into those columns is replaced."""
    added = tuple(columns)
    kept = [at for at, name in enumerate(file.names) if name not in added]
    writer = csv.writer(out, delimiter=file.delimiter, lineterminator="\n")
    writer.writerow([*(file.names[at] for at in kept), *added])
    for row, prediction in zip(file.rows, predictions, strict=True):
        writer.writerow([*(row[at] for at in kept), *(prediction.get(name, "") for name in added)])


def _delimiter(header: str) -> str:
    """Return what separates the cells of the header: the sign that it holds most of."""
    return max(_DELIMITERS, key=lambda sign: (header.count(sign), -_DELIMITERS.index(sign)))


def _check(names: Sequence[str], where: str) -> None:
    keys = [name.strip().lower() for name in names]
    missing = [name for name in NEEDED if name not in keys]
    if missing:
        allowed = f"the columns {', '.join(missing)} are missing (docs/cases.md lists what is read)"
        raise JobError(where=where, key="header", value=",".join(names), allowed=allowed)
    twice = [name for name, count in Counter(keys).items() if name and count > 1]
    if twice:
        raise JobError(where=where, key="header", value=twice[0], allowed="one column of that name, not two")
