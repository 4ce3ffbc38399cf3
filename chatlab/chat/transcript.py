"""A conversation as plain data that says what changes.

A transcript is a tree of message nodes, the id of the last node of the active path (`head`), and facts about
the session. Every change is one operation, a JSON-able list, handed to each listener in order:

    ["add", node]                    a new node; see `Node`
    ["delta", id, field, text]       more text for the field `text` or `reasoning`
    ["set", id, changes]             new values for some fields of a node
    ["head", id]                     the active path ends here (None: an empty conversation)
    ["describe", facts]              new values for some facts of the session

`state()` is the whole as one JSON-able value: a snapshot and the operations after it give the same state as
all operations. There is one lock, `lock`; listeners are called while it is held, so that operations reach
them in order, and must do no more than note the operation down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypedDict

from chatlab.errors import ChatlabError
from chatlab.values.events import ReasoningDelta, Retrying, StreamEvent, TextDelta
from chatlab.values.reply import Reply
from chatlab.values.usage import Cost

NodeStatus: TypeAlias = Literal["streaming", "complete", "partial", "stopped", "error"]
Op: TypeAlias = list[Any]
Listener: TypeAlias = Callable[[Op], None]


class Node(TypedDict):
    """One message. `facts` are those of `reply_facts`, empty until the answer ends."""

    id: str
    parent: str | None
    role: str
    text: str
    reasoning: str
    model: str | None
    status: str
    note: str | None  # what is being waited for, while it streams
    error: str | None  # why it failed, for the reader
    facts: dict[str, Any]


class Transcript:
    """The tree, its head and its facts. Every method may be called from any thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._nodes: dict[str, Node] = {}
        self._head: str | None = None
        self._facts: dict[str, Any] = {}
        self._ended: dict[str, Reply | None] = {}
        self._listeners: list[Listener] = []

    @property
    def head(self) -> str | None:
        """The id of the last message of the active path."""
        return self._head

    def add(
        self,
        node_id: str,
        parent_id: str | None,
        role: str,
        text: str = "",
        model: str | None = None,
        status: NodeStatus = "complete",
        reasoning: str = "",
    ) -> None:
        """Add a message and move the head to it."""
        node = Node(
            id=node_id,
            parent=parent_id,
            role=role,
            text=text,
            reasoning=reasoning,
            model=model,
            status=status,
            note=None,
            error=None,
            facts={},
        )
        with self.lock:
            self._nodes[node_id] = node
            self._emit(["add", deepcopy(node)])
            self.set_head(node_id)

    def apply(self, node_id: str, events: Sequence[StreamEvent]) -> None:
        """Take in events of an answer: one operation for each kind, however many events there are."""
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        reasoning = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
        retries = [event for event in events if isinstance(event, Retrying)]
        with self.lock:
            if retries:
                last = retries[-1]
                note = f"Attempt {last.attempt} failed: {last.reason}. Next in {last.wait_s:.1f} s."
                self._set(node_id, note=note)
            elif (text or reasoning) and self._nodes[node_id]["note"]:
                self._set(node_id, note=None)
            self._append(node_id, "reasoning", reasoning)
            self._append(node_id, "text", text)

    def finish(self, node_id: str, reply: Reply | None, error: ChatlabError | None) -> None:
        """End an answer with its reply, its error, or both; the session's total changes with it."""
        with self.lock:
            changes: dict[str, Any] = {"status": _status(reply, error), "note": None}
            changes["error"] = None if error is None else (str(error) or type(error).__name__)
            if reply is not None:
                node = self._nodes[node_id]
                whole = {"text": reply.text or reply.refusal, "reasoning": reply.reasoning}
                changes |= {field: value for field, value in whole.items() if node[field] != value}  # type: ignore[literal-required]  # both are fields of Node
                changes["facts"] = reply_facts(reply)
            self._ended[node_id] = reply
            self._set(node_id, **changes)
            self.describe(total=self._total())

    def set_head(self, node_id: str | None) -> None:
        """Say where the active path ends."""
        with self.lock:
            self._head = node_id
            self._emit(["head", node_id])

    def describe(self, **facts: Any) -> None:
        """Set facts of the session (model, tool, title, simulated, session_id, ...); values are JSON-able."""
        with self.lock:
            self._facts |= facts
            self._emit(["describe", facts])

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each operation from now on; returns what ends that."""
        with self.lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self.lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def state(self) -> dict[str, Any]:
        """Return a copy of all: `{"nodes": [...], "head": id, "facts": {...}}`, nodes as they were added."""
        with self.lock:
            whole = {"nodes": list(self._nodes.values()), "head": self._head, "facts": self._facts}
            return deepcopy(whole)

    def path(self) -> list[Node]:
        """Return copies of the active path's messages, first one first."""
        with self.lock:
            found: list[Node] = []
            at = self._head
            while at is not None and at in self._nodes:
                found.append(deepcopy(self._nodes[at]))
                at = self._nodes[at]["parent"]
            return found[::-1]

    def _append(self, node_id: str, field: Literal["text", "reasoning"], text: str) -> None:
        if text:
            self._nodes[node_id][field] += text
            self._emit(["delta", node_id, field, text])

    def _set(self, node_id: str, **changes: Any) -> None:
        self._nodes[node_id].update(changes)  # type: ignore[typeddict-item]  # callers name fields of Node
        self._emit(["set", node_id, deepcopy(changes)])

    def _emit(self, op: Op) -> None:
        for listener in list(self._listeners):
            listener(op)

    def _total(self) -> dict[str, Any]:
        """Sum what is known of the answers that ended here; say how many costs are not known."""
        replies = [reply for reply in self._ended.values() if reply is not None]
        known = [reply.cost for reply in replies if reply.cost.usd is not None]
        counts = [reply.usage.total_tokens if reply.usage else None for reply in replies]
        answers = sum(node["role"] == "assistant" for node in self._nodes.values())
        estimated = any(cost.basis == "estimated" for cost in known)
        usd = sum((cost.usd or Decimal() for cost in known), Decimal())
        total = Cost(usd=usd if known else None, basis="estimated" if estimated else "reported")
        return {
            "tokens": sum(count for count in counts if count is not None),
            "tokens_unknown": sum(count is None for count in counts),
            "cost": str(total),
            "cost_unknown": len(self._ended) - len(known),
            "earlier": answers - len(self._ended),  # answers of a resumed session, and one that streams
        }


def reply_facts(reply: Reply) -> dict[str, Any]:
    """Return what a reader wants to know of an answer, JSON-able; None is unknown, times are seconds."""
    usage = reply.usage
    return {
        "model": reply.served_model or reply.model,
        "provider": reply.provider,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "total_tokens": usage.total_tokens if usage else None,
        "reasoning_tokens": usage.reasoning if usage else None,
        "cache_read": usage.cache_read if usage else None,
        "cost": str(reply.cost),
        "cost_basis": reply.cost.basis,
        "first_token_s": reply.timings.first_token_s,
        "total_s": reply.timings.total_s,
        "tokens_per_second": reply.tokens_per_second,
        "finish_reason": reply.finish_reason,
        "attempts": reply.attempts,
        "simulated": reply.simulated,
        "left_out": reply.context.left_out if reply.context else 0,
        "warnings": list(reply.warnings),
    }


def _status(reply: Reply | None, error: ChatlabError | None) -> NodeStatus:
    if error is not None or reply is None:
        return "error"
    if reply.status == "completed":
        return "complete"
    return "stopped" if reply.status == "stopped" else "partial"
