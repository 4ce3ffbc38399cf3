"""Event streams as servers of every kind write them: a fixed story, and ways to tell it.

Everything is the same from run to run, so that a test may compare bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

STORY_ID = "gen-1790000000-story"
STORY_PIECES = ("The", " moon", " pulls", " at the", " sea", ".")
STORY = "".join(STORY_PIECES)
DONE = b"data: [DONE]\n\n"

_FACTS: Mapping[str, Any] = {
    "id": STORY_ID,
    "object": "chat.completion.chunk",
    "created": 1_790_000_000,
    "model": "sim/crow",
    "provider": "Simulator",
}
USAGE: Mapping[str, Any] = {
    "prompt_tokens": 9,
    "completion_tokens": 6,
    "total_tokens": 15,
    "cost": 0.0000135,
    "is_byok": False,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
    "cost_details": {"upstream_inference_cost": 0.0000135},
}


def data(value: Any, *, name: str | None = None) -> bytes:
    """Write one event with a JSON value, or with a text as it is; `name` is its event name."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return (f"event: {name}\n" if name else "").encode() + b"data: " + text.encode() + b"\n\n"


def chunk(*choices: Any, **facts: Any) -> bytes:
    """Write one chunk with these choices; `facts` stand beside them."""
    return data({**_FACTS, "choices": list(choices), **facts})


def choice(delta: Any, finish: str | None = None, *, index: int = 0, **facts: Any) -> dict[str, Any]:
    """Compose a choice."""
    return {"index": index, "delta": delta, "finish_reason": finish, **facts}


def piece(text: Any, finish: str | None = None, **facts: Any) -> bytes:
    """Write a chunk with a piece of text."""
    return chunk(choice({"role": "assistant", "content": text}, finish), **facts)


def told(pieces: Iterable[str] = STORY_PIECES, **facts: Any) -> bytes:
    """Write the story without its end."""
    return b"".join(piece(text, **facts) for text in pieces)


def ended(finish: str | None = "stop", *, usage: Any = USAGE, **facts: Any) -> bytes:
    """Write the end as OpenRouter does: the finish, the finish again with the usage, the end mark."""
    return piece("", finish) + piece("", finish, usage=usage, **facts) + DONE


def deltas(*several: Any, finish: str | None = "stop") -> bytes:
    """Write a stream with these deltas, one in a chunk."""
    return b"".join(chunk(choice(delta)) for delta in several) + ended(finish)


def tool_calls(*calls: Any, finish: str = "tool_calls") -> bytes:
    """Write a stream whose deltas carry these lists of tool calls."""
    return deltas(
        *({"role": "assistant", "content": None, "tool_calls": some} for some in calls), finish=finish
    )


def call(index: int | None = None, call_id: str | None = None, name: str | None = None,
         arguments: Any = None, **facts: Any) -> dict[str, Any]:  # fmt: skip
    """Compose a delta of a tool call, with the parts that are not None."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    parts = {"index": index, "id": call_id, "type": "function" if name else None}
    return {key: value for key, value in parts.items() if value is not None} | {"function": function, **facts}


def huge_story(size: int) -> bytes:
    """Write a stream whose first event, blank line included, has exactly `size` bytes."""
    empty = len(piece(""))
    return piece("x" * max(0, size - empty)) + ended()
