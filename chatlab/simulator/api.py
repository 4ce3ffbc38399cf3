"""The endpoints: who may ask, what is where, and how one completion is served from request to bill."""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

from chatlab.simulator.answers import Answer, compose_answer
from chatlab.simulator.billing import Bill, Generation, Generations, PromptCache, new_generation_id
from chatlab.simulator.connection import MAX_BODY_BYTES, Request, Response
from chatlab.simulator.models import SIMULATOR_KEY
from chatlab.simulator.pace import Meter, Pace
from chatlab.simulator.refusals import Refusal
from chatlab.simulator.request import CompletionRequest, parse_completion_request
from chatlab.simulator.tokens import cut_at_stop, split_tokens
from chatlab.simulator.wire import (
    KEEP_ALIVE,
    ChunkWriter,
    Ending,
    completion_body,
    generation_body,
    json_bytes,
    key_body,
    models_body,
)

PREFIX = "/api/v1"

# Names a browser may legitimately use for this machine: any other is a page that rebinds its DNS name.
_LOOPBACK_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)

_Endpoint: TypeAlias = Callable[[Request, Response], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One completion, composed and cut to its limits before its first token is due."""

    generation_id: str
    created_at: datetime
    request: CompletionRequest
    reasoning: list[str]  # tokens
    text: list[str]  # tokens
    ending: Ending
    prompt_tokens: int
    cached_tokens: int

    @property
    def tokens(self) -> int:
        return len(self.reasoning) + len(self.text)

    def bill(self, tokens: int) -> Bill:
        """Return the bill for the first `tokens` tokens."""
        return Bill(
            family=self.request.family,
            prompt=self.prompt_tokens,
            cached=self.cached_tokens,
            completion=tokens,
            reasoning=min(tokens, len(self.reasoning)),
        )


class Api:
    """OpenRouter's API as far as the simulator has it."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._generations = Generations()
        self._cache = PromptCache()
        self._request_numbers = itertools.count()
        self._endpoints: dict[str, tuple[str, _Endpoint]] = {
            f"{PREFIX}/chat/completions": ("POST", self._complete),
            f"{PREFIX}/models": ("GET", self._list_models),
            f"{PREFIX}/generation": ("GET", self._show_generation),
            f"{PREFIX}/key": ("GET", self._show_key),
        }

    async def serve(self, request: Request, response: Response) -> None:
        """Answer one HTTP request."""
        try:
            _check_host(request)
            _check_key(request)
            await self._endpoint(request)(request, response)
        except Refusal as refusal:
            await response.send(refusal.status, json_bytes(refusal.body()), headers=refusal.headers)

    def _endpoint(self, request: Request) -> _Endpoint:
        path = urlsplit(request.target).path.rstrip("/")
        if path not in self._endpoints:
            known = ", ".join(self._endpoints)
            raise Refusal(404, f"There is no {path or '/'} here. The simulator serves {known}.")
        method, endpoint = self._endpoints[path]
        if request.method != method:
            raise Refusal(405, f"{path} takes {method}, not {request.method}.", headers={"Allow": method})
        return endpoint

    async def _list_models(self, _request: Request, response: Response) -> None:
        await response.send(200, models_body())

    async def _show_key(self, request: Request, response: Response) -> None:
        _require_key(request)
        await response.send(200, key_body(self._generations.spent))

    async def _show_generation(self, request: Request, response: Response) -> None:
        _require_key(request)
        generation_id = "".join(parse_qs(urlsplit(request.target).query).get("id", [])[:1])
        if not generation_id:
            raise Refusal(400, "The query parameter id is missing.")
        generation = self._generations.get(generation_id)
        if generation is None:
            raise Refusal(404, f"Generation {generation_id} not found.")
        await response.send(200, generation_body(generation))

    async def _complete(self, http_request: Request, response: Response) -> None:
        _require_key(http_request)
        if http_request.too_large:
            raise Refusal(413, f"The request body is larger than {MAX_BODY_BYTES} bytes.")
        plan = self._plan(parse_completion_request(http_request.body))
        serve = self._stream if plan.request.stream else self._send_whole
        await serve(plan, response)

    def _plan(self, request: CompletionRequest) -> _Plan:
        family, now = request.family, self._pace.clock.now()
        counts = [(turn.text, turn.tokens) for turn in request.turns]
        prompt_tokens = sum(tokens for _, tokens in counts)
        answer: Answer = compose_answer(request, number=next(self._request_numbers))
        reasoning = split_tokens(answer.reasoning)
        text = split_tokens(cut_at_stop(answer.text, request.stops))
        room = min(
            request.max_tokens or family.max_output, family.max_output, family.context_length - prompt_tokens
        )
        whole = len(reasoning) + len(text) <= room
        reasoning = reasoning[:room]
        return _Plan(
            generation_id=new_generation_id(now),
            created_at=now,
            request=request,
            reasoning=reasoning,
            text=text[: room - len(reasoning)],
            ending=Ending("stop", family.native_stop) if whole else Ending("length", family.native_length),
            prompt_tokens=prompt_tokens,
            cached_tokens=self._cache.look_up(family.model, counts),
        )

    async def _send_whole(self, plan: _Plan, response: Response) -> None:
        pace = self._pace.of(plan.request.family)
        begun = pace.clock.monotonic()
        bill = plan.bill(plan.tokens)
        try:
            await pace.await_all(plan.tokens)
        finally:  # as at OpenRouter, leaving does not stop a request that is no stream, nor its bill
            self._record(plan, sent=plan.tokens, begun=begun, first=begun, cancelled=False)
        body = completion_body(
            plan.generation_id,
            int(plan.created_at.timestamp()),
            text="".join(plan.text),
            reasoning="".join(plan.reasoning) if plan.request.shows_reasoning else None,
            ending=plan.ending,
            bill=bill,
        )
        await response.send(200, body, headers={"x-generation-id": plan.generation_id})

    async def _stream(self, plan: _Plan, response: Response) -> None:
        pace = self._pace.of(plan.request.family)
        begun = first = pace.clock.monotonic()
        sent, ended = 0, False
        chunks = ChunkWriter(plan.generation_id, int(plan.created_at.timestamp()), plan.request.family)
        response.start(200, content_type="text/event-stream", headers={"x-generation-id": plan.generation_id})
        try:
            await response.write(KEEP_ALIVE)
            await pace.await_first(lambda: response.write(KEEP_ALIVE))
            first = pace.clock.monotonic()
            meter = Meter(pace, plan.tokens)
            while sent < plan.tokens:
                due = await meter.due(sent)
                events = _events(plan, chunks, sent, due)
                sent = due
                if events:
                    await response.write(events)
            await response.write(chunks.end(plan.ending, plan.bill(sent)), last=True)
            ended = True
        finally:
            self._record(plan, sent=sent, begun=begun, first=first, cancelled=not ended)

    def _record(self, plan: _Plan, *, sent: int, begun: float, first: float, cancelled: bool) -> None:
        self._generations.add(
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


def _events(plan: _Plan, chunks: ChunkWriter, start: int, end: int) -> bytes:
    """Compose the chunks of tokens `start` to `end`, counted over reasoning and text."""
    split = len(plan.reasoning)
    hidden = not plan.request.shows_reasoning
    reasoning = b"" if hidden else chunks.reasoning(plan.reasoning[start:end])
    return reasoning + chunks.text(plan.text[max(0, start - split) : max(0, end - split)])


def _check_host(request: Request) -> None:
    host = request.headers.get("host", "")
    if host and not _LOOPBACK_HOST.fullmatch(host):
        raise Refusal(403, "The simulator answers only to localhost, 127.0.0.1 and [::1].")


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _check_key(request: Request) -> None:
    if _bearer(request).startswith("sk-"):
        raise Refusal(
            401,
            "This is the chatlab simulator: it takes no real API key, and the one sent begins with 'sk-'. "
            f"Use {SIMULATOR_KEY!r} as the key, or set AI_GATEWAY_URL to the gateway the key belongs to.",
        )


def _require_key(request: Request) -> None:
    if not _bearer(request):
        raise Refusal(401, f"No auth credentials found. Send 'Authorization: Bearer {SIMULATOR_KEY}'.")
