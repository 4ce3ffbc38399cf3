"""Hostile text loses its power over the terminal and keeps every word that could be seen."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatlab.cli.terminal import Neutraliser, safe_label, safe_text, styled

CASES = {
    "plain text, tabs and breaks stay": ("a\tb\nc", "a\tb\nc"),
    "colour": ("\x1b[1;31mred\x1b[0m", "red"),
    "cursor and screen": ("a\x1b[2J\x1b[1;1Hb", "ab"),
    "window title, closed by BEL": ("\x1b]0;owned\x07text", "text"),
    "clipboard, closed by ST": ("\x1b]52;c;cm0gLXJm\x1b\\text", "text"),
    "hidden link keeps its visible words": ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
    "device control string": ("\x1bPq#0\x1b\\x", "x"),
    "8-bit CSI": ("\x9b31mred", "red"),
    "8-bit OSC": ("\x9d0;owned\x9ctext", "text"),
    "character set and reset": ("\x1b(0\x1bctext", "text"),
    "one sequence inside another": ("\x1b[\x1b[31m31mx", "31mx"),
    "a title that never ends is shown": ("\x1b]0;title\nmore", "0;title\nmore"),
    "a short sequence inside a long one": ("\x901\x9b\\\x07x", "x"),
    "a sequence cut off by the end": ("a\x1b[31", "a31"),
    "backspace and bell": ("pass\x08\x08\x07word", "password"),
    "carriage return cannot overwrite": ("safe\rEVIL", "safe\nEVIL"),
    "CR LF is one break": ("a\r\nb", "a\nb"),
    "Unicode line separators": ("a\u2028b\u2029c\x85d", "a\nb\nc\nd"),
    "bidirectional override": ("user\u202e \u2066// admin\u2069", "user // admin"),
    "lone surrogate": ("a\ud800b", "a�b"),
    "other scripts and joined emoji stay": ("مرحبا 日本 👩‍💻", "مرحبا 日本 👩‍💻"),
}


@pytest.mark.parametrize(("hostile", "shown"), CASES.values(), ids=CASES.keys())
def test_text_is_neutralised_however_it_is_cut(hostile: str, shown: str) -> None:
    assert safe_text(hostile) == shown
    for cut in range(len(hostile) + 1):
        stream = Neutraliser()
        pieces = stream.feed(hostile[:cut]) + stream.feed(hostile[cut:]) + stream.end()
        assert pieces == shown, f"cut at {cut}"
    stream = Neutraliser()
    assert "".join(map(stream.feed, hostile)) + stream.end() == shown


@settings(max_examples=500)
@example(["\r", "\x9d", "\x07", "\n"])
@given(st.lists(st.text(alphabet=st.sampled_from("ab1;[]()\\m\x07\x1b\x9b\x9c\x9d\x90\r\n\u202e\ud800é"))))
def test_no_control_ever_comes_out_and_cuts_do_not_matter(pieces: list[str]) -> None:
    stream = Neutraliser()
    shown = "".join(map(stream.feed, pieces)) + stream.end()
    assert shown == safe_text("".join(pieces))
    assert all(c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs"} for c in shown)
    assert "\u202e" not in shown


def test_a_sequence_that_never_ends_does_not_hold_the_text_back() -> None:
    stream = Neutraliser()
    shown = stream.feed("\x1b]0;") + "".join(stream.feed("x" * 1000) for _ in range(10))
    assert shown.count("x") > 5000
    assert (shown + stream.end()).count("x") == 10_000


def test_a_label_is_one_visible_line() -> None:
    assert safe_label(" gpt\u200b-5\n\x1b[31m(fake)\ufeff\t ") == "gpt-5 (fake)"


def test_a_style_is_for_terminals_only() -> None:
    assert styled("x", "bold", io.StringIO()) == "x"
