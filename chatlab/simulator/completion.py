"""One completion from request to bill: planned whole, then sent as a stream or in one piece.

The answer is composed before its first token is due; what is billed is what was sent. A client that leaves
a stream ends it, and the generation is remembered as cancelled with the tokens that had gone out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime

from chatlab.simulator.answers import compose_answer
from chatlab.simulator.billing import Bill, Generation, Generations, PromptCache, new_generation_id
from chatlab.simulator.connection import Response
from chatlab.simulator.pace import Meter, Pace
from chatlab.simulator.request import CompletionRequest
from chatlab.simulator.tokens import cut_at_stop, split_tokens
from chatlab.simulator.wire import KEEP_ALIVE, ChunkWriter, Ending, completion_body


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A composed completion, cut to its limits."""

    generation_id: str
    created_at: datetime
    request: CompletionRequest
    reasoning: list[str]  # tokens
    text: list[str]  # tokens
    ending: Ending
    prompt_tokens: int
    cached_tokens: int

    @property
    def created(self) -> int:
        """The time of creation in seconds, as the wire has it."""
        return int(self.created_at.timestamp())

    @property
    def tokens(self) -> int:
        """All tokens of the completion, reasoning included."""
        return len(self.reasoning) + len(self.text)

    def bill(self, tokens: int) -> Bill:
        """Return the bill for the prompt and the first `tokens` tokens."""
        return Bill(
            family=self.request.family,
            prompt=self.prompt_tokens,
            cached=self.cached_tokens,
            completion=tokens,
            reasoning=min(tokens, len(self.reasoning)),
        )

    def events(self, chunks: ChunkWriter, start: int, end: int) -> bytes:
        """Compose the chunks of tokens `start` to `end`, counted over reasoning and text."""
        thoughts = self.reasoning[start:end] if self.request.shows_reasoning else []
        split = len(self.reasoning)
        return chunks.reasoning(thoughts) + chunks.text(
            self.text[max(0, start - split) : max(0, end - split)]
        )


class Completions:
    """Serves completions, one after the other or many at once, and remembers them."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._cache = PromptCache()
        self._numbers = itertools.count()
        self.generations = Generations()

    def plan(self, request: CompletionRequest) -> Plan:
        """Compose the answer to a request."""
        family, now = request.family, self._pace.clock.now()
        counts = [(turn.text, turn.tokens) for turn in request.turns]
        prompt_tokens = sum(tokens for _, tokens in counts)
        answer = compose_answer(request, number=next(self._numbers))
        reasoning = split_tokens(answer.reasoning)
        text = split_tokens(cut_at_stop(answer.text, request.stops))
        limit = min(family.max_output, family.context_length - prompt_tokens)
        room = min(request.max_tokens or limit, limit)
        whole = len(reasoning) + len(text) <= room
        return Plan(
            generation_id=new_generation_id(now),
            created_at=now,
            request=request,
            reasoning=reasoning[:room],
            text=text[: max(0, room - len(reasoning))],
            ending=Ending("stop", family.native_stop) if whole else Ending("length", family.native_length),
            prompt_tokens=prompt_tokens,
            cached_tokens=self._cache.look_up(family.model, counts),
        )

    async def serve(self, plan: Plan, response: Response) -> None:
        """Send a planned completion the way its client wants it."""
        if plan.request.stream:
            await self._stream(plan, response)
        else:
            await self._send_whole(plan, response)

    async def _send_whole(self, plan: Plan, response: Response) -> None:
        pace = self._pace.of(plan.request.family)
        begun = pace.clock.monotonic()
        try:
            await pace.await_all(plan.tokens)
        finally:  # as at OpenRouter, leaving does not stop a request that is no stream, nor its bill
            self._remember(plan, sent=plan.tokens, begun=begun, first=begun, cancelled=False)
        body = completion_body(
            plan.generation_id,
            plan.created,
            text="".join(plan.text),
            reasoning="".join(plan.reasoning) if plan.request.shows_reasoning else None,
            ending=plan.ending,
            bill=plan.bill(plan.tokens),
        )
        await response.send(200, body, headers={"x-generation-id": plan.generation_id})

    async def _stream(self, plan: Plan, response: Response) -> None:
        pace = self._pace.of(plan.request.family)
        chunks = ChunkWriter(plan.generation_id, plan.created, plan.request.family)
        begun = first = pace.clock.monotonic()
        sent, ended = 0, False
        response.start(200, content_type="text/event-stream", headers={"x-generation-id": plan.generation_id})
        try:
            await response.write(KEEP_ALIVE)
            await pace.await_first(lambda: response.write(KEEP_ALIVE))
            first = pace.clock.monotonic()
            meter = Meter(pace, plan.tokens)
            while sent < plan.tokens:
                due = await meter.due(sent)
                events = plan.events(chunks, sent, due)
                sent = due
                await response.write(events)
            ended = True
            self._remember(plan, sent=sent, begun=begun, first=first, cancelled=False)
            await response.write(chunks.end(plan.ending, plan.bill(sent)), last=True)
        finally:
            if not ended:
                self._remember(plan, sent=sent, begun=begun, first=first, cancelled=True)

    def _remember(self, plan: Plan, *, sent: int, begun: float, first: float, cancelled: bool) -> None:
        self.generations.add(
            Generation(
                generation_id=plan.generation_id,
                bill=plan.bill(sent),
                created_at=plan.created_at,
                streamed=plan.request.stream,
                cancelled=cancelled,
                finish_reason=None if cancelled else plan.ending.finish_reason,
                native_finish_reason=None if cancelled else plan.ending.native,
                latency_s=first - begun,
                generation_s=self._pace.clock.monotonic() - begun,
                user=plan.request.user,
            )
        )
