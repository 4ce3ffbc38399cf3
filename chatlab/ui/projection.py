"""What a front end is told of a transcript: the same tree, with safe HTML in place of Markdown.

Operations go out in the form they came in, but for text: answers and reasoning become patches of HTML,
`["body", id, field, patch]` (see `streaming`), and an answer that has ended gets its footer in words. A
question stays text: front ends show it as such.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chatlab.chat.transcript import Node, Op
from chatlab.ui.labels import footer, session_total
from chatlab.ui.markdown import plain
from chatlab.ui.streaming import GrowingDocument

FIELDS = ("text", "reasoning")


@dataclass(frozen=True, slots=True)
class Scope:
    """The one exchange to show: the first question after the message `after`, and its answers."""

    after: str | None


class Projection:
    """The view's side of one transcript, or of one exchange of it.

    Not thread-safe: its bridge calls it one at a time.
    """

    def __init__(self, scope: Scope | None = None) -> None:
        self._scope = scope
        self._question: str | None = None  # the question of the scope, once it is there
        self._nodes: dict[str, dict[str, Any]] = {}
        self._documents: dict[tuple[str, str], GrowingDocument] = {}
        self._grown: dict[tuple[str, str], None] = {}  # documents with text not yet rendered, in order
        self._head: str | None = None
        self._facts: dict[str, Any] = {}

    def load(self, state: dict[str, Any]) -> None:
        """Begin with the state of a transcript."""
        ops: list[Op] = [["add", node] for node in state["nodes"]]
        self.project([*ops, ["head", state["head"]], ["describe", state["facts"]]])

    def state(self) -> dict[str, Any]:
        """Return the whole as the front end should have it."""
        nodes = [node | {"body": self._bodies(node["id"])} for node in self._nodes.values()]
        return {"nodes": nodes, "head": self._head, "facts": dict(self._facts)}

    def project(self, ops: Iterable[Op]) -> list[Op]:
        """Follow the transcript and return what the front end needs for it."""
        out: list[Op] = []
        for op in ops:
            if not self._concerns(op):
                continue
            if op[0] == "delta":
                self._document(op[1], op[2]).feed(op[3])
                self._grown[op[1], op[2]] = None
                continue
            out += self._render_grown()  # text must not move across another operation
            out += self._follow(op)
        return out + self._render_grown()

    def _concerns(self, op: Op) -> bool:
        match op:
            case ["describe", _]:
                return True
            case ["head", None]:
                return self._scope is None
            case ["add", node]:
                return self._scope is None or self._in_scope(self._scope, node)
            case [_, node_id, *_]:
                return node_id in self._nodes
        return False

    def _in_scope(self, scope: Scope, node: Node) -> bool:
        if self._question is None and node["role"] == "user" and node["parent"] == scope.after:
            self._question = node["id"]
        return self._question is not None and self._question in (node["id"], node["parent"])

    def _follow(self, op: Op) -> list[Op]:
        match op:
            case ["add", node]:
                return self._add(node)
            case ["set", node_id, changes]:
                return self._set(node_id, changes)
            case ["head", node_id]:
                self._head = node_id
                return [op]
            case ["describe", facts]:
                return self._describe(facts)
        raise ValueError(f"no such operation: {op[0]!r}")

    def _add(self, source: Node) -> list[Op]:
        spoken = source["role"] != "assistant"
        node = {
            "id": source["id"],
            "parent": source["parent"],
            "role": source["role"],
            "model": plain(source["model"] or ""),
            "status": source["status"],
            "note": plain(source["note"] or ""),
            "error": plain(source["error"] or ""),
            "said": plain(source["text"]) if spoken else "",
            "footer": footer(source["facts"], asked=source["model"]),
        }
        self._nodes[source["id"]] = node
        if not spoken:
            for field in FIELDS:
                self._load_document(source["id"], field, source)
        return [["add", node | {"body": self._bodies(source["id"])}]]

    def _load_document(self, node_id: str, field: str, source: Node) -> None:
        document = self._documents[node_id, field] = GrowingDocument()
        document.feed(str(source[field]))  # type: ignore[literal-required]  # FIELDS are fields of Node
        if source["status"] == "streaming":
            document.patch()
        else:
            document.finish()

    def _set(self, node_id: str, changes: dict[str, Any]) -> list[Op]:
        out: list[Op] = []
        shown: dict[str, Any] = {
            name: plain(changes[name] or "") for name in ("note", "error") if name in changes
        }
        if "status" in changes:
            shown["status"] = changes["status"]
        if "facts" in changes:
            shown["footer"] = footer(changes["facts"], asked=self._nodes[node_id]["model"])
        for field in FIELDS:
            if field in changes:  # the text as a whole, not what was streamed
                self._documents[node_id, field] = GrowingDocument()
                self._documents[node_id, field].feed(changes[field])
                out.append(["body", node_id, field, [0, [], 0, 0, ""]])
        if changes.get("status", "streaming") != "streaming":
            for field in FIELDS:
                patch = self._document(node_id, field).finish()
                out += [["body", node_id, field, patch]] if patch else []
        self._nodes[node_id].update(shown)
        return [*out, ["set", node_id, shown]]

    def _describe(self, facts: dict[str, Any]) -> list[Op]:
        shown: dict[str, Any] = {
            name: plain(value) if isinstance(value, str) else value for name, value in facts.items()
        }
        if "total" in shown:
            shown["total"] = session_total(shown["total"])
        self._facts |= shown
        return [["describe", shown]]

    def _render_grown(self) -> list[Op]:
        grown, self._grown = self._grown, {}
        patches = [(node_id, field, self._document(node_id, field).patch()) for node_id, field in grown]
        return [["body", node_id, field, patch] for node_id, field, patch in patches if patch]

    def _document(self, node_id: str, field: str) -> GrowingDocument:
        return self._documents.setdefault((node_id, field), GrowingDocument())

    def _bodies(self, node_id: str) -> dict[str, list[Any]]:
        """Return closed blocks and open HTML of each field."""
        bodies = {}
        for field in FIELDS:
            _, closed, _, _, opened = self._document(node_id, field).whole()
            bodies[field] = [closed, opened]
        return bodies
