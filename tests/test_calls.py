"""One call through its attempts: what is committed when, what is retried, and what a stop keeps."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from chatlab.calls.call import Call
from chatlab.calls.driver import SAVE_TRIES, CallDriver
from chatlab.calls.routes import Routes
from chatlab.calls.stopping import StopSignal
from chatlab.clock import ManualClock
from chatlab.errors import GatewayFault, RateLimited, RequestRejected, StoreBusy, StoreUnwritable
from chatlab.ports import Estimate
from chatlab.values.events import Done, Failed, HeadersReceived, Retrying, TextDelta
from chatlab.values.messages import user
from chatlab.values.records import (
    AttemptEnded,
    AttemptHeaders,
    AttemptStarted,
    CallOpened,
    CostEstimate,
    SessionChanged,
    UsageReport,
)
from chatlab.values.reply import AttemptResult, Timings
from chatlab.values.request import ChatRequest
from chatlab.values.usage import Charge, Cost, Usage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CALL = Call(request=ChatRequest("a/b", (user("Hello"),)))
BEFORE = SessionChanged(session_id="s", updated_at=NOON, title="before")
AFTER = SessionChanged(session_id="s", updated_at=NOON, title="after")


class ScriptedAttempt:
    """Plays batches, then ends with a result; `None` among the batches waits for ever."""

    def __init__(self, batches, outcome="completed", **facts):
        self.batches = batches
        self.ended = False
        self.closed = False
        self.text = ""
        self.outcome = outcome
        self.facts = facts

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exception):
        self.closed = True

    async def __aiter__(self):
        for batch in self.batches:
            if batch is None:
                await asyncio.Event().wait()
            self.text += "".join(event.text for event in batch if isinstance(event, TextDelta))
            yield batch
        self.ended = True

    def result(self):
        facts = self.facts if self.ended else {}
        outcome = self.outcome if self.ended else "stopped"
        return AttemptResult(outcome=outcome, timings=Timings(started_at=NOON), text=self.text, **facts)


def failing(error, *batches):
    return ScriptedAttempt(batches, "error_during" if batches else "error_before", error=error)


class ScriptedGateway:
    name = "scripted"

    def __init__(self, *attempts):
        self.attempts = list(attempts)
        self.requests = []

    def attempt(self, request):
        self.requests.append(request)
        return self.attempts[len(self.requests) - 1]


class ListStore:
    """Keeps every commit; the commits whose numbers are in `refuse` raise instead."""

    def __init__(self, refuse=(), error=StoreBusy):
        self.commits = []
        self.asked = 0
        self.refuse = refuse
        self.error = error

    async def commit(self, *records):
        self.asked += 1
        if self.asked in self.refuse:
            raise self.error("held by another process")
        self.commits.append(records)

    def kinds(self):
        return [[type(record).__name__ for record in commit] for commit in self.commits]


class FixedPrices:
    def estimate(self, model, provider, usage, at):
        return Estimate(usd=Decimal("0.25"), source="book 1")


HEADERS = [HeadersReceived(200, "gen-1")]


class Run:
    """A call that was driven to its end."""

    def __init__(self, gateway, store=None, stop_at=None):
        self.gateway, self.store, self.events = gateway, store or ListStore(), []
        self.clock = ManualClock()
        self.stop = StopSignal()
        self.stop_at = stop_at
        self.error = self.reply = None
        asyncio.run(self._drive())

    async def _drive(self):
        driver = CallDriver(
            gateway=self.gateway,
            store=self.store,
            prices=FixedPrices(),
            clock=self.clock,
            routes=Routes(clock=self.clock, random=lambda: 1.0),
            random=lambda: 1.0,
        )
        try:
            self.reply = await driver.run(
                CALL, self._emit, self.stop, before=[BEFORE], after=lambda reply: [AFTER], message_id="m"
            )
        except Exception as error:
            self.error = error

    def _emit(self, batch):
        self.events.extend(batch)
        if self.stop_at is not None and any(isinstance(event, self.stop_at) for event in batch):
            asyncio.get_running_loop().call_soon(self.stop.stop)

    def ends(self):
        return [event for event in self.events if isinstance(event, Done | Failed)]


def test_everything_before_sending_is_one_commit_and_the_end_is_another():
    run = Run(ScriptedGateway(ScriptedAttempt([HEADERS, [TextDelta("Hi")]])))
    assert run.store.kinds() == [
        ["SessionChanged", "CallOpened", "AttemptStarted"],
        ["AttemptHeaders"],
        ["AttemptEnded", "SessionChanged"],
    ]
    opened, headers = run.store.commits[0][1], run.store.commits[1][0]
    assert isinstance(opened, CallOpened)
    assert opened.request_sha256.startswith("sha256:")
    assert headers == AttemptHeaders(
        attempt_id=run.reply.attempt_id, t_headers=headers.t_headers, http_status=200, generation_id="gen-1"
    )
    assert run.reply.text == "Hi"
    assert run.events[-1] == Done(run.reply)
    assert len(run.ends()) == 1


def test_the_reported_cost_comes_before_the_list_price():
    usage = Usage(input_tokens=3, output_tokens=4)
    charge = Charge(reported_usd=Decimal("0.5"))
    run = Run(ScriptedGateway(ScriptedAttempt([HEADERS], usage=usage, charge=charge)))
    assert run.reply.cost == Cost(usd=Decimal("0.5"), basis="reported")
    kinds = [type(record) for record in run.store.commits[-1]]
    assert kinds == [AttemptEnded, UsageReport, CostEstimate, SessionChanged]


def test_without_a_reported_cost_the_list_price_is_a_labelled_estimate():
    run = Run(ScriptedGateway(ScriptedAttempt([HEADERS], usage=Usage(input_tokens=3, output_tokens=4))))
    assert run.reply.cost == Cost(usd=Decimal("0.25"), basis="estimated")


def test_without_usage_the_cost_is_unknown():
    run = Run(ScriptedGateway(ScriptedAttempt([HEADERS, [TextDelta("Hi")]])))
    assert run.reply.cost == Cost(usd=None, basis="unknown")


def test_a_failure_before_any_text_is_tried_again_and_each_attempt_has_its_row():
    slow_down = RateLimited("wait", status=429, retry_after_s=7.0)
    run = Run(ScriptedGateway(failing(slow_down), ScriptedAttempt([HEADERS, [TextDelta("Hi")]])))
    assert run.reply.attempts == 2
    [retrying] = [event for event in run.events if isinstance(event, Retrying)]
    assert retrying.attempt == 1
    assert retrying.wait_s >= 7.0
    assert run.clock.monotonic() >= 7.0
    # the failure is durable before the wait, which may be long
    assert run.store.kinds()[1:3] == [["AttemptEnded"], ["AttemptStarted"]]
    started = [r for commit in run.store.commits for r in commit if isinstance(r, AttemptStarted)]
    assert [record.attempt_no for record in started] == [1, 2]
    assert len({record.attempt_id for record in started}) == 2


def test_three_attempts_are_the_end():
    run = Run(ScriptedGateway(*(failing(GatewayFault("broken", status=500)) for _ in range(3))))
    assert isinstance(run.error, GatewayFault)
    assert len(run.gateway.requests) == 3
    assert [type(event) for event in run.events] == [Retrying, Retrying, Failed]


def test_a_failure_after_visible_text_is_not_tried_again_and_keeps_the_text():
    run = Run(ScriptedGateway(failing(GatewayFault("broken", status=502), HEADERS, [TextDelta("Half")])))
    assert run.error.partial_text == "Half"
    [failed] = run.ends()
    assert failed.reply.text == "Half"
    assert failed.reply.status == "error_during"
    assert run.store.kinds()[-1] == ["AttemptEnded", "SessionChanged"]


def test_a_rejected_request_is_not_tried_again():
    run = Run(ScriptedGateway(failing(RequestRejected("bad", status=400))))
    assert len(run.gateway.requests) == 1
    assert isinstance(run.error, RequestRejected)


def test_a_stop_in_the_middle_closes_the_attempt_and_saves_what_came():
    attempt = ScriptedAttempt([HEADERS, [TextDelta("Once")], None])
    run = Run(ScriptedGateway(attempt), stop_at=TextDelta)
    assert attempt.closed
    assert (run.reply.status, run.reply.text) == ("stopped", "Once")
    assert run.store.commits[-1][0].outcome == "stopped"
    assert run.ends() == [Done(run.reply)]


def test_a_stop_before_sending_sends_nothing_and_leaves_a_stopped_attempt():
    class StoppedEarly(Run):
        async def _drive(self):
            self.stop.stop()
            await super()._drive()

    attempt = ScriptedAttempt([HEADERS])
    run = StoppedEarly(ScriptedGateway(attempt))
    assert not attempt.ended
    assert run.reply.status == "stopped"
    assert run.store.commits[-1][0].outcome == "stopped"


def test_a_stop_while_waiting_for_a_retry_ends_the_call_as_stopped():
    class Patient(ManualClock):
        async def sleep(self, seconds):
            await asyncio.Event().wait()

    class Waiting(Run):
        async def _drive(self):
            self.clock = Patient()
            await super()._drive()

    run = Waiting(ScriptedGateway(failing(GatewayFault("broken", status=500))), stop_at=Retrying)
    assert run.reply.status == "stopped"
    assert run.store.commits[-2][0].outcome == "error_before"
    assert run.store.kinds()[-1] == ["SessionChanged"]


def test_nothing_is_sent_when_the_store_cannot_take_the_question():
    run = Run(ScriptedGateway(), ListStore(refuse={1}, error=StoreUnwritable))
    assert isinstance(run.error, StoreUnwritable)
    assert run.gateway.requests == []
    assert run.ends() == [Failed(run.error, None)]


def test_a_paid_answer_outwaits_a_busy_store():
    store = ListStore(refuse={3, 4})
    run = Run(ScriptedGateway(ScriptedAttempt([HEADERS, [TextDelta("Hi")]])), store)
    assert run.reply.text == "Hi"
    assert store.kinds()[-1] == ["AttemptEnded", "SessionChanged"]


def test_an_answer_goes_on_when_its_generation_id_cannot_be_written_early():
    store = ListStore(refuse={2})
    run = Run(ScriptedGateway(ScriptedAttempt([HEADERS, [TextDelta("Hi")]])), store)
    assert run.reply.text == "Hi"
    assert store.kinds() == [
        ["SessionChanged", "CallOpened", "AttemptStarted"],
        ["AttemptEnded", "SessionChanged"],
    ]


def test_an_answer_that_cannot_be_written_still_reaches_the_reader():
    store = ListStore(refuse=set(range(3, 4 + SAVE_TRIES)))
    run = Run(ScriptedGateway(ScriptedAttempt([HEADERS, [TextDelta("Hi")]])), store)
    assert isinstance(run.error, StoreBusy)
    [failed] = run.ends()
    assert failed.reply.text == "Hi"


@pytest.mark.parametrize("times", [1, 3])
def test_stopping_again_changes_nothing(times):
    signal = StopSignal()
    for _ in range(times):
        signal.stop()
    assert signal.requested
