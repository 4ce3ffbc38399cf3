"""Sessions and messages read back as the values they were written from. Blocks: for worker threads only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import duckdb

from chatlab.errors import NotFound
from chatlab.ports import StoredMessage, StoredSession, UnsettledAttempt
from chatlab.store.connection import translated
from chatlab.store.site import Site
from chatlab.store.sql import named
from chatlab.values.messages import Message, Part, Reasoning, Text, ToolCall
from chatlab.values.records import SessionOpened


class Reader:
    """Reads values, each time in a shared lease of its own."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def session(self, session_id: str) -> StoredSession | None:
        """Find a session by its id or by an unambiguous beginning of at least 4 characters."""
        with self._site.reading() as connection, translated(self._site.path):
            found = _dicts(connection.execute(named("session"), {"session_id": session_id}))
        if len(found) > 1 and found[0]["session_id"] != session_id:
            candidates = ", ".join(repr(row["session_id"]) for row in found[:5])
            more = " and others" if len(found) > 5 else ""
            raise NotFound(
                f"Several sessions begin with {session_id!r}: {candidates}{more}. Give more of the id."
            )
        return _session(found[0]) if found else None

    def latest_session(self) -> StoredSession | None:
        """Find the session that changed last."""
        with self._site.reading() as connection, translated(self._site.path):
            found = _dicts(connection.execute(named("latest_session")))
        return _session(found[0]) if found else None

    def thread(self, session_id: str) -> list[StoredMessage]:
        """Read the active path of a session, first message first; empty when there is none."""
        with self._site.reading() as connection, translated(self._site.path):
            path = _dicts(connection.execute(named("path"), {"session_id": session_id}))
            parts = _parts(connection, [row["message_id"] for row in path])
        return [_message(row, parts.get(row["message_id"], [])) for row in path]

    def unsettled(self, gateway: str, since: datetime) -> list[UnsettledAttempt]:
        """Read the attempts whose bill can still be asked for; see queries/unsettled.sql."""
        values = {"gateway": gateway, "since": since}
        with self._site.reading() as connection, translated(self._site.path):
            found = _dicts(connection.execute(named("unsettled"), values))
        return [UnsettledAttempt(**row) for row in found]


def _dicts(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _session(row: Mapping[str, Any]) -> StoredSession:
    facts = {name: row[name] for name in SessionOpened.__slots__ if name != "params"}
    opened = SessionOpened(**facts, params=json.loads(row["params"]))
    return StoredSession(opened=opened, updated_at=row["updated_at"], head=row["head"])


def _parts(connection: duckdb.DuckDBPyConnection, message_ids: list[str]) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for row in _dicts(connection.execute(named("parts"), {"message_ids": message_ids})):
        found.setdefault(row["message_id"], []).append(_part(row))
    return found


def _part(row: Mapping[str, Any]) -> Part:
    if row["kind"] == "text":
        return Text(row["text"])
    if row["kind"] == "reasoning":
        return Reasoning(row["text"], tuple(json.loads(row["details"] or "[]")))
    return ToolCall(row["tool_call_id"], row["tool_name"], row["text"])


def _message(row: Mapping[str, Any], parts: list[Part]) -> StoredMessage:
    return StoredMessage(
        message_id=row["message_id"],
        parent_id=row["parent_id"],
        seq=row["seq"],
        message=Message(row["role"], tuple(parts)),
        status=row["status"],
        created_at=row["created_at"],
        call_id=row["call_id"],
        model=row["model"],
    )
