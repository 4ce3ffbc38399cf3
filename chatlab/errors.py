"""Every error that chatlab raises on purpose.

    ChatlabError
        ConfigurationError              the caller's set-up
            MissingKey                  no API key for this gateway
            KeyMismatch                 a key that cannot be this gateway's
            MissingModel                no model was named anywhere
            ModelNameInvalid            a model id without its provider prefix
            MissingExtra                an optional library is not installed
            ToolDefinitionError         a tool file is wrong: file, line and remedy
        RequestError                    the caller's request
            ContextTooLong              a message that alone does not fit
            NotFound                    no such session, message, tool or model here
            InvalidValue                an argument that cannot be used
            QueryRefused                SQL that is not exactly one SELECT
            QueryFailed                 SQL that DuckDB could not run
        GatewayError                    what came back from the gateway, or did not
            AuthenticationFailed        401
            PaymentRequired             402
            AccessDenied                403: moderation, guardrail or budget
            ModelNotFound               404
            RequestTimedOut             408 and 504: the gateway gave up waiting
            PayloadTooLarge             413
            RequestRejected             400, 422 and other 4xx
            RateLimited                 429
            GatewayFault                5xx
            ConnectionFailed            no connection, or it broke
            ResponseTimedOut            a clock of ours ran out
            StreamTruncated             the stream ended without a finish reason
            EmptyStream                 a success without any content
            ProtocolViolation           bytes that are no chat stream
            RedirectRefused             a 3xx: never followed, the prompt would go elsewhere
            RouteUnhealthy              too many failures: not sent, the gateway is left alone for a while
        StoreError
            StoreBusy                   another process holds the file
            StoreTooNew                 written by a newer chatlab
            StoreDamaged                DuckDB refuses to open it
            StoreUnwritable             disk full, read-only or no permission

Messages name the value, the place and the remedy. No error carries a request, a response or a header, so
none can carry a key.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

FailureKind: TypeAlias = Literal["fatal", "throttle", "transient", "truncated"]


class ChatlabError(Exception):
    """Base of all errors that chatlab raises on purpose."""


class ConfigurationError(ChatlabError):
    """The set-up is incomplete or contradicts itself."""


class MissingKey(ConfigurationError):
    """No API key was found for the gateway."""


class KeyMismatch(ConfigurationError):
    """The key does not look like one of this gateway."""


class MissingModel(ConfigurationError):
    """No model was named by the call, the tool or the environment."""


class ModelNameInvalid(ConfigurationError):
    """The model id cannot be one of this gateway."""


class MissingExtra(ConfigurationError):
    """A feature needs an optional library that is not installed."""


class ToolDefinitionError(ConfigurationError):
    """A tool definition is wrong. `source` is its file, `line` counts from 1 (None: the whole file)."""

    def __init__(self, message: str, *, source: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.source = source
        self.line = line


class RequestError(ChatlabError):
    """The caller asked for something that cannot be done as asked."""


class ContextTooLong(RequestError):
    """One message alone exceeds the token budget; both numbers are tokens."""

    def __init__(self, message: str, *, needed: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.needed = needed
        self.limit = limit


class NotFound(RequestError):
    """A session, message, tool or model of that name does not exist here."""


class InvalidValue(RequestError):
    """An argument has a value that cannot be used."""


class QueryRefused(RequestError):
    """The SQL is not exactly one statement that only reads."""


class QueryFailed(RequestError):
    """DuckDB could not run the SQL."""


class GatewayError(ChatlabError):
    """A request failed at the gateway or on the way.

    `status` is the HTTP status (or the status an in-stream error stands for), `code` the gateway's own word,
    `retry_after_s` its hint in seconds, `partial_text` the visible text that had arrived before the failure.
    `kind` decides about retries: fatal ones are never tried again, throttle ones after a longer wait.
    """

    kind: FailureKind = "fatal"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        kind: FailureKind | None = None,
        model: str | None = None,
        provider: str | None = None,
        generation_id: str | None = None,
        retry_after_s: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.kind = kind or type(self).kind
        self.model = model
        self.provider = provider
        self.generation_id = generation_id
        self.retry_after_s = retry_after_s
        self.sent = sent  # False: provably nothing reached the gateway, so a retry cannot bill twice
        self.partial_text = ""


class AuthenticationFailed(GatewayError):
    """401: the key is wrong, revoked or for another gateway."""


class PaymentRequired(GatewayError):
    """402: credits or a budget are used up."""


class AccessDenied(GatewayError):
    """403: moderation, a guardrail or a key limit forbids the request."""


class ModelNotFound(GatewayError):
    """404: the gateway has no such model, or none that fits the constraints."""


class RequestTimedOut(GatewayError):
    """408 or 504: the gateway or its provider gave up waiting."""

    kind: FailureKind = "transient"


class PayloadTooLarge(GatewayError):
    """413: the request is larger than the gateway takes."""


class RequestRejected(GatewayError):
    """400, 422 or another 4xx: the request as it stands is not acceptable."""


class RateLimited(GatewayError):
    """429: too many requests; `retry_after_s` holds the gateway's hint."""

    kind: FailureKind = "throttle"


class GatewayFault(GatewayError):
    """5xx: a failure at the gateway or its provider."""

    kind: FailureKind = "transient"


class ConnectionFailed(GatewayError):
    """The connection could not be made, or broke."""

    kind: FailureKind = "transient"


class ResponseTimedOut(GatewayError):
    """One of our clocks ran out: connect, first token, idle, progress or total."""

    kind: FailureKind = "transient"


class StreamTruncated(GatewayError):
    """The stream ended without a finish reason; the partial text is kept."""

    kind: FailureKind = "truncated"


class EmptyStream(GatewayError):
    """The gateway answered success and sent no content."""

    kind: FailureKind = "transient"


class ProtocolViolation(GatewayError):
    """The gateway sent bytes that are not a chat completion."""

    kind: FailureKind = "transient"


class RedirectRefused(GatewayError):
    """The gateway answered with a redirect, which is never followed."""


class RouteUnhealthy(GatewayError):
    """Failures outweigh answers so far that nothing is sent; `retry_after_s` says when it is worth a try."""


class StoreError(ChatlabError):
    """The store could not do its work. Nothing that was acknowledged is lost."""


class StoreBusy(StoreError):
    """Another process held the store for longer than the limit. `holder` names it."""

    def __init__(self, message: str, *, holder: str | None = None) -> None:
        super().__init__(message)
        self.holder = holder


class StoreTooNew(StoreError):
    """The store was written by a newer chatlab."""


class StoreDamaged(StoreError):
    """DuckDB refuses to open the file."""


class StoreUnwritable(StoreError):
    """The disk is full, or the file or its folder cannot be written."""
