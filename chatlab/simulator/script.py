"""The language in which faults are asked for, and the counting of attempts that goes with it.

    slice=20 + delay=0.1                      toxics, separated by + or a comma, in a header with spaces
    status=429 + retry-after=2 | ok           steps for one attempt after the other; the last one stays
    status=503 + times=3 | fault=story        a step for three attempts

Values are percent-encoded where they hold a separator, a space or a byte that is no text. In a model name the
toxics follow the name: `sim/crow+slice=1+reset=400`; `sim/fault-NAME` is short for `sim/crow+fault=NAME`.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from chatlab.simulator.arguments import BadArgument
from chatlab.simulator.models import DEFAULT_MODEL
from chatlab.simulator.refusals import Refusal
from chatlab.simulator.scenarios import SCENARIOS
from chatlab.simulator.toxics import TOXICS, Toxic, rank
from chatlab.simulator.treatment import Treatment

FAULTS_HEADER = "x-sim-faults"
FAULT_MODEL = "sim/fault-"
REMEMBERED_ATTEMPTS = 20_000

_REPEATABLE = {"header"}


@dataclass(frozen=True, slots=True)
class Step:
    """Toxics with their arguments, in the order in which they take effect."""

    doses: tuple[tuple[Toxic, Any], ...]

    @property
    def times(self) -> int:
        """The number of attempts that this step is for."""
        return next((value for toxic, value in self.doses if toxic.name == "times"), 1)

    def apply(self, treatment: Treatment) -> None:
        """Add all toxics to the treatment of a response."""
        for toxic, value in self.doses:
            toxic.apply(treatment, value)


@dataclass(frozen=True, slots=True)
class Script:
    """Steps, one attempt after the other. `text` is how they were asked for."""

    text: str
    steps: tuple[Step, ...]

    def step(self, attempt: int) -> Step:
        """Return the step for an attempt, counted from 1; the last step is for all after it too."""
        left = attempt
        for step in self.steps:
            left -= step.times
            if left <= 0:
                return step
        return self.steps[-1]


def parse_script(text: str) -> Script:
    """Read a script. Raises Refusal, which names what is wrong and what would be right."""
    return Script(text, tuple(_parse_step(part) for part in text.split("|")))


def split_model(model: str) -> tuple[str, str | None]:
    """Split a model name into the model that answers and the script it carries, if it does."""
    match = re.fullmatch(r"(sim/[^+|]*)([+|].*)?", model, re.DOTALL)
    if match is None:
        return model, None
    base, script = match[1], (match[2] or "").removeprefix("+")
    if base.startswith(FAULT_MODEL):
        return DEFAULT_MODEL, f"fault={base.removeprefix(FAULT_MODEL)}" + (match[2] or "")
    return base, script or None


class Attempts:
    """Counts how often the same request came with the same script, so that a retry gets the next step."""

    def __init__(self) -> None:
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def count(self, script: Script, method: str, target: str, body: bytes) -> int:
        """Count one more attempt and return its number, from 1. The oldest requests are forgotten."""
        facts = f"{script.text}\0{method}\0{target}\0".encode("utf-8", "replace")
        key = hashlib.sha256(facts + body).digest()
        number = self._counts[key] = self._counts.get(key, 0) + 1
        self._counts.move_to_end(key)
        while len(self._counts) > REMEMBERED_ATTEMPTS:
            self._counts.popitem(last=False)
        return number


def _parse_step(text: str) -> Step:
    doses: list[tuple[Toxic, Any]] = []
    for item in re.split("[+,]", text):
        if item.strip():
            dose = _parse_dose(item.strip())
            if dose[0].name not in _REPEATABLE and any(dose[0] is toxic for toxic, _ in doses):
                raise Refusal(400, f"The toxic {dose[0].name} is given twice in {text.strip()!r}.")
            doses.append(dose)
    return Step(tuple(sorted(doses, key=lambda dose: rank(dose[0]))))


def _parse_dose(item: str) -> tuple[Toxic, Any]:
    name, _, argument = (part.strip() for part in item.partition("="))
    toxic = TOXICS.get(name)
    if toxic is None:
        raise Refusal(
            400, f"There is no toxic {name!r}. The nearest is {_nearest(name, list(TOXICS))!r}. {_SEE}"
        )
    if name == "fault" and argument not in SCENARIOS:
        nearest = _nearest(argument, list(SCENARIOS))
        raise Refusal(400, f"There is no fault {argument!r}. The nearest is {nearest!r}. {_SEE}")
    try:
        return toxic, toxic.read(argument)
    except BadArgument as problem:
        raise Refusal(400, f"The toxic {name} takes {problem}, not {argument!r}.") from None


_SEE = "`chatlab simulator --help` lists them all."


def _nearest(name: str, known: list[str]) -> str:
    return difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
