"""A front end in Python: what the page does with the bridge's messages, without a page.

The reducer is the same as `reduce` in static/chat.js; one table of cases tests both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatlab.ui.streaming import apply_patch


class Front:
    """Follows the messages of one bridge. `ask` sends a message back; it is called for every gap."""

    def __init__(self, name: str = "front", ask: Callable[[dict[str, Any]], object] | None = None) -> None:
        self.name = name
        self.nodes: dict[str, dict[str, Any]] = {}
        self.head: str | None = None
        self.facts: dict[str, Any] = {}
        self.gaps = 0
        self._ask = ask
        self._next: int | None = None  # None: a snapshot is needed

    def receive(self, message: dict[str, Any]) -> None:
        """Take in one message."""
        if message["t"] == "snap":
            self._load(message)
        elif message["t"] == "ops" and self._next is not None:
            if message["seq"] != self._next:
                self.gaps += 1
                self._next = None
                if self._ask is not None:
                    self._ask({"t": "ready", "name": self.name})
                return
            self._next += 1
            for op in message["ops"]:
                self._apply(op)

    def html(self, node_id: str, field: str = "text") -> str:
        """Return the HTML of a message as it stands."""
        closed, opened = self.nodes[node_id]["body"][field]
        return "".join(closed) + str(opened)

    def state(self) -> dict[str, Any]:
        """Return what is known, in the form of a snapshot."""
        return {"nodes": list(self.nodes.values()), "head": self.head, "facts": self.facts}

    def _load(self, message: dict[str, Any]) -> None:
        if message["to"] != self.name and self._next is not None:
            return
        state = message["state"]
        self.nodes = {node["id"]: node for node in state["nodes"]}
        self.head, self.facts, self._next = state["head"], dict(state["facts"]), message["seq"]

    def _apply(self, op: list[Any]) -> None:
        match op:
            case ["add", node]:
                self.nodes[node["id"]] = node
            case ["body", node_id, field, patch]:
                closed, opened = self.nodes[node_id]["body"][field]
                self.nodes[node_id]["body"][field] = list(apply_patch(closed, opened, patch))
            case ["set", node_id, changes]:
                self.nodes[node_id].update(changes)
            case ["head", node_id]:
                self.head = node_id
            case ["describe", facts]:
                self.facts.update(facts)
