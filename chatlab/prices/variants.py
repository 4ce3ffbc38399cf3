"""What a suffix like `:nitro` does to the price of a model on OpenRouter.

Routing variants (`:nitro`, `:floor`, `:exacto`) sort the providers of the base model and have no list price
of their own; catalog variants (`:free`, `:batch`, `:thinking`, `:extended`) are models with their own price
(https://openrouter.ai/docs/guides/routing/model-variants/overview, copy read 2026-11-20). `:free` costs
nothing (https://openrouter.ai/docs/guides/routing/model-variants/free). The old `:online` adds a fee per
web search that no token count shows, so its price stays unknown.
"""

from __future__ import annotations

ROUTING_VARIANTS = frozenset({"nitro", "floor", "exacto"})
FREE_VARIANT = "free"


def is_free(model: str) -> bool:
    """Tell whether a model id is a free variant."""
    return model.endswith(f":{FREE_VARIANT}")


def priced_as(model: str) -> str:
    """Return the id whose price a model has: without the suffix where that only routes."""
    base, _, variant = model.rpartition(":")
    return base if base and variant in ROUTING_VARIANTS else model
