"""Gives responses the faults that were asked for, and sends answers that take the place of the real one."""

from __future__ import annotations

import random

from chatlab.ports import Clock
from chatlab.simulator.connection import Request, Response
from chatlab.simulator.refusals import usual_refusal
from chatlab.simulator.script import Attempts, Script
from chatlab.simulator.treatment import Treatment
from chatlab.simulator.wire import json_bytes

_EVENT_STREAM = "text/event-stream"
_LARGEST_PIECE = 64 * 1024  # bytes


class Faults:
    """The faults of one server; it remembers attempts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attempts = Attempts()

    async def befall(self, script: Script, request: Request, response: Response) -> bool:
        """Add a script's faults to a response; tell whether they answered the request themselves.

        A response may be given two scripts, one by a header and one by its model: the second is added to the
        first.
        """
        number = self._attempts.count(script, request.method, request.target, request.body)
        treatment = response.treatment or Treatment(
            attempt=number,
            draw=random.Random(f"0/{number}"),  # noqa: S311 -- no secret
            now=self._clock.now(),
        )
        treatment.attempt = number
        script.step(number).apply(treatment)
        response.treat(treatment, self._clock)
        if treatment.body is None and treatment.status in {None, 200}:
            return False
        await _answer(treatment, response)
        return True


async def _answer(treatment: Treatment, response: Response) -> None:
    status, body = treatment.status or 200, treatment.body
    if body is None and status >= 400:
        refusal = usual_refusal(status)
        await response.send(status, json_bytes(refusal.body()), headers=refusal.headers)
        return
    usual = _EVENT_STREAM if status < 300 else "application/json"
    content_type = treatment.headers.get("content-type", usual)
    if status == 204 or not content_type.startswith(_EVENT_STREAM):
        await response.send(status, body or b"", content_type=content_type)
        return
    response.start(status, content_type=content_type, headers={})
    for piece in _pieces(body or b""):
        await response.write(piece)
    await response.write(b"", last=True)


def _pieces(body: bytes) -> list[bytes]:
    """Cut a body after each event, as a server would write it, and large events into pieces."""
    events = [event + b"\n\n" for event in body.split(b"\n\n")]
    events[-1] = events[-1].removesuffix(b"\n\n")
    return [
        event[at : at + _LARGEST_PIECE] for event in events for at in range(0, len(event), _LARGEST_PIECE)
    ]
