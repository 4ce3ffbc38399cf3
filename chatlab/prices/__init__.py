"""List prices: what token counts would cost, where the gateway does not say what it charged."""

from chatlab.prices.book import GenaiPriceBook

__all__ = ["GenaiPriceBook"]
