"""From a request to the text of its answer: skills are asked in turn, and the family words what they found.

Pure: the same request and number give the same answer. Whether it is right depends only on the model and the
prompt; a temperature above 0 changes the phrasing, by the seed or else by the number of the request.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from chatlab.simulator import conversation, extraction, prose, summary
from chatlab.simulator.arithmetic import find_arithmetic
from chatlab.simulator.capitals import FOLLOW_UP, find_capital
from chatlab.simulator.finding import Finding, Skill
from chatlab.simulator.models import Verbosity
from chatlab.simulator.request import CompletionRequest
from chatlab.simulator.units import find_conversion

_SKILLS: tuple[Skill, ...] = (find_conversion, find_arithmetic, find_capital)

_WANTS_JSON = re.compile(r"\bjson\b", re.IGNORECASE)
_IS_TUTOR = re.compile(r"\b(tutor|socratic|guiding question)", re.IGNORECASE)
_IS_SUMMARISER = re.compile(r"\bsummar", re.IGNORECASE)
_WANTS_VALUE = re.compile(
    r"\b(only|just|nothing but)\b.{0,40}\b(answer|number|value|name|word|result|city|letter)\b|"
    r"\b(answer|number|value|name|word|result|city|letter)s?\b.{0,20}\b(only|alone)\b|\bnothing else\b|"
    r"\bno explanation\b|\bone word\b|\bsingle word\b",
    re.IGNORECASE | re.DOTALL,
)

_OPENERS = ("", "Sure. ", "Of course. ", "Gladly. ", "Let us see. ", "Here you are. ")
_SENTENCES: dict[Verbosity, int] = {"terse": 1, "short": 2, "plain": 2, "rich": 3, "careful": 2}
_EXPLAINED: dict[Verbosity, int] = {"terse": 1, "short": 2, "plain": 3, "rich": 5, "careful": 5}


@dataclass(frozen=True, slots=True)
class Answer:
    """A composed answer; `reasoning` is what a reasoning model thinks before it."""

    text: str
    reasoning: str = ""


def compose_answer(request: CompletionRequest, *, number: int) -> Answer:
    """Answer a request; `number` counts the requests of a server and varies the phrasing of unseeded ones."""
    text, finding = _answer(request)
    exact = request.wants_json or _WANTS_VALUE.search(f"{request.system}\n{request.prompt}")
    if not exact and not text.startswith(("{", "#", "`", "|")):
        text = _opener(request, number) + text
    return Answer(text, _reasoning(request.prompt, finding) if request.reasons else "")


def _answer(request: CompletionRequest) -> tuple[str, Finding | None]:
    """Return the text, and the finding behind it when it answers a checkable question."""
    prompt, asked, system, family = request.prompt, request.asked, request.system, request.family
    slip = family.slip(prompt)
    if request.wants_json or _WANTS_JSON.search(system) or _WANTS_JSON.search(asked):
        return _json_answer(request, slip), None
    if _IS_SUMMARISER.search(system) or summary.asks_for_summary(prompt):
        return _summary(request, slip), None
    talk = conversation.recall(asked, request.earlier_prompts) or conversation.small_talk(asked, family)
    if talk:
        return talk, None
    finding = _find(request, slip)
    if _IS_TUTOR.search(system):
        return _guide(asked, finding), finding
    if finding is not None:
        bare = _WANTS_VALUE.search(f"{system}\n{asked}")
        return (finding.value if bare else _word(finding, family.verbosity)), finding
    long_text = prose.write_at_length(asked, f"{family.model}\0{prompt}", family.verbosity)
    return long_text or _material_note(request) or _explanation(request, slip), None


def _find(request: CompletionRequest, slip: float | None) -> Finding | None:
    for skill in _SKILLS:
        finding = skill(request.asked, slip)
        if finding is not None:
            return finding
    earlier = request.earlier_prompts
    if earlier and FOLLOW_UP.match(request.asked) and "capital" in " ".join(earlier[-3:]).lower():
        return find_capital(f"capital of {request.asked}", slip)
    return None


def _json_answer(request: CompletionRequest, slip: float | None) -> str:
    text = summary.material(request.prompt)
    fields = request.json_fields or extraction.asked_fields(
        request.prompt.removesuffix(text), request.prompt, request.system
    )
    answer = extraction.extract_json(text, fields, slip)
    asked_by_prompt_alone = not request.wants_json and not _WANTS_JSON.search(request.system)
    if asked_by_prompt_alone and request.family.verbosity == "rich":
        return f"```json\n{answer}\n```"
    return answer


def _summary(request: CompletionRequest, slip: float | None) -> str:
    prompt, verbosity = request.prompt, request.family.verbosity
    text = summary.material(prompt) if summary.asks_for_summary(prompt) else prompt
    return summary.summarise(
        text,
        wish=f"{prompt.removesuffix(text)}\n{request.system}",
        sentences=_SENTENCES[verbosity],
        bullets=verbosity == "rich",
        slip=slip,
    )


def _guide(prompt: str, finding: Finding | None) -> str:
    if finding is not None:
        return f"Let us work it out together. {finding.hint}"
    subject = prose.subject_of(prompt)
    return f"Good. Before I say more about {subject}: what do you already know, and what puzzles you most?"


def _word(finding: Finding, verbosity: Verbosity) -> str:
    if verbosity == "terse":
        return finding.value
    if verbosity == "short":
        return finding.sentence
    if verbosity == "plain":
        return f"{finding.sentence} {finding.steps[1]}"
    if verbosity == "careful":
        return f"{finding.sentence}\n\n" + "\n".join(
            f"{number}. {step}" for number, step in enumerate(finding.steps, start=1)
        )
    return _markdown(finding)


def _markdown(finding: Finding) -> str:
    steps = "\n".join(f"- {step}" for step in finding.steps)
    table = f"| Question | Answer |\n|---|---|\n| {finding.question} | **{finding.value}** |"
    code = f"\n\n```python\n{finding.code}\n```" if finding.code else ""
    return f"## {finding.topic}\n\n**{finding.sentence}**\n\n{steps}\n\n{table}{code}"


def _explanation(request: CompletionRequest, slip: float | None) -> str:
    verbosity = request.family.verbosity
    first, *others = prose.explain(request.prompt, slip)[: _EXPLAINED[verbosity]]
    note = _attachment_note(request)
    if verbosity != "rich":
        return " ".join([first, *others]) + note
    points = "\n".join(f"- {sentence}" for sentence in others)
    return f"**{first}**\n\n{points}{note}"


def _material_note(request: CompletionRequest) -> str:
    if request.asked == request.prompt:
        return ""
    lines = len(request.prompt.replace(request.asked, "").strip().splitlines())
    return f"I have the {lines} lines that came with “{request.asked}”. I am simulated and cannot judge them."


def _attachment_note(request: CompletionRequest) -> str:
    if not any(turn.attachments for turn in request.turns):
        return ""
    return " (I am simulated and cannot look at attachments.)"


def _opener(request: CompletionRequest, number: int) -> str:
    if request.temperature <= 0:
        return ""
    seed = number if request.seed is None else f"seed {request.seed}"
    draw = random.Random(f"{request.family.model}\0{request.prompt}\0{seed}")  # noqa: S311 -- no secret
    return draw.choice(_OPENERS)


def _reasoning(prompt: str, finding: Finding | None) -> str:
    line = " ".join(prompt.split())
    shown = line if len(line) <= 100 else line[:99] + "…"
    if finding is None:
        return (
            f"The user writes: “{shown}”. I should see what is wanted, how long an answer fits, and what I "
            "can say that holds. The most important thing comes first; what was not asked is left out."
        )
    steps = " ".join(finding.steps)
    return f"The user writes: “{shown}”. {steps} Let me check that. Yes, I come to {finding.value} again."
