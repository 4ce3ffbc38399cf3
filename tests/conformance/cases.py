"""The vocabulary of the matrix: an item has a number and probes, each a request and its end."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chatlab.errors import GatewayError
from chatlab.gateway.attempt import Timeouts
from chatlab.simulator.shapes import STORY


@dataclass(frozen=True)
class Pace:
    """How many times faster than real time everything goes, and when chatlab gives up, in its seconds."""

    speed: float = 100.0
    timeouts: Timeouts = field(default_factory=Timeouts)


PATIENT = Pace(timeouts=Timeouts(first_token=1000, byte_idle=1000, progress_idle=2000, total=9000))
"""No clock of ours runs out on a busy machine, and waits take no time."""
USUAL = Pace(speed=150)
"""The clocks are those that chatlab has by default."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One request. `model` is a script for the simulator, without `sim/`.

    `text` is all that the server says; a reply that is not complete must be a beginning of it, at least
    `least` characters long. `waits` bounds the wait before each retry, `check` sees the whole exchange.
    """

    model: str
    outcome: str = "completed"
    error: type[GatewayError] | None = None
    text: str = STORY
    least: int = 0
    attempts: int = 1
    basis: str = "unknown"
    says: tuple[str, ...] = ()
    waits: tuple[tuple[float, float], ...] = ()
    check: Callable[[Any], object] | None = None
    pace: Pace = PATIENT
    within: float = 3600.0  # seconds of the clock, all attempts and waits included
    valid: bool = False  # a whole answer, refused for its size or its slowness only


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item of the matrix: probes, or a `play` that does what no single request shows.

    `ends` says in the table how a play ends; `missing` names what will bring an item that cannot pass yet.
    """

    number: int
    title: str
    probes: tuple[Probe, ...] = ()
    play: Callable[[Any], object] | None = None
    ends: str = ""
    missing: str = ""

    @property
    def id(self):
        return f"{self.number:02d}-{'-'.join(re.findall('[a-z0-9]+', self.title.lower()))}"


def item(number, title, *probes, **more):
    return Item(number=number, title=title, probes=probes, **more)


def fine(model, **more):
    """A request that is answered in full, at the cost that the gateway reports."""
    return Probe(model=model, **{"basis": "reported", **more})


def recovers(model, **more):
    """A request whose first attempt fails before any output; the second is answered in full."""
    return Probe(model=f"{model}|fault=story", **{"attempts": 2, "basis": "reported", **more})


def breaks(model, error, **more):
    """A request whose answer breaks off; what had come is kept."""
    return Probe(model=model, **{"outcome": "error_during", "error": error, "least": 1, **more})


def refused(model, error, **more):
    """A request that ends without any answer; `attempts` is 3 when it was worth trying again."""
    return Probe(model=model, **{"outcome": "error_before", "error": error, "text": "", **more})
