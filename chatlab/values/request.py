"""What is asked of a gateway, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from chatlab.values.messages import Message


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat completion request.

    `params` are sampling and output settings by their wire names (temperature, max_tokens, seed, ...),
    sent as they are. `stream=False` asks for the whole answer in one body.
    """

    model: str
    messages: tuple[Message, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One model as a gateway lists it. Prices are USD per million tokens; None is unknown."""

    model: str
    name: str
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    supported_params: tuple[str, ...] = ()
    input_usd_per_mtok: Decimal | None = None
    output_usd_per_mtok: Decimal | None = None
    cache_read_usd_per_mtok: Decimal | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
