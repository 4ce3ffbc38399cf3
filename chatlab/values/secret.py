"""A secret that cannot be printed, formatted, logged or pickled by accident."""

from __future__ import annotations

import hashlib
import hmac
from typing import NoReturn, SupportsIndex


class Secret:
    """Holds an API key. Only `reveal()` gives it back; every other way out shows `Secret(***)`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself: for the one line that puts it on the wire."""
        return self._value

    def fingerprint(self, salt: bytes) -> str:
        """Tell keys apart without knowing them: 8 hexadecimal digits of HMAC-SHA256(salt, key)."""
        return hmac.new(salt, self._value.encode(), hashlib.sha256).hexdigest()[:8]

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return format(repr(self), format_spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Secret is never pickled or copied to another process: pass it by environment")
