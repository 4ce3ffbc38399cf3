"""List prices from genai-prices, a dated price list that comes as a package and asks no network.

An estimate is what the published price says for standard service, which need not be the bill: providers of
one model differ, and discounts, service tiers and fees per request are not in it. What is not known stays
unknown: a model without an entry, an entry without prices, counts that contradict themselves.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chatlab.ports import Estimate
from chatlab.prices.buckets import OWN_PRICES, billable
from chatlab.prices.variants import is_free, priced_as
from chatlab.values.usage import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

OPENROUTER_URL = "https://openrouter.ai/api/v1"
FREE_SOURCE = "OpenRouter :free variant"


class GenaiPriceBook:
    """The price list of one gateway, by its URL; a model id means different money at different places.

    A gateway that the list does not know, one on this machine or None (the simulator) has no prices. The
    list takes about 0.2 s to import, which happens at the first estimate, or before, by `load`.
    """

    def __init__(self, gateway_url: str | None = OPENROUTER_URL) -> None:
        host = urlsplit(gateway_url or "").hostname or ""
        self._openrouter = host == "openrouter.ai" or host.endswith(".openrouter.ai")
        self._gateway_url = OPENROUTER_URL if self._openrouter else gateway_url

    def load(self) -> None:
        """Import the price list now; call it in a thread to keep the first answer from waiting for it."""
        if self._gateway_url is None:
            return
        from genai_prices import data_snapshot

        data_snapshot.get_snapshot()

    def estimate(
        self,
        model: str,
        provider: str | None,  # noqa: ARG002  # whom a gateway passed it on to: the list does not tell them apart
        usage: Usage,
        at: datetime,
    ) -> Estimate | None:
        """Return the list price at that time, or None when it is not known. Never 0 for unknown."""
        counts = billable(usage)
        if counts is None or self._gateway_url is None:
            return None
        if self._openrouter and is_free(model):
            return Estimate(usd=Decimal(0), source=FREE_SOURCE)
        usd = _list_price(priced_as(model) if self._openrouter else model, self._gateway_url, counts, at)
        return None if usd is None else Estimate(usd=usd, source=_source())


def _list_price(model: str, gateway_url: str, counts: dict[str, int], at: datetime) -> Decimal | None:
    import genai_prices

    try:
        price = genai_prices.calc_price(
            genai_prices.Usage(**counts), model, provider_api_url=gateway_url, genai_request_timestamp=at
        )
    except (LookupError, ValueError):  # no such entry; counts that the entry's prices cannot split
        return None
    return price.total_price if _covers(price.model_price, counts) else None


def _covers(price: ModelPrice, counts: dict[str, int]) -> bool:
    """Whether the entry prices all that was counted. An entry without prices would make it 0."""
    needed = {"input_mtok"} | {
        OWN_PRICES[key] for key, count in counts.items() if count and key in OWN_PRICES
    }
    return all(getattr(price, key) is not None for key in needed)


def _source() -> str:
    import genai_prices

    return f"genai-prices {genai_prices.__version__}"
