"""Rows in three forms: an aligned table for people, JSON for programs, CSV for spreadsheets.

An amount that is not known is shown as `unknown` in a table, null in JSON and an empty cell in CSV; never
as 0. Money keeps all its digits in JSON (as text) and CSV; a table rounds it for the eye.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from chatlab.cli.terminal import safe_label
from chatlab.values.usage import format_usd

if TYPE_CHECKING:
    from pandas import DataFrame

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n")
_LONGEST_CELL = 60  # columns of a terminal; longer cells end in an ellipsis


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of plain Python values; what is not known is None."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, frame: DataFrame) -> Table:
        """Take the rows of a dataframe, with NaN, NaT and NA as None, and days as dates."""
        plain = frame.astype(object).where(frame.notna(), None)
        for column in frame.select_dtypes("datetime"):
            # The store's moments have a time zone: what has none is a DATE, which pandas cannot hold.
            if (frame[column].dropna() == frame[column].dropna().dt.normalize()).all():
                plain[column] = [None if value is None else value.date() for value in plain[column]]
        rows = tuple(plain.itertuples(index=False, name=None))
        return cls(tuple(str(column) for column in frame.columns), rows)

    def only(self, columns: Sequence[str]) -> Table:
        """Keep these columns, in this order."""
        places = [self.columns.index(column) for column in columns]
        return Table(tuple(columns), tuple(tuple(row[place] for place in places) for row in self.rows))

    def text(self, *, longest_cell: int | None = _LONGEST_CELL) -> str:
        """Align the rows under their headings; numbers to the right. Ends with a line break."""
        names = [safe_label(column) for column in self.columns]
        cells = [
            [_shorten(_cell(name, value), longest_cell) for name, value in zip(names, row, strict=True)]
            for row in self.rows
        ]
        numeric = [
            any(_is_number(row[place]) for row in self.rows)
            and all(row[place] is None or _is_number(row[place]) for row in self.rows)
            for place in range(len(names))
        ]
        widths = [max(map(_width, column)) for column in zip(names, *cells, strict=True)]
        rules = ["-" * width for width in widths]
        return "".join(_line(row, widths, numeric) for row in (names, rules, *cells))

    def json(self) -> str:
        """Give a list of objects, one line per row; money and other decimals as text, times as ISO 8601."""
        lines = ",\n ".join(
            json_text(dict(zip(self.columns, map(_json_value, row), strict=True))) for row in self.rows
        )
        return f"[{lines}]\n"

    def csv(self) -> str:
        """Give RFC 4180 lines under a heading, with text that a spreadsheet would run as a formula quoted."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([_inert(column) for column in self.columns])
        writer.writerows([_csv_value(value) for value in row] for row in self.rows)
        return out.getvalue()


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Write JSON that keeps every script readable, yet holds no character a terminal would act on."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=_json_value)
    if text.isascii():
        return text
    return "".join(char if _is_shown(char) else _escaped(char) for char in text)


def _is_shown(char: str) -> bool:
    # Cc, Cf: controls, bidirectional marks; Cs: lone surrogates; Zl, Zp: line and paragraph separators.
    return char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float | list | dict):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return value.tolist()
    return str(value)


def _inert(text: str) -> str:
    # A lone CR would end the line for some readers, and the csv module does not quote it.
    one_break = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{one_break}" if one_break.startswith(_FORMULA_STARTS) else one_break


def _csv_value(value: Any) -> Any:
    plain = _json_value(value)
    if plain is None:
        return ""
    if isinstance(plain, list | dict):
        return json_text(plain)
    # Only text can be a formula: a negative number has to stay a number.
    return _inert(plain) if isinstance(value, str) else plain


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "unknown" if "usd" in column.lower() or "cost" in column.lower() else "-"
    if isinstance(value, Decimal):
        return format_usd(value) if "usd" in column.lower() else format(value.normalize(), "f")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    plain = _json_value(value)
    return safe_label(json_text(plain) if isinstance(plain, list | dict) else str(plain))


def _shorten(text: str, longest: int | None) -> str:
    if longest is None or _width(text) <= longest:
        return text
    while _width(text) > longest - 1:
        text = text[:-1]
    return text + "…"


def _width(text: str) -> int:
    """Count the columns a terminal uses: none for combining marks, two for wide East Asian characters."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _line(cells: Iterable[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = []
    for cell, width, right in zip(cells, widths, numeric, strict=True):
        space = " " * (width - _width(cell))
        padded.append(space + cell if right else cell + space)
    return "  ".join(padded).rstrip() + "\n"
