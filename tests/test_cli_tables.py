"""Rows are aligned for people, exact for programs and harmless for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas as pd
import pytest

from chatlab.cli.tables import Table, json_text


def test_a_table_is_aligned_and_never_shows_unknown_cost_as_zero() -> None:
    table = Table(
        ("model", "calls", "cost_usd", "first_token_s"),
        (("sim/crow", 12, Decimal("0.001234000000"), 0.25), ("sim/owl", 3, None, None)),
    )
    assert table.text() == (
        "model     calls  cost_usd  first_token_s\n"
        "--------  -----  --------  -------------\n"
        "sim/crow     12    0.0012           0.25\n"
        "sim/owl       3   unknown              -\n"
    )


def test_a_cell_is_one_harmless_line_of_limited_width() -> None:
    table = Table(("text",), (("a\x1b[2Jb\n\u202ec" + "x" * 100,), ("日本",)))
    lines = table.text(longest_cell=10).splitlines()
    assert lines[2:] == ["ab cxxxxx…", "日本"]


def test_a_wide_script_keeps_the_columns_aligned() -> None:
    table = Table(("city", "n"), (("東京", 1), ("Rome", 22)))
    assert table.text().splitlines()[2:] == ["東京   1", "Rome  22"]


def test_an_empty_table_still_names_its_columns() -> None:
    assert Table(("a", "bb"), ()).text() == "a  bb\n-  --\n"
    assert Table(("a",), ()).json() == "[]\n"
    assert Table(("a",), ()).csv() == "a\n"


def test_json_keeps_money_exact_and_unknown_null() -> None:
    at = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    table = Table(("cost_usd", "at", "n"), ((Decimal("0.000001230000"), at, 3), (None, None, None)))
    assert json.loads(table.json()) == [
        {"cost_usd": "0.000001230000", "at": "2026-11-20T12:00:00+00:00", "n": 3},
        {"cost_usd": None, "at": None, "n": None},
    ]


def test_json_holds_no_character_that_a_terminal_acts_on_and_loses_none() -> None:
    hostile = {"text": "é日本\x1b[31m\x9b\u202e\ud800\u2028"}
    text = json_text(hostile)
    assert "é日本" in text
    assert not set(text) & set("\x1b\x9b\u202e\ud800\u2028")
    assert json.loads(text) == hostile


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-cmd", "'-cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\n=1"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("plain = text", "plain = text"),
        (-5, "-5"),
        (Decimal("-0.25"), "-0.25"),
        (None, ""),
    ],
)
def test_csv_cells_cannot_be_formulas_and_numbers_stay_numbers(value: object, cell: str) -> None:
    text = Table(("=name",), ((value,), ("last",))).csv()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [["'=name"], [cell], ["last"]]


def test_a_dataframe_gives_plain_values_with_none_for_what_is_missing() -> None:
    frame = pd.DataFrame(
        {
            "n": pd.array([1, None], dtype="Int64"),
            "x": [0.5, float("nan")],
            "t": pd.to_datetime(["2026-11-20T12:00:00Z", None]),
            "day": pd.to_datetime(["2026-11-20", None]),
            "d": [Decimal("0.1"), None],
        }
    )
    table = Table.of(frame)
    assert table.columns == ("n", "x", "t", "day", "d")
    assert table.rows[0][2] == datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    assert table.rows[0][3] == date(2026, 11, 20)
    assert table.rows[0][0] == 1
    assert table.rows[0][4] == Decimal("0.1")
    assert table.rows[1] == (None, None, None, None, None)
    assert table.only(["d", "n"]).rows[1] == (None, None)
