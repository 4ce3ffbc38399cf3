"""A conversation as plain HTML, for where the widget cannot live: saved notebooks, nbconvert, a code host.

It is made of what the widget was sent, so it has passed the same sanitiser. Its size has a limit: the latest
messages that fit are kept, and what was left out is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from chatlab.ui.labels import Label
from chatlab.ui.markdown import plain, to_html
from chatlab.ui.projection import FIELDS
from chatlab.values.reply import Reply

LIMIT_CHARACTERS = 200_000  # of the HTML of one conversation
QUIET = "color: gray; font-size: 85%"
QUESTION = "white-space: pre-wrap; border-left: 3px solid gray; padding-left: 0.8em; margin: 0.8em 0"


def static_html(state: Mapping[str, Any], *, limit: int = LIMIT_CHARACTERS) -> str:
    """Return the active path of a projection's state as HTML of about `limit` characters at most."""
    path = _path(state)
    messages: list[str] = []
    room = limit
    for node in reversed(path):
        html = _message(node)
        room -= len(html)
        if room < 0:
            break
        messages.insert(0, html)
    left_out = len(path) - len(messages)
    session = escape(str(state["facts"].get("session_id", "")))
    if left_out:
        messages.insert(
            0, _quiet(f"{left_out} longer or earlier messages are in the store, session {session}")
        )
    mark = _quiet("SIMULATED: answers of the built-in simulator") if state["facts"].get("simulated") else ""
    return f'<div class="chatlab-static">{mark}{"".join(messages)}</div>'


def reply_html(reply: Reply) -> str:
    """Return one reply as HTML, its footer under it."""
    line = escape(plain(reply.footer()))
    return f"<div>{to_html(reply.text or reply.refusal)}{_quiet(line)}</div>"


def _path(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    nodes = {node["id"]: node for node in state["nodes"]}
    path: list[Mapping[str, Any]] = []
    at = state["head"]
    while at in nodes:
        path.insert(0, nodes[at])
        at = nodes[at]["parent"]
    return path


def _message(node: Mapping[str, Any]) -> str:
    if node["role"] == "user":
        return f'<div style="{QUESTION}">{escape(node["said"])}</div>'
    text, reasoning = ("".join(node["body"][field][0]) + node["body"][field][1] for field in FIELDS)
    folded = f"<details><summary>Reasoning</summary>{reasoning}</details>" if reasoning else ""
    ending = "" if node["status"] == "complete" else _quiet(escape(f"{node['status']} {node['error']}"))
    return f"<div>{_quiet(escape(node['model']))}{folded}{text}{ending}{_labels(node['footer'])}</div>"


def _labels(labels: Sequence[Label]) -> str:
    return _quiet(escape(" · ".join(label["text"] for label in labels))) if labels else ""


def _quiet(html: str) -> str:
    return f'<p style="{QUIET}">{html}</p>'
