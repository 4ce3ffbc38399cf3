"""Where requests may go, and which key may go there. Pure rules over a URL and a key, with words for people.

A key is bound to the origin that it was set for: it goes nowhere else, and never over an unencrypted line
to another machine. A gateway on this machine is asked without a key unless one was set for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from chatlab.errors import KeyMismatch, MissingKey
from chatlab.values.secret import Secret

OPENROUTER_URL = "https://openrouter.ai/api/v1"
OPENROUTER_HOST = "openrouter.ai"
OPENROUTER_KEY_START = "sk-or-"


@dataclass(frozen=True, slots=True)
class OfferedKey:
    """A key, where it was set in words, and the URL of the gateway it was set for, when that is known."""

    secret: Secret
    place: str
    home: str | None = None


def url_problem(url: str, place: str) -> str | None:
    """Say why a URL cannot be a gateway's and what to do, or None when it can.

    The text shows no more of it than its host, since people paste keys into URLs; for the same reason this
    returns the problem instead of raising it, so that no traceback has the URL among its local variables.
    """
    try:
        parts = split_url(url)
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return (
            f"{place} is not a URL that can be used: give the gateway's base URL, like {OPENROUTER_URL}, "
            "or 'simulator' for the built-in one"
        )
    if parts.username is not None or parts.query or parts.fragment:
        return (
            f"{place} has a user name, a query or a fragment in it, where keys leak into logs: give only "
            f"the base URL of {parts.hostname}, and the key in AI_API_KEY"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return (
            f"{place} would send the key and every prompt to {parts.hostname} unencrypted: use https; "
            "plain http is for localhost only"
        )
    if parts.path.endswith("/chat/completions") or (is_openrouter(parts) and not parts.path):
        return f"{place} is not the base URL of {parts.hostname}: give it like {OPENROUTER_URL}"
    return None


def choose_key(key: OfferedKey | None, parts: SplitResult, url_place: str) -> OfferedKey | None:
    """Return the key to send to this gateway, None where none is needed; a key goes nowhere but home."""
    loopback = is_loopback(parts.hostname or "")
    if key is None and not loopback:
        variables = "AI_API_KEY or OPENROUTER_API_KEY" if is_openrouter(parts) else "AI_API_KEY"
        raise MissingKey(
            f"no API key for {parts.hostname} ({url_place}): set {variables} in the environment or in .env, "
            "or pass api_key=...; AI_GATEWAY_URL=simulator needs no key"
        )
    if key is None or (loopback and not _is_at_home(key, parts)):
        return None
    if not re.fullmatch(r"[!#-&(-~]+", key.secret.reveal()):
        raise KeyMismatch(
            f"{key.place} has a space, a quote or another character in it that no key has: give the key "
            "alone, without 'Bearer' and without quotes"
        )
    _check_home(key, parts, url_place)
    return key


def _check_home(key: OfferedKey, parts: SplitResult, url_place: str) -> None:
    for_openrouter = key.secret.reveal().startswith(OPENROUTER_KEY_START)
    if is_openrouter(parts) and not for_openrouter:
        raise KeyMismatch(
            f"{key.place} is not a key of OpenRouter ({url_place}), whose keys begin with "
            f"{OPENROUTER_KEY_START!r}: make one at https://openrouter.ai/keys, or set AI_GATEWAY_URL to the "
            "gateway that the key belongs to"
        )
    if for_openrouter and not is_openrouter(parts) and not is_loopback(parts.hostname or ""):
        raise KeyMismatch(
            f"{key.place} is a key of OpenRouter and is not sent to {parts.hostname} ({url_place}): set "
            f"AI_API_KEY to a key of {parts.hostname}, or AI_GATEWAY_URL to {OPENROUTER_URL}"
        )
    if not _is_at_home(key, parts):
        raise KeyMismatch(
            f"{key.place} was set for another gateway and is not sent to {parts.hostname} ({url_place}): "
            "pass api_key=... along with gateway=..., or set AI_GATEWAY_URL and AI_API_KEY in the same place"
        )


def _is_at_home(key: OfferedKey, parts: SplitResult) -> bool:
    """Whether the key was set for this very origin, or for none that could be told."""
    try:
        home = split_url(key.home or "")
    except ValueError:
        return True
    if is_openrouter(home) and is_openrouter(parts):  # its regional hosts take the same keys
        return True
    return not home.hostname or _origin(home) == _origin(parts)


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


def split_url(url: str) -> SplitResult:
    """Take a URL apart, host in lower case and without a slash at its end. Raises ValueError."""
    if re.search(r"[\s\\\x00-\x1f\x7f]", url):  # urlsplit would drop some of these silently
        raise ValueError("not a URL")
    parts = urlsplit(url)
    if parts.port == 0:  # reading the port raises ValueError when it is no number
        raise ValueError("not a port")
    return parts._replace(netloc=parts.netloc.lower(), path=parts.path.rstrip("/"))


def is_openrouter(parts: SplitResult) -> bool:
    """Tell whether a URL is OpenRouter's, one of its regional hosts included."""
    host = parts.hostname or ""
    return parts.scheme == "https" and (host == OPENROUTER_HOST or host.endswith("." + OPENROUTER_HOST))


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost":  # but not its subdomains, which some resolvers ask the network for
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
