"""The five seeded model families and what sets them apart.

Prices are the strings of OpenRouter's `/models`: USD per token. A family fails `failure_share` of the
checkable items it is given (arithmetic, capitals, units, extraction, summaries, explanations); which ones
is fixed by a hash of the model and the prompt, so a repeated run fails on the same items.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

DEFAULT_MODEL = "sim/crow"
SIMULATOR_KEY = "simulator"
PROVIDER = "Simulator"

_SEED = 44  # which items fail; chosen so that the default model is right on the first things one tries

Verbosity: TypeAlias = Literal["terse", "short", "plain", "rich", "careful"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One model. `speed` multiplies the server's tokens per second, `delay` its wait for a first token."""

    model: str
    name: str
    description: str
    failure_share: float  # of checkable items, 0 to 1
    speed: float
    delay: float
    prompt_price: str
    completion_price: str
    cache_price: str  # for prompt tokens read from the prompt cache
    context_length: int  # tokens, prompt and completion together
    max_output: int
    verbosity: Verbosity
    reasons: bool = False
    native_stop: str = "stop"  # how this family's provider would spell its finish reasons
    native_length: str = "length"

    def slip(self, prompt: str) -> float | None:
        """Tell whether this family fails on a prompt: None when not, else a fixed number in [0, 1)."""
        digest = hashlib.sha256(
            f"{_SEED}\0{self.model}\0{prompt.strip()}".encode("utf-8", "replace")
        ).digest()
        draw = int.from_bytes(digest[:8], "big") / 2**64
        return draw / self.failure_share if draw < self.failure_share else None

    def cost(self, *, fresh: int, cached: int, completion: int) -> tuple[Decimal, Decimal]:
        """Return what a prompt of fresh and cached tokens and its completion cost, in USD, exactly."""
        prompt = fresh * Decimal(self.prompt_price) + cached * Decimal(self.cache_price)
        return prompt, completion * Decimal(self.completion_price)


_ALL = (
    Family(
        model="sim/ant",
        name="Simulator: Ant",
        description="Tiny, very fast and very cheap. Answers in a word and is often wrong.",
        failure_share=0.45,
        speed=4.0,
        delay=0.3,
        prompt_price="0.00000002",
        completion_price="0.00000008",
        cache_price="0.000000002",
        context_length=16_384,
        max_output=8_192,
        verbosity="terse",
    ),
    Family(
        model="sim/bee",
        name="Simulator: Bee",
        description="Fast and cheap. Answers in one sentence.",
        failure_share=0.30,
        speed=2.0,
        delay=0.6,
        prompt_price="0.0000001",
        completion_price="0.0000004",
        cache_price="0.00000001",
        context_length=131_072,
        max_output=32_768,
        verbosity="short",
    ),
    Family(
        model="sim/crow",
        name="Simulator: Crow",
        description="Balanced in skill, speed and price: the default.",
        failure_share=0.18,
        speed=1.0,
        delay=1.0,
        prompt_price="0.0000005",
        completion_price="0.0000015",
        cache_price="0.00000005",
        context_length=1_048_576,
        max_output=524_288,
        verbosity="plain",
    ),
    Family(
        model="sim/dolphin",
        name="Simulator: Dolphin",
        description="Strong and talkative. Writes Markdown with lists, tables and code.",
        failure_share=0.10,
        speed=1.2,
        delay=1.2,
        prompt_price="0.000002",
        completion_price="0.00001",
        cache_price="0.0000002",
        context_length=200_000,
        max_output=65_536,
        verbosity="rich",
        native_stop="end_turn",
        native_length="max_tokens",
    ),
    Family(
        model="sim/owl",
        name="Simulator: Owl",
        description="The strongest: slow, expensive, and reasons before it answers.",
        failure_share=0.04,
        speed=0.6,
        delay=2.0,
        prompt_price="0.000005",
        completion_price="0.000025",
        cache_price="0.0000005",
        context_length=262_144,
        max_output=65_536,
        verbosity="careful",
        reasons=True,
        native_stop="STOP",
        native_length="MAX_TOKENS",
    ),
)

FAMILIES: dict[str, Family] = {family.model: family for family in _ALL}
