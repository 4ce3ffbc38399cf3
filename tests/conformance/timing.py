"""Items 74-79: silence, signs of life that are none, and clocks that are set."""

import time

from chatlab.errors import ResponseTimedOut
from chatlab.gateway.attempt import Timeouts
from chatlab.values.events import TextDelta
from tests.conformance.cases import USUAL, Pace, breaks, fine, item
from tests.conformance.world import World, check_exchange

BRIEF = Pace(timeouts=Timeouts(first_token=1000, byte_idle=1000, progress_idle=1000, total=100))
ONE_STALL = {"pace": USUAL, "within": 600}


def during_a_stream(place, model, pace, happen):
    """Let something happen after the first piece of an answer, and return the exchange."""
    with World(place.folder, pace) as world:
        events = []
        for event in world.lab.stream("Why?", model=model):
            if isinstance(event, TextDelta) and not any(isinstance(e, TextDelta) for e in events):
                happen(world.clock)
            events.append(event)
        return world.exchange(events)


def wall_clock_is_set(place):
    def set_back(clock):
        clock.set_wall(-86_400)

    exchange = during_a_stream(place, "sim/fault-story+delay=5", USUAL, set_back)
    check_exchange(exchange, fine("fault-story+delay=5"))
    assert 0 < exchange.reply.timings.first_token_s < exchange.reply.timings.total_s < 600


def machine_is_suspended(place):
    began = time.monotonic()
    exchange = during_a_stream(place, "sim/fault-story+stall=700", USUAL, lambda clock: clock.suspend(3600))
    check_exchange(exchange, breaks("fault-story+stall=700", ResponseTimedOut, within=9000))
    assert time.monotonic() - began < 30


ITEMS = (
    item(
        74,
        "stall after the first token",
        breaks("fault-story+stall=700", ResponseTimedOut, says=("not a byte came for 90 s",), **ONE_STALL),
    ),
    item(
        75,
        "comments for ever",
        breaks("fault-story+drip=700", ResponseTimedOut, says=("did not go on for 180 s",), **ONE_STALL),
    ),
    item(
        76,
        "empty deltas for ever",
        breaks(
            "fault-story+drip-empty=700", ResponseTimedOut, says=("did not go on for 180 s",), **ONE_STALL
        ),
    ),
    item(
        77,
        "the whole takes too long",
        breaks(
            "fault-story+rate=5+slice=5", ResponseTimedOut, valid=True, says=("within 100 s",), pace=BRIEF
        ),
    ),
    item(78, "wall clock set back", play=wall_clock_is_set, ends="completed; durations are right"),
    item(79, "machine suspended", play=machine_is_suspended, ends="ResponseTimedOut, partial kept"),
)
