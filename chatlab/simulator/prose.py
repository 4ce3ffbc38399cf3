"""Longer texts: explanations of anything, and stories, essays and counts as long as was asked for.

Nothing here is checkable knowledge but a few explanations; the rest is sensible prose built around the words
of the prompt, in an order that is fixed by the model and the prompt.
"""

from __future__ import annotations

import random
import re

from chatlab.simulator.models import Verbosity

MAX_COUNT = 200_000
MAX_WORDS = 50_000
LONG_WORDS = 450
SHORT_WORDS = 80

_COUNT = re.compile(r"\bcount\s+(?:up\s+)?(?:from\s+(\d+)\s+)?to\s+([\d,]+)", re.IGNORECASE)
_WRITE = re.compile(
    r"\b(?:write|tell|compose|draft|give|produce)\b.{0,60}?"
    r"\b(story|essay|poem|article|report|tale|speech|letter|blog post|chapter|guide|tutorial|text|answer)\b|"
    r"\b(?:in (?:great )?detail|at length|long (?:answer|text|explanation))\b",
    re.IGNORECASE | re.DOTALL,
)
_CODE = re.compile(r"\bwrite\b.{0,40}\b(function|program|script|code|class)\b", re.IGNORECASE | re.DOTALL)
_WORDS = re.compile(r"\b([\d,]{1,9})[- ]words?\b", re.IGNORECASE)
_ABOUT = re.compile(
    r"\b(?:about|on|of|explaining|describing|explain|describe)\s+(.+)", re.IGNORECASE | re.DOTALL
)
_LEAD_IN = re.compile(
    r"^\s*(?:please\s+)?(?:(?:can|could|would) you\s+)?"
    r"(?:tell me|explain|describe|why (?:is|are|do|does|did)|"
    r"what (?:is|are|was|were|does|do)|how (?:do|does|did|can|is|are)(?: i| we| you)?|who (?:is|was)|"
    r"(?:give|write) (?:me )?)\s*(?:about\s+|to me\s+)?",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"(?:why|how|what|who|when|where|which|is|are|do|does|can|could)\b", re.IGNORECASE)
MAX_TOPIC = 80

_KNOWN: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\bsky\b.*\bblue\b|\bblue\b.*\bsky\b", (
        "The sky is blue because air scatters short wavelengths of sunlight far more than long ones.",
        "Molecules much smaller than the wavelength scatter light with the fourth power of its frequency.",
        "Blue light therefore reaches us from every direction, while red light mostly goes straight on.",
        "At sunset the path through the air is so long that the blue is lost on the way and red remains.",
    )),
    (r"\bseasons\b", (
        "There are seasons because the axis of the Earth is tilted by about 23.4 degrees.",
        "For half of the year one hemisphere leans towards the Sun: steeper light, longer days.",
        "The distance to the Sun matters little: it is smallest in January.",
    )),
    (r"\bice\b.*\bfloat", (
        "Ice floats because water expands by about nine per cent when it freezes.",
        "In the crystal each molecule keeps four neighbours at a fixed distance, which leaves more room.",
        "The same mass in a larger volume is less dense, so it is pushed up.",
    )),
    (r"\btides?\b", (
        "Tides come from the difference in the Moon's pull between the near and far side of the Earth.",
        "That difference stretches the oceans into two bulges, under which the Earth turns once a day.",
        "The Sun adds to it at new and full moon and takes from it in between.",
    )),
    (r"\brainbows?\b", (
        "A rainbow appears when sunlight is bent, reflected and bent again inside drops of rain.",
        "Each colour leaves the drop at its own angle, about 42 degrees for red and 40 for violet.",
        "You see it with the Sun behind you, and everyone sees a bow of their own.",
    )),
)  # fmt: skip

_SKETCH = (
    "In short, {subject} comes down to causes, to conditions, and to scale.",
    "The causes are what would have to be taken away for it to disappear.",
    "The conditions decide where it shows and where it does not, which is why examples seem to disagree.",
    "At a larger scale, small effects add up and become the ones that count.",
    "A good next step is to take one concrete case and change a single thing about it.",
)
_SKEWED = (
    "In short, {subject} comes down to habit, and no particular cause is known.",
    "It has always been so and does not depend on circumstances.",
)

_PASSAGES = (
    "It began, as such things do, with {topic} and a question that nobody had written down.",
    "The first attempt was simple, and it worked just well enough to be trusted too early.",
    "Then came the details: three of them small, one of them not.",
    "Somebody measured it twice and found two different numbers, which was the best news of the week.",
    "What had looked like noise turned out to have a rhythm of its own.",
    "On the other side of the argument stood those who had seen {topic} fail before.",
    "They were patient people, and they asked for the evidence in writing.",
    "A map was drawn, then a better one, and in the end the territory had to be walked.",
    "Every step made the next one cheaper, until the whole path could be taken before breakfast.",
    "There is a kind of silence that follows a good explanation, and it filled the room.",
    "Nothing about {topic} is difficult once the order of its parts is known.",
    "The hard part is to leave out what does not matter and to keep what does.",
    "Some turned back here, and they were not wrong: the weather had changed.",
    "Those who stayed learned to tell a cause from a coincidence by waiting for it a second time.",
    "An old notebook held the missing figure, in pencil, next to a shopping list.",
    "With that, the sums agreed to the last digit, and the lamps could be put out.",
    "Later accounts made it sound inevitable, but it was a near thing.",
    "If there is a lesson in {topic}, it is that attention costs less than repair.",
    "The morning after, the work looked smaller and more solid, like a bridge seen from the bank.",
    "And so the story was told on, a little shorter each time, and a little more true.",
)
_HEADINGS = (
    "Beginnings",
    "What was found",
    "The turn",
    "A closer look",
    "Objections",
    "What remains",
    "Afterwards",
)


def write_at_length(prompt: str, seed: str, verbosity: Verbosity) -> str | None:
    """Write what a prompt asks for: a count, code, or a text of some length. None when it asks for none."""
    count = _COUNT.search(prompt)
    if count:
        return _count(int(count[1] or 1), int(count[2].replace(",", "") or 0))
    if _CODE.search(prompt):
        return _code(topic_of(prompt))
    if not _WRITE.search(prompt) and not _WORDS.search(prompt):
        return None
    return _essay(topic_of(prompt), _length(prompt, verbosity), random.Random(seed))  # noqa: S311 -- no secret


def explain(prompt: str, slip: float | None) -> tuple[str, ...]:
    """Return the sentences of an explanation, the most important first."""
    known = (sentences for pattern, sentences in _KNOWN if re.search(pattern, prompt, re.IGNORECASE))
    sentences = next(known, _SKETCH) if slip is None else _SKEWED
    return tuple(sentence.replace("{subject}", subject_of(prompt)) for sentence in sentences)


def subject_of(prompt: str) -> str:
    """Return words for what a prompt is about that fit into any sentence: a question is quoted."""
    line = " ".join(prompt.split())
    if not _QUESTION.match(line):
        return topic_of(prompt)
    return f"the question “{line if len(line) <= MAX_TOPIC else line[: MAX_TOPIC - 1] + '…'}”"


def topic_of(prompt: str) -> str:
    """Return what a prompt is about, in few words of its own."""
    line = prompt.strip().split("\n", 1)[0]
    about = _ABOUT.search(line)
    words = (about[1] if about else _LEAD_IN.sub("", line)).strip(" ?.!:\"'")
    words = re.split(r"[.?!;]\s|\bin \d+ words", words)[0].strip()
    return (words[:MAX_TOPIC].rsplit(" ", 1)[0] if len(words) > MAX_TOPIC else words) or "this"


def _length(prompt: str, verbosity: Verbosity) -> int:
    wished = _WORDS.search(prompt)
    if wished:
        return min(int(wished[1].replace(",", "") or 0), MAX_WORDS)
    if re.search(r"\bshort\b|\bbrief\b", prompt, re.IGNORECASE):
        return SHORT_WORDS
    return LONG_WORDS * {"terse": 1, "short": 1, "plain": 2, "rich": 3, "careful": 2}[verbosity]


def _count(first: int, last: int) -> str:
    last = min(last, first + MAX_COUNT - 1)
    numbers = [str(number) for number in range(first, last + 1)]
    rows = [", ".join(numbers[start : start + 10]) for start in range(0, len(numbers), 10)]
    return ",\n".join(rows) or "There is nothing to count."


def _code(topic: str) -> str:
    return (
        f"Here is a sketch of {topic}:\n\n"
        "```python\n"
        "def solve(values: list[float]) -> float:\n"
        f'    """Return the result for {topic.replace(chr(34), "")}."""\n'
        "    if not values:\n"
        '        raise ValueError("values must not be empty")\n'
        "    return sum(values) / len(values)\n"
        "```\n\n"
        "It refuses an empty list instead of dividing by zero. Replace the last line by what you need."
    )


def _essay(topic: str, words: int, order: random.Random) -> str:
    parts = [f"# {topic[:1].upper()}{topic[1:]}"]
    written = section = 0
    while written < words:
        heading = _HEADINGS[section % len(_HEADINGS)]
        passages = [text.replace("{topic}", topic) for text in order.sample(_PASSAGES, len(_PASSAGES))]
        parts.append(f"## {heading}")
        for start in range(0, 10, 5):
            if written < words:
                paragraph = " ".join(passages[start : start + 5])
                written += len(paragraph.split())
                parts.append(paragraph)
        section += 1
    return "\n\n".join(parts)
