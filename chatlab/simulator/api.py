"""The endpoints: what is where, and who may ask."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import parse_qs

from chatlab.simulator.completion import Completions
from chatlab.simulator.connection import MAX_BODY_BYTES, Request, Response
from chatlab.simulator.faults import Faults
from chatlab.simulator.models import SIMULATOR_KEY
from chatlab.simulator.pace import Pace
from chatlab.simulator.refusals import Refusal
from chatlab.simulator.request import json_object, parse_completion_request
from chatlab.simulator.script import FAULTS_HEADER, parse_script, split_model
from chatlab.simulator.wire import generation_body, json_bytes, key_body, models_body

PREFIX = "/api/v1"

# Names a browser may legitimately use for this machine: any other is a page that rebinds its DNS name.
_LOOPBACK_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)

_Endpoint: TypeAlias = Callable[[Request, Response], Awaitable[None]]


class Api:
    """OpenRouter's API as far as the simulator has it."""

    def __init__(self, pace: Pace) -> None:
        self._completions = Completions(pace)
        self._faults = Faults(pace.clock)
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
            script = request.headers.get(FAULTS_HEADER)
            if script is not None and await self._faults.befall(parse_script(script), request, response):
                return
            await self._endpoint(request)(request, response)
        except Refusal as refusal:
            await response.send(refusal.status, json_bytes(refusal.body()), headers=refusal.headers)

    def _endpoint(self, request: Request) -> _Endpoint:
        path = request.target.partition("?")[0].rstrip("/")
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
        await response.send(200, key_body(self._completions.generations.spent))

    async def _show_generation(self, request: Request, response: Response) -> None:
        _require_key(request)
        generation_id = "".join(parse_qs(request.target.partition("?")[2]).get("id", [])[:1])
        if not generation_id:
            raise Refusal(400, "The query parameter id is missing.")
        generation = self._completions.generations.get(generation_id)
        if generation is None:
            raise Refusal(404, f"Generation {generation_id} not found.")
        await response.send(200, generation_body(generation))

    async def _complete(self, request: Request, response: Response) -> None:
        _require_key(request)
        if request.too_large:
            raise Refusal(413, f"The request body is larger than {MAX_BODY_BYTES} bytes.")
        data = json_object(request.body)
        model = data.get("model")
        if isinstance(model, str):
            data["model"], script = split_model(model)
            if script is not None and await self._faults.befall(parse_script(script), request, response):
                return
        plan = self._completions.plan(parse_completion_request(data))
        await self._completions.serve(plan, response)


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
