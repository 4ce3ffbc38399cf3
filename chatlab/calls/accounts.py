"""From the result of an attempt to its rows and to the reply: outcome, usage, cost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chatlab.calls.call import Call
from chatlab.errors import GatewayError
from chatlab.ports import Estimate, PriceBook
from chatlab.values.records import AttemptEnded, CostEstimate, Record, UsageReport
from chatlab.values.reply import AttemptResult, Reply
from chatlab.values.usage import UNKNOWN_COST, Cost, reported_cost


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAttempt:
    """An attempt that is over: its id, its result, and its list price where one is known."""

    attempt_id: str
    result: AttemptResult
    estimate: Estimate | None

    @property
    def cost(self) -> Cost:
        """What it cost: as reported, else by list price, else unknown."""
        reported = reported_cost(self.result.charge)
        if reported.usd is not None:
            return reported
        if self.estimate is not None:
            return Cost(usd=self.estimate.usd, basis="estimated")
        return UNKNOWN_COST


def price(attempt_id: str, call: Call, result: AttemptResult, prices: PriceBook) -> EndedAttempt:
    """Add the list price of what the gateway counted, for the model that served it."""
    estimate = None
    if result.usage is not None:
        model = result.served_model or call.request.model
        estimate = prices.estimate(model, result.provider, result.usage, result.timings.started_at)
    return EndedAttempt(attempt_id=attempt_id, result=result, estimate=estimate)


def ended_records(ended: EndedAttempt, now: datetime) -> Sequence[Record]:
    """Rows that an ended attempt leaves: how it ended, and what it used and cost where that is known."""
    result = ended.result
    records: list[Record] = [_ending(ended.attempt_id, result, now)]
    if result.usage is not None:
        records.append(
            UsageReport(
                attempt_id=ended.attempt_id,
                source="response",
                received_at=now,
                usage=result.usage,
                charge=result.charge,
                raw=result.usage_raw,
            )
        )
    if ended.estimate is not None:
        records.append(
            CostEstimate(
                attempt_id=ended.attempt_id,
                price_source=ended.estimate.source,
                computed_at=now,
                usd=ended.estimate.usd,
            )
        )
    return records


def _ending(attempt_id: str, result: AttemptResult, now: datetime) -> AttemptEnded:
    timings = result.timings

    def moment(seconds: float | None) -> datetime | None:
        return None if seconds is None else timings.started_at + timedelta(seconds=seconds)

    error = result.error
    return AttemptEnded(
        attempt_id=attempt_id,
        outcome=result.outcome,
        t_start=timings.started_at,
        t_headers=moment(timings.headers_s),
        t_first_token=moment(timings.first_token_s),
        t_last_token=moment(timings.last_token_s),
        inter_token_p50_s=timings.inter_token_p50_s,
        inter_token_p95_s=timings.inter_token_p95_s,
        t_end=moment(timings.total_s) or now,
        served_model=result.served_model,
        provider=result.provider,
        service_tier=result.service_tier,
        generation_id=result.generation_id,
        finish_reason=result.finish_reason,
        native_finish_reason=result.native_finish_reason,
        http_status=result.http_status or (error.status if error else None),
        error_code=_error_code(error),
        error_message=str(error) if error else None,
        counts=result.counts,
    )


def _error_code(error: GatewayError | None) -> str | None:
    if error is None:
        return None
    return error.code or type(error).__name__


def make_reply(
    call: Call, ended: EndedAttempt, *, attempts: int, call_id: str, message_id: str | None, simulated: bool
) -> Reply:
    """Put together what the reader gets last."""
    result = ended.result
    return Reply(
        text=result.text,
        status=result.outcome,
        model=call.request.model,
        timings=result.timings,
        reasoning=result.reasoning,
        reasoning_details=result.reasoning_details,
        refusal=result.refusal,
        tool_calls=result.tool_calls,
        finish_reason=result.finish_reason,
        served_model=result.served_model,
        provider=result.provider,
        generation_id=result.generation_id,
        usage=result.usage,
        cost=ended.cost,
        counts=result.counts,
        attempts=attempts,
        simulated=simulated,
        context=call.context,
        warnings=result.warnings,
        session_id=call.session_id,
        message_id=message_id,
        call_id=call_id,
        attempt_id=ended.attempt_id,
    )
