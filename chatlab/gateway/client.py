"""The one place that talks HTTP to a gateway: the openai SDK as transport, and nothing of it beyond.

The SDK serialises, authenticates and pools connections. Its stream iterator is not used, since it takes cut
streams, HTML pages and error bodies for success; its retries are off, since they happen unseen; redirects
are refused, since they would send the prompt elsewhere. Its exceptions end here: they hold the request, and
the request holds the key.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import httpx2
from openai import AsyncOpenAI, Omit, OpenAIError

from chatlab.errors import GatewayError
from chatlab.gateway.attempt import ByteStream, StreamAttempt, Timeouts
from chatlab.gateway.faults import Faults
from chatlab.gateway.jsontext import MALFORMED, clean, dump_json, parse_json
from chatlab.gateway.usage import parse_bill
from chatlab.gateway.wire import (
    OPENROUTER_DIALECT,
    gateway_name,
    model_cards,
    request_body,
    request_headers,
)
from chatlab.ports import Clock
from chatlab.values.request import ChatRequest, ModelCard
from chatlab.values.secret import Secret
from chatlab.values.usage import Bill

__all__ = ["OpenAIGateway", "Timeouts", "gateway_name"]

T = TypeVar("T")

MAX_CONNECTIONS = 1000
MAX_IDLE_CONNECTIONS = 100
MAX_REFUSAL_BYTES = 1024 * 1024  # of an error's body that are read
MAX_LISTING_BYTES = 64 * 1024 * 1024  # of a model list
MAX_BILL_BYTES = 1024 * 1024  # of what is told about one generation
MIN_SECRET = 12  # characters; shorter keys are placeholders like "ollama", and words of messages too
_MAX_ID = 200  # characters of a generation id


class OpenAIGateway:
    """Implements `ports.Gateway` for any OpenAI-compatible address.

    `name` is `openrouter`, `simulator` or the host; the first two get OpenRouter's own fields. `transport`
    replaces the network (for tests and proxies). One instance belongs to one event loop.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: Secret | None,
        name: str,
        clock: Clock,
        timeouts: Timeouts | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._name = name
        self._secret = api_key
        self._clock = clock
        self._timeouts = timeouts or Timeouts()
        self._lookups: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._http = http = _http_client(api_key, self._timeouts, transport)
        self._openai = _Transport(
            base_url=base_url, api_key="unused", max_retries=0, timeout=http.timeout, http_client=http
        )

    @property
    def name(self) -> str:
        """Return `openrouter`, `simulator`, or the host of another gateway."""
        return self._name

    def attempt(self, request: ChatRequest) -> StreamAttempt:
        """Prepare one attempt; nothing is sent before it is iterated."""
        faults = self._faults(request.model)
        return StreamAttempt(
            lambda: self._open(request),
            explain=lambda error: self._explain(error, faults),
            faults=faults,
            clock=self._clock,
            timeouts=self._timeouts,
            streaming=request.stream,
        )

    async def models(self) -> tuple[ModelCard, ...]:
        """Fetch the gateway's list of models. Raises GatewayError."""
        faults = self._faults(None)
        try:
            async with asyncio.timeout(self._timeouts.first_token):
                return model_cards(await self._lookup(self._listing()))
        except TimeoutError:
            failure = faults.timeout(f"the model list did not come within {self._timeouts.first_token:g} s")
        except MALFORMED:
            failure = faults.protocol("something that is no list of models")
        except Exception as error:  # noqa: BLE001 - the transport's exceptions hold the key and end here
            failure = self._explain(error, faults)
        raise failure

    async def generation(self, generation_id: str) -> Bill | None:
        """Look up what an answer cost, where the gateway speaks OpenRouter's dialect; elsewhere None.

        None too while the gateway does not know it: just after the end it answers 404. Raises GatewayError.
        """
        if self._name not in OPENROUTER_DIALECT:
            return None
        faults = self._faults(None)
        try:
            async with asyncio.timeout(self._timeouts.first_token):
                told = await self._lookup(self._told_of(generation_id))
            return parse_bill(generation_id, told, dump_json(told))
        except TimeoutError:
            failure = faults.timeout(f"a bill did not come within {self._timeouts.first_token:g} s")
        except MALFORMED:
            failure = faults.protocol("something that is no bill")
        except Exception as error:  # noqa: BLE001 - the transport's exceptions hold the key and end here
            if isinstance(error, _Refused) and error.status == HTTPStatus.NOT_FOUND:
                return None
            failure = self._explain(error, faults)
        raise failure

    async def close(self) -> None:
        """Close every connection; lookups that run are ended and fail."""
        self._closed = True
        for lookup in self._lookups:
            lookup.cancel()
        await asyncio.gather(*self._lookups, return_exceptions=True)
        await self._openai.close()

    async def _lookup(self, work: Coroutine[Any, Any, T]) -> T:
        """Await what close() may end, so that no connection is made behind its back and left open."""
        lookup = asyncio.ensure_future(work)
        self._lookups.add(lookup)
        try:
            return await lookup
        except asyncio.CancelledError:
            if self._closed and lookup.cancelled():
                raise ConnectionError("it was closed meanwhile") from None
            raise
        finally:
            self._lookups.discard(lookup)

    def _faults(self, model: str | None) -> Faults:
        return Faults(self._name, model, self._redact)

    def _redact(self, text: str) -> str:
        key = self._secret.reveal() if self._secret is not None else ""
        return text.replace(key, "***") if len(key) >= MIN_SECRET else text

    @asynccontextmanager
    async def _open(self, request: ChatRequest) -> AsyncGenerator[ByteStream, None]:
        body = request_body(request, self._name)
        opening = self._openai.chat.completions.with_streaming_response.create(
            model=body.pop("model"),
            messages=[],
            stream=body.pop("stream"),
            extra_headers=request_headers(self._name),
            extra_body=body,  # replaces `messages`: what is sent is exactly what the wire form says
        )
        async with opening as response:
            yield _Response(response.http_response)

    async def _listing(self) -> Any:
        opening = self._openai.models.with_streaming_response.list(extra_headers=request_headers(self._name))
        async with opening as response:
            body = await _read(response.http_response, MAX_LISTING_BYTES)
        return clean(parse_json(body)[0])

    async def _told_of(self, generation_id: str) -> dict[str, Any]:
        """Ask for one generation. The SDK has no method for it, so its HTTP client is asked directly."""
        headers = {**request_headers(self._name), "User-Agent": "chatlab", "Accept": "application/json"}
        asking = self._http.stream(
            "GET", f"{self._openai.base_url}generation", params={"id": generation_id}, headers=headers
        )
        async with asking as response:
            body = await _read(response, MAX_BILL_BYTES)
        answer = clean(parse_json(body)[0])
        told = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(told, dict):
            raise ValueError("no generation in the answer")  # noqa: TRY004 - a fault of the data
        return told

    def _explain(self, error: Exception, faults: Faults) -> GatewayError:
        """Turn whatever the SDK and the transport raise into one of our errors, without keeping it."""
        if isinstance(error, _Refused):
            return faults.http(error.status, error.headers, error.body, self._clock.now())
        cause = error.__cause__ if isinstance(error, OpenAIError) else error
        return _explain_transport(cause or error, faults, self._timeouts)


class _Response:
    """A `ByteStream` over a response of httpx2."""

    def __init__(self, response: httpx2.Response) -> None:
        headers = response.headers
        self._response = response
        self.status = response.status_code
        self.generation_id = headers.get("x-generation-id", "")[:_MAX_ID] or None

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the body as it arrives, unpacked only when it is packed."""
        if self._response.headers.get("content-encoding", "identity") == "identity":
            return self._response.aiter_raw()
        return self._response.aiter_bytes()


class _Refused(Exception):
    """A response that is no success, read up to a limit."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


class _Bearer(httpx2.Auth):
    """Puts the key on the wire, and nowhere else. Without one, no credentials are sent."""

    def __init__(self, secret: Secret | None) -> None:
        self._secret = secret

    def auth_flow(self, request: httpx2.Request) -> Any:
        """Set the header of one request."""
        if self._secret is None:
            request.headers.pop("Authorization", None)
        else:
            request.headers["Authorization"] = f"Bearer {self._secret.reveal()}"
        yield request


class _Transport(AsyncOpenAI):
    """The SDK with headers of our own, whatever OPENAI_* variables say."""

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        """Return the headers of every request."""
        return {
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",  # packing holds small pieces back
            "Content-Type": "application/json",
            "User-Agent": "chatlab",
        }


def _http_client(
    secret: Secret | None, timeouts: Timeouts, transport: httpx2.AsyncBaseTransport | None
) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        auth=_Bearer(secret),
        follow_redirects=False,
        trust_env=False,
        # Reading is limited by the attempt's own clocks; the pool is large enough never to be waited for.
        timeout=httpx2.Timeout(connect=timeouts.connect, write=timeouts.write, read=None, pool=None),
        limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE_CONNECTIONS),
        event_hooks={"response": [_refuse_failures]},
        transport=transport,
    )


async def _refuse_failures(response: httpx2.Response) -> None:
    """Stop at every status but success before the SDK reads its body, which may have no end."""
    if response.is_success:
        return
    try:
        body = await _read(response, MAX_REFUSAL_BYTES)
    except httpx2.HTTPError:
        body = b""
    headers = {name.lower(): value for name, value in response.headers.items() if _is_told(name.lower())}
    raise _Refused(response.status_code, headers, body)


def _is_told(name: str) -> bool:
    return name in {"retry-after", "retry-after-ms", "x-generation-id"} or name.startswith(
        "x-ratelimit-reset"
    )


async def _read(response: httpx2.Response, limit: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def _explain_transport(error: BaseException, faults: Faults, timeouts: Timeouts) -> GatewayError:
    """Say what a transport exception means, and whether anything had been sent."""
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return faults.timeout(f"no connection within {timeouts.connect:g} s", sent=False)
    if isinstance(error, httpx2.TimeoutException):
        return faults.timeout(f"the request could not be sent within {timeouts.write:g} s")
    if isinstance(error, httpx2.ConnectError):
        fatal = _is_certificate_error(error)
        what = "its TLS certificate is not trusted" if fatal else str(error) or "no connection"
        return faults.connection(what, sent=False, kind="fatal" if fatal else None)
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError | httpx2.InvalidURL):
        return faults.connection(str(error), sent=False, kind="fatal")
    if isinstance(error, TypeError | ValueError):
        return faults.unsendable(str(error))
    if isinstance(error, httpx2.DecodingError):
        return faults.protocol("a body that cannot be unpacked")
    return faults.connection(str(error) or type(error).__name__, sent=True)


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
