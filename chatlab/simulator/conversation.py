"""Small talk, and what was said earlier in the same conversation."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chatlab.simulator.models import Family

_NAME_TOLD = re.compile(r"\b(?:[Mm]y name is|[Cc]all me|[Ii] am called)\s+([A-ZÀ-Þ][\w'’-]*|\w+)")
_NAME_ASKED = re.compile(r"\b(what(?:'s| is| was) my name|who am i)\b", re.IGNORECASE)
_JUST_ASKED = re.compile(
    r"\bwhat (?:did i (?:just |last )?(?:ask|say)|was my (?:last|previous|first) (?:question|message))",
    re.IGNORECASE,
)
_FIRST = re.compile(r"\bfirst\b", re.IGNORECASE)

_SMALL_TALK: tuple[tuple[str, str], ...] = (
    (
        r"(?:hi|hello|hey|good (?:morning|afternoon|evening)|greetings)\b.{0,30}",
        "Hello! What shall we work on?",
    ),
    (r".{0,12}how are you.{0,20}", "I am well, thank you. What can I do for you?"),
    (r"(?:many )?(?:thanks|thank you)\b.{0,30}", "You are welcome."),
    (r"(?:bye|goodbye|good ?bye|see you)\b.{0,20}", "Goodbye, until next time."),
    (r"(?:ok|okay|fine|good|great|cool|nice)\W*", "Good. What comes next?"),
    (r"(?:ping|test|testing)\W*", "I am here."),
)
_WHO_ARE_YOU = re.compile(
    r"\b(who|what) are you\b|\bwhat(?:'s| is) your name\b|\bwhich model\b|\bare you (?:real|an? \w+)",
    re.IGNORECASE,
)
_WHAT_CAN_YOU_DO = re.compile(r"\bwhat can you do\b|\bhow can you help\b|^\s*help\W*$", re.IGNORECASE)


def recall(prompt: str, earlier: Sequence[str]) -> str | None:
    """Answer questions about the conversation itself; None when it is none."""
    if _NAME_ASKED.search(prompt):
        told = [match[1] for text in earlier for match in _NAME_TOLD.finditer(text)]
        return f"Your name is {told[-1]}." if told else "You have not told me your name yet."
    if _JUST_ASKED.search(prompt):
        if not earlier:
            return "This is the first thing you have asked me."
        return f"You asked: “{earlier[0] if _FIRST.search(prompt) else earlier[-1]}”"
    told_now = _NAME_TOLD.search(prompt)
    if told_now and "?" not in prompt:
        return f"Nice to meet you, {told_now[1]}. I will remember your name."
    return None


def small_talk(prompt: str, family: Family) -> str | None:
    """Answer a greeting and the like; None when it is none."""
    if _WHO_ARE_YOU.search(prompt):
        return f"I am {family.model}, a simulated model inside chatlab. {family.description}"
    if _WHAT_CAN_YOU_DO.search(prompt):
        return (
            "I can do arithmetic, name capital cities, convert units, summarise a text, extract facts as "
            "JSON, and write long answers on any topic. I am simulated, so nothing I say costs money."
        )
    stripped = prompt.strip()
    for pattern, answer in _SMALL_TALK:
        if re.fullmatch(pattern, stripped, re.IGNORECASE | re.DOTALL):
            return answer
    return None
