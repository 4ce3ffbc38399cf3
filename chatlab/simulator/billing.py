"""What requests cost and what is known of them afterwards: bills, the prompt cache, finished generations."""

from __future__ import annotations

import hashlib
import secrets
import string
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from chatlab.simulator.models import Family

CACHEABLE_TOKENS = 1024  # a shared prompt prefix shorter than this is never cached
REMEMBERED_PREFIXES = 4_096
REMEMBERED_GENERATIONS = 20_000

_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Token counts of one answer. `completion` includes `reasoning`; `prompt` includes `cached`."""

    family: Family
    prompt: int
    cached: int
    completion: int
    reasoning: int

    @property
    def prompt_cost(self) -> Decimal:
        """USD for the prompt."""
        return self._costs()[0]

    @property
    def completion_cost(self) -> Decimal:
        """USD for the completion, reasoning included."""
        return self._costs()[1]

    @property
    def cost(self) -> Decimal:
        """USD in total."""
        return sum(self._costs(), Decimal(0))

    @property
    def cache_discount(self) -> Decimal:
        """USD saved by the prompt cache."""
        return self.cached * (Decimal(self.family.prompt_price) - Decimal(self.family.cache_price))

    def _costs(self) -> tuple[Decimal, Decimal]:
        fresh = self.prompt - self.cached
        return self.family.cost(fresh=fresh, cached=self.cached, completion=self.completion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What `/generation` tells about an answer after its end."""

    generation_id: str
    bill: Bill
    created_at: datetime
    streamed: bool
    cancelled: bool
    finish_reason: str | None  # None when the client left before the end
    native_finish_reason: str | None
    latency_s: float  # until the first token
    generation_s: float
    user: str | None = None


class Generations:
    """The latest finished generations, and the sum of all that were charged."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Generation] = OrderedDict()
        self.spent = Decimal(0)

    def add(self, generation: Generation) -> None:
        """Remember a generation, forgetting the oldest beyond the limit."""
        self._kept[generation.generation_id] = generation
        self.spent += generation.bill.cost
        while len(self._kept) > REMEMBERED_GENERATIONS:
            self._kept.popitem(last=False)

    def get(self, generation_id: str) -> Generation | None:
        """Return a generation by its id."""
        return self._kept.get(generation_id)


class PromptCache:
    """Remembers prompt prefixes, message by message, per model."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def look_up(self, model: str, messages: Sequence[tuple[str, int]]) -> int:
        """Return how many tokens of this prompt were seen before, and remember it.

        `messages` are texts with their token counts, first message first.
        """
        digest = hashlib.sha256(model.encode())
        total = cached = 0
        for text, tokens in messages:
            digest.update(f"\0{len(text)}\0{text}".encode("utf-8", "surrogatepass"))
            total += tokens
            if total < CACHEABLE_TOKENS:
                continue
            key = digest.digest()
            if key in self._seen:
                cached = total
            self._seen[key] = None
            self._seen.move_to_end(key)
        while len(self._seen) > REMEMBERED_PREFIXES:
            self._seen.popitem(last=False)
        return cached


def new_generation_id(now: datetime) -> str:
    """Mint an id in OpenRouter's shape: `gen-SECONDS-` and 20 letters or digits."""
    return f"gen-{int(now.timestamp())}-" + "".join(secrets.choice(_ALPHABET) for _ in range(20))
