"""Summaries: the first sentences of a text."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WISH = re.compile(
    r"\b(?:in|into|with|as)\s+(\d+|one|two|three|four|five)\s+(?:short\s+)?(sentence|bullet|line|point)"
)
_COUNTS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_REQUEST = re.compile(
    r"^\s*(?:please\s+|can you\s+|could you\s+)?(?:summari[sz]e|sum up|tl;?dr|give me a summary)\b",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^[^\n:]{0,120}(?::\s*|\n+)", re.DOTALL)
_INSTRUCTION = re.compile(
    r"\b(summ|sum up|tl;?dr|json|extract|return|find|give|read|following)", re.IGNORECASE
)
MAX_SENTENCES = 20


def asks_for_summary(prompt: str) -> bool:
    """Tell whether a prompt begins by asking for a summary."""
    return bool(_REQUEST.match(prompt))


def material(prompt: str) -> str:
    """Return the text a request is about: what follows its instruction up to a colon or line end, or all."""
    match = _LEAD.match(prompt)
    rest = prompt[match.end() :] if match and _INSTRUCTION.search(match[0]) else ""
    return rest.strip("\"'“”` \n") or prompt.strip()


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences."""
    return [sentence.strip() for sentence in _SENTENCE_END.split(text) if sentence.strip()]


def summarise(text: str, *, wish: str, sentences: int, bullets: bool, slip: float | None) -> str:
    """Return the first sentences; `wish` may ask for another number of them, or for bullet points.

    With a slip the last sentences are taken for the main ones.
    """
    match = _WISH.search(wish.lower())
    if match:
        sentences = min(int(_COUNTS.get(match[1], match[1])), MAX_SENTENCES)
    bullets = bullets or "bullet" in wish.lower()
    found = split_sentences(text) or [text]
    chosen = found[:sentences] if slip is None else found[-sentences:]
    return "\n".join(f"- {sentence}" for sentence in chosen) if bullets else " ".join(chosen)
