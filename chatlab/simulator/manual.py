"""The faults as text for people: what `chatlab simulator --help` prints below its options."""

from __future__ import annotations

from collections.abc import Iterable

from chatlab.simulator.scenarios import SCENARIOS
from chatlab.simulator.toxics import GROUPS, TOXICS, Group, Toxic

_NAME_WIDTH = 24

_INTRODUCTION = """\
Faults:
  Any client can ask for faults, by the name of the model:
    sim/crow+slice=1+reset=400
    sim/fault-story+gzip+limit=300
    sim/crow+status=429+retry-after=2|ok
  or by a request header, which also works where no model is named:
    X-Sim-Faults: slice=1, reset=400
  A | separates what happens to one attempt after the other; the last step
  stays. An attempt is the same request again. Values are percent-encoded where
  they hold a separator or a space. Whatever the order in which they are
  written, faults take effect in this one, those of timing as written:"""

_NOTES: dict[Group, str] = {
    "Framing and cuts": "  PLACE: head (before it), N (after N bytes of the body), end (after the last).",
}


def manual() -> str:
    """Describe how faults are asked for, and list all of them."""
    parts = [_INTRODUCTION]
    for group in GROUPS:
        toxics = (toxic for toxic in TOXICS.values() if toxic.group == group)
        note = [_NOTES[group]] if group in _NOTES else []
        parts.append("\n".join([f"{group}:", *_rows((_usage(toxic), toxic.does) for toxic in toxics), *note]))
    rows = _rows((name, scenario.does) for name, scenario in SCENARIOS.items())
    parts.append("\n".join(["Answers for fault=NAME and sim/fault-NAME:", *rows]))
    return "\n\n".join(parts) + "\n"


def _usage(toxic: Toxic) -> str:
    return f"{toxic.name}={toxic.argument}" if toxic.argument else toxic.name


def _rows(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"  {name:{_NAME_WIDTH}}{does}" for name, does in pairs]
