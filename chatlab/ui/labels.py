"""What a reader is told about an answer and about a conversation, in words: the same in every view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from chatlab.ui.markdown import plain

Label: TypeAlias = dict[str, str]
"""`text` is what is shown, `title` says more; `kind` is its style: model, tokens, cost, time or warning."""

BASIS = {
    "reported": "as the gateway reported it",
    "estimated": "an estimate from list prices: the gateway reported no cost",
    "unknown": "neither the gateway nor the price book knows it; it counts as unknown, not as nothing",
}
ENDINGS = {
    "length": "the token limit was reached",
    "content_filter": "a content filter ended it",
    "tool_calls": "the model asks for a tool",
    "error": "the model's provider reported an error",
}


def footer(facts: Mapping[str, Any], *, asked: str | None = None) -> list[Label]:
    """Say what stands under an answer: tokens, cost, times and whatever was unusual.

    `asked` is the model that was asked, which stands above the answer; another one that served it is named.
    """
    if not facts:
        return []
    served = [_served(facts)] if facts["model"] != asked else []
    return [*served, _tokens(facts), _cost(facts), *_times(facts), *_unusual(facts)]


def session_total(total: Mapping[str, Any] | None) -> Label | None:
    """Say what the answers of a conversation came to, and what that sum leaves out."""
    if not total:
        return None
    tokens, cost = f"{total['tokens']:,} tokens", "cost unknown"
    if total["cost"] != "unknown":
        cost = total["cost"]
        if total["cost_unknown"]:
            cost += f" + {total['cost_unknown']} unknown"
    left_out = f"; {total['earlier']} earlier answers are not counted" if total["earlier"] > 0 else ""
    uncounted = f"; {total['tokens_unknown']} without a token count" if total["tokens_unknown"] else ""
    title = f"Sum of the answers in this chat{uncounted}{left_out}"
    return _label(f"{tokens} · {cost}", title, "total")


def _served(facts: Mapping[str, Any]) -> Label:
    provider = f" at {facts['provider']}" if facts["provider"] else ""
    return _label(plain(facts["model"]), f"The model that served it{plain(provider)}", "model")


def _tokens(facts: Mapping[str, Any]) -> Label:
    count_in, count_out = facts["input_tokens"], facts["output_tokens"]
    if count_in is None and count_out is None:
        return _label("tokens unknown", "The gateway sent no token counts", "tokens")
    parts = {"of it read from cache": facts["cache_read"], "of it reasoning": facts["reasoning_tokens"]}
    more = "".join(f", {count:,} {what}" for what, count in parts.items() if count)
    shown = f"{_count(count_in)} in + {_count(count_out)} out"
    return _label(shown, f"Tokens: {shown}{more}", "tokens")


def _cost(facts: Mapping[str, Any]) -> Label:
    basis = facts["cost_basis"]
    shown = "cost unknown" if basis == "unknown" else f"{facts['cost']} {basis}"
    return _label(shown, f"Cost: {BASIS[basis]}", "cost")


def _times(facts: Mapping[str, Any]) -> list[Label]:
    labels = []
    if facts["first_token_s"] is not None:
        whole = f"; {facts['total_s']:.2f} s in all" if facts["total_s"] is not None else ""
        labels.append(
            _label(f"first token {facts['first_token_s']:.2f} s", f"Time to first token{whole}", "time")
        )
    if facts["tokens_per_second"] is not None:
        speed = facts["tokens_per_second"]
        labels.append(_label(f"{speed:,.0f} tok/s", "Output tokens per second after the first", "time"))
    return labels


def _unusual(facts: Mapping[str, Any]) -> list[Label]:
    labels = []
    if facts["finish_reason"] in ENDINGS:
        title = ENDINGS[facts["finish_reason"]]
        labels.append(_label(f"ended by {facts['finish_reason']}", f"The answer ended: {title}", "warning"))
    if facts["attempts"] > 1:
        labels.append(
            _label(f"{facts['attempts']} attempts", "HTTP requests that this answer took", "warning")
        )
    if facts["left_out"]:
        shown = f"{facts['left_out']} older messages not sent"
        labels.append(_label(shown, "They exceeded the history limits of the tool", "warning"))
    labels += [_label("warning", plain(warning), "warning") for warning in facts["warnings"]]
    return labels


def _count(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def _label(text: str, title: str, kind: str) -> Label:
    return {"text": text, "title": title, "kind": kind}
