"""What of a conversation is sent: pure, with a report of what was left out.

Tokens are estimated at four characters each plus four for a message's frame, the rule of thumb that the
large providers publish for English text; the gateway's own count comes with the reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from chatlab.errors import ContextTooLong
from chatlab.tools import HistoryLimits
from chatlab.values.messages import Message, Reasoning, Text, ToolCall, system
from chatlab.values.reply import ContextReport

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4


def estimate_tokens(message: Message) -> int:
    """Estimate the input tokens of one message."""
    characters = 0
    for part in message.parts:
        match part:
            case Text(text) | Reasoning(text):
                characters += len(text)
            case ToolCall(_, name, arguments):
                characters += len(name) + len(arguments)
    return ceil(characters / CHARACTERS_PER_TOKEN) + TOKENS_PER_MESSAGE


def build_context(
    *, system_prompt: str | None, history: Sequence[Message], prompt: Message, limits: HistoryLimits
) -> tuple[tuple[Message, ...], ContextReport]:
    """Choose the messages to send: system prompt, as many of the latest as fit, and the new one.

    `limits.max_messages` counts messages of the history, `limits.max_tokens` the estimated tokens of
    everything sent. The kept history begins with a user message, since gateways refuse an answer without
    its question. Exchanges that got no answer are left out. Raises ContextTooLong when the system prompt
    and the new message alone exceed the token limit.
    """
    fixed = [system(system_prompt)] if system_prompt else []
    spent = sum(estimate_tokens(message) for message in (*fixed, prompt))
    if limits.max_tokens is not None and spent > limits.max_tokens:
        raise ContextTooLong(
            f"the message needs about {spent} tokens with its system prompt, the limit (the tool's"
            f" history.max_tokens) is {limits.max_tokens}: shorten the message or raise the limit",
            needed=spent,
            limit=limits.max_tokens,
        )
    answered = _answered(history)
    kept, tokens = _latest_that_fit(answered, limits, spent)
    messages = (*fixed, *kept, prompt)
    report = ContextReport(
        included=len(messages),
        left_out=len(answered) - len(kept),
        estimated_tokens=tokens,
        limit_messages=limits.max_messages,
        limit_tokens=limits.max_tokens,
    )
    return messages, report


def _latest_that_fit(
    history: Sequence[Message], limits: HistoryLimits, tokens: int
) -> tuple[Sequence[Message], int]:
    count = len(history) if limits.max_messages is None else min(limits.max_messages, len(history))
    first = len(history)
    for index in range(len(history) - 1, len(history) - count - 1, -1):
        needed = estimate_tokens(history[index])
        if limits.max_tokens is not None and tokens + needed > limits.max_tokens:
            break
        tokens += needed
        first = index
    while first < len(history) and history[first].role != "user":
        tokens -= estimate_tokens(history[first])
        first += 1
    return history[first:], tokens


def _answered(history: Sequence[Message]) -> list[Message]:
    """Keep the exchanges that have an answer: gateways refuse an empty message, and two questions in a row.

    An answer is empty without text and tool calls, also when it was stopped while the model still thought. A
    question has none at all when its process died.
    """
    kept: list[Message] = []
    for message in history:
        if message.role == "user" and kept and kept[-1].role == "user":
            kept.pop()
        if message.role != "assistant" or _says_something(message):
            kept.append(message)
    if kept and kept[-1].role == "user":
        kept.pop()
    return kept


def _says_something(message: Message) -> bool:
    return any(isinstance(part, ToolCall) or (isinstance(part, Text) and part.text) for part in message.parts)
