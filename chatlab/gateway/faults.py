"""What went wrong at a gateway, as one of our errors: what happened, in whose words, and what to do.

A gateway reports failures as an HTTP status with a JSON body, or inside a stream that began with success.
Bodies differ: `{"error": {...}}`, `{"error": "text"}`, `{"message": ...}`, `{"detail": ...}`, a list around
one of them, HTML. The kind of a failure decides about retries: fatal (asking again cannot help), throttle
(the gateway asks for fewer requests), transient, truncated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chatlab.errors import (
    ConnectionFailed,
    EmptyStream,
    FailureKind,
    GatewayError,
    ProtocolViolation,
    RequestRejected,
    ResponseTimedOut,
    StreamTruncated,
)
from chatlab.gateway.hints import wait_hint
from chatlab.gateway.jsontext import MALFORMED, clean, parse_json
from chatlab.gateway.remedies import STATUS_ERRORS, UNKNOWN, remedy
from chatlab.gateway.usage import decimal

_MAX_QUOTE = 300  # characters of a gateway's words that a message repeats
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\s]+")
_KEY_LIKE = re.compile(r"\bsk-[A-Za-z0-9_\-]{12,}")

# In-stream errors name themselves in words where HTTP has numbers. First match wins.
_STATUS_WORDS = (
    ("ratelimit", 429), ("toomanyrequests", 429), ("capacityexhausted", 429), ("overloaded", 529),
    ("insufficientquota", 402), ("paymentrequired", 402), ("authentication", 401), ("apikey", 401),
    ("permission", 403), ("forbidden", 403), ("toolarge", 413), ("timeout", 504), ("timedout", 504),
    ("unavailable", 502), ("contextlength", 400), ("tokenlimit", 400), ("maxtokens", 400), ("toolong", 400),
    ("contentpolicy", 400), ("contentfilter", 400), ("refusal", 400), ("image", 400), ("invalid", 400),
    ("badrequest", 400), ("unprocessable", 422), ("precondition", 412), ("notfound", 404),
    ("server", 500), ("internal", 500), ("unmapped", 500),
)  # fmt: skip
_FATAL_TYPES = ("invalid_", "context_length", "max_tokens", "token_limit", "string_too_long",
                "content_policy", "refusal", "image_", "unsupported_image")  # fmt: skip
_TRANSIENT_STATUSES = frozenset({409, 425, 499})


@dataclass(frozen=True, slots=True)
class Complaint:
    """A gateway's own description of a failure, still in its words."""

    message: str = ""
    code: str | None = None
    error_type: str | None = None
    status: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    availability: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, error: Any) -> Complaint:
        """Read an error value: an object of any known shape, or a text."""
        if isinstance(error, list) and error:
            error = error[0]
        if isinstance(error, dict) and isinstance(error.get("error"), dict | str):
            error = error["error"]
        if not isinstance(error, dict):
            return cls(message=error if isinstance(error, str) else "")
        metadata = _object(error.get("metadata"))
        code = error.get("code", error.get("status"))
        error_type = metadata.get("error_type") or error.get("type")
        return cls(
            message=_words(error.get("message") or error.get("detail")),
            code=str(code)[:80] if isinstance(code, str | int) and not isinstance(code, bool) else None,
            error_type=error_type if isinstance(error_type, str) else None,
            status=_status(code, error_type),
            metadata=metadata,
            availability=_object(error.get("availability")),
        )


@dataclass(frozen=True, slots=True)
class Faults:
    """Makes the errors of one request. `redact` removes the key from what gateways say."""

    gateway: str
    model: str | None
    redact: Callable[[str], str] = field(default=str, repr=False)

    def http(self, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> GatewayError:
        """Turn a response that is no success into an error. `headers` has lower-case names."""
        try:
            complaint = Complaint.parse(parse_json(body)[0])
        except MALFORMED:
            html = body.lstrip()[:1] == b"<"
            complaint = Complaint("" if html else body.decode("utf-8", "replace"))
        hint = wait_hint(headers, now) or _hint_in(complaint)
        return self._error(status, complaint, hint, headers.get("x-generation-id"))

    def in_stream(self, error: Any, *, provider: str | None, generation_id: str | None) -> GatewayError:
        """Turn an error inside a stream or body that began with success into an error."""
        complaint = Complaint.parse(error)
        status = complaint.status or 500
        return self._error(status, complaint, _hint_in(complaint), generation_id, provider)

    def truncated(self) -> GatewayError:
        """The stream ended without a finish reason."""
        return StreamTruncated(
            f"The answer of {self.gateway} broke off: the stream ended without a finish reason. What had "
            "arrived is kept; ask to continue, or send the message again.",
            model=self.model,
        )

    def empty(self) -> GatewayError:
        """Success, and nothing in it."""
        return EmptyStream(
            f"{self.gateway} answered success but sent no content. This usually passes: try again, and if "
            f"it does not, try another model than {self.model!r}.",
            model=self.model,
        )

    def protocol(self, what: str) -> GatewayError:
        """Bytes that are no chat completion; `what` says which."""
        return ProtocolViolation(
            f"{self.gateway} answered with {self.quote(what)}. Try again; if it stays so, check that "
            "AI_GATEWAY_URL is the address of an OpenAI-compatible API (it usually ends in /v1).",
            model=self.model,
        )

    def unsendable(self, what: str) -> GatewayError:
        """The request cannot be written as JSON; nothing was sent."""
        return RequestRejected(
            f"The request cannot be written as JSON: {self.quote(what)}. Parameters must be texts, finite "
            "numbers, true or false, lists and dicts.",
            model=self.model,
            sent=False,
        )

    def connection(self, what: str, *, sent: bool, kind: FailureKind | None = None) -> GatewayError:
        """The connection failed or broke; `sent` as in GatewayError."""
        return ConnectionFailed(
            f"The connection to {self.gateway} failed: {self.quote(what)}. "
            "Check the network and AI_GATEWAY_URL.",
            model=self.model,
            sent=sent,
            kind=kind,
        )

    def timeout(self, what: str, *, sent: bool = True) -> GatewayError:
        """One of our clocks ran out; `what` names it with its limit."""
        return ResponseTimedOut(
            f"{self.gateway} took too long: {what}. Try again, or another model or provider; slow reasoning "
            "models may need longer timeouts.",
            model=self.model,
            sent=sent,
        )

    def quote(self, words: str) -> str:
        """Return a gateway's words as one harmless line: no key, no control characters, not too long."""
        line = _UNPRINTABLE.sub(" ", clean(self.redact(words)[: 4 * _MAX_QUOTE])).strip()
        line = _KEY_LIKE.sub("sk-***", line)
        return line if len(line) <= _MAX_QUOTE else line[: _MAX_QUOTE - 1] + "…"

    def _error(
        self,
        status: int,
        complaint: Complaint,
        hint: float | None,
        generation_id: str | None,
        provider: str | None = None,
    ) -> GatewayError:
        error_class, title = STATUS_ERRORS.get(status) or STATUS_ERRORS.get(status // 100 * 100, UNKNOWN)
        said = self.quote(complaint.message)
        provider = provider or _name(complaint.metadata.get("provider_name"))
        advice = remedy(status, self.gateway, self.model, complaint.metadata, complaint.availability, hint)
        quoted = f' It said: "{said}".' if said else ""
        return error_class(
            f"{self.gateway}: {title} ({status}).{quoted} {self.quote(advice)}",
            status=status,
            code=self.quote(complaint.code or complaint.error_type or "") or None,
            kind=_kind(status, complaint),
            model=self.model,
            provider=self.quote(provider) if provider else None,
            generation_id=generation_id,
            retry_after_s=hint,
        )


def _kind(status: int, complaint: Complaint) -> FailureKind | None:
    """Decide the kind where the class of the error does not."""
    error_type = complaint.error_type or ""
    retryable = complaint.availability.get("retryable")
    if isinstance(retryable, bool):
        return "fatal" if not retryable else "throttle" if status == 429 else "transient"
    if status == 402 and "in_flight" in str(complaint.metadata.get("limit_source")):
        return "throttle"
    if error_type.startswith("rate_limit") or status == 529 or "overloaded" in error_type:
        return "throttle"
    if error_type.startswith(_FATAL_TYPES):
        return "fatal"
    return "transient" if status in _TRANSIENT_STATUSES else None


def _status(code: Any, error_type: Any) -> int | None:
    """Find the HTTP status that an in-stream error stands for."""
    number = decimal(code)
    if number is not None and 400 <= number < 600:
        return int(number)
    for value in (error_type, code):
        word = re.sub("[^a-z]", "", value.lower()) if isinstance(value, str) else ""
        for part, status in _STATUS_WORDS:
            if part in word:
                return status
    return None


def _hint_in(complaint: Complaint) -> float | None:
    hint = decimal(complaint.availability.get("retry_after"))
    if hint is None:
        hint = decimal(complaint.metadata.get("retry_after"))
    return float(hint) if hint is not None and 0 < hint < 10**9 else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = value[0].get("msg")
    return value if isinstance(value, str) else ""


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
