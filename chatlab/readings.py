"""What a workbench reads: stored sessions and messages, usage, SQL and the list of models, as dataframes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from chatlab.blocking import BackgroundLoop
from chatlab.connections import Connections
from chatlab.ledger.usage import group_columns, period_start
from chatlab.ports import Clock
from chatlab.values.records import ModelListed

if TYPE_CHECKING:
    import pandas as pd

    from chatlab.store import DuckStore

T = TypeVar("T")


class Readings:
    """The reading half of a workbench. Times are aware UTC, money is Decimal USD, unknown is NULL."""

    def __init__(self, loop: BackgroundLoop, connections: Connections, clock: Clock) -> None:
        self._loop = loop
        self._connections = connections
        self._clock = clock

    def sessions(self) -> pd.DataFrame:
        """List the stored conversations, the latest first, one row each."""
        return self._read(lambda store: store.sessions())

    def messages(self, session_id: str) -> pd.DataFrame:
        """Read the active path of a stored conversation, one row a message."""
        return self._read(lambda store: store.messages(session_id))

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Run one SELECT over the store and return its rows; DECIMAL columns hold Decimal.

        `params` are bound to `?` or `$name`. The connection can neither write nor reach files, settings or
        the network. Raises QueryRefused or QueryFailed.
        """
        return self._read(lambda store: store.query(query, params))

    def usage(
        self,
        by: str | Iterable[str] = ("model",),
        *,
        since: str | date | datetime | timedelta | None = "7d",
    ) -> pd.DataFrame:
        """Sum tokens and cost of attempts by one or more groups since a moment (None: from the beginning).

        Groups: columns of ai_usage as in chatlab.values.usage.USAGE_GROUPS. `cost_usd` sums what is known;
        n_reported, n_estimated and n_unknown say how many attempts that covers.
        """
        columns = group_columns(by)
        start = period_start(since, self._clock.now())
        return self._read(lambda store: store.usage(columns, since=start))

    def settle(self) -> int:
        """Ask the gateway now for every bill that did not come with its answer; return how many came.

        Answers that were stopped or broke off, here or in an earlier process, are billed all the same. This
        also happens in the background, from seconds to hours after the end. Gateways that tell no bills
        afterwards (all but OpenRouter) are not asked. Raises GatewayError when the gateway cannot be asked.
        """
        return self._loop.run(self._settle())

    async def _settle(self) -> int:
        settler = await self._connections.settler()
        return await settler.settle_now()

    def models(self, *, refresh: bool = False) -> pd.DataFrame:
        """List the gateway's models with context length and prices (USD per million tokens).

        The list comes from the store; it is fetched when there is none yet, or with `refresh=True`.
        """
        return self._loop.run(self._models(refresh))

    async def _models(self, refresh: bool) -> pd.DataFrame:
        store, gateway = await self._connections.store(), await self._connections.gateway()
        if not refresh:
            listed = _of_gateway(await store.models(), gateway.name)
            if len(listed):
                return listed
        now = self._clock.now()
        cards = await gateway.models()
        await store.commit(*(ModelListed(gateway=gateway.name, fetched_at=now, card=card) for card in cards))
        return _of_gateway(await store.models(), gateway.name)

    def _read(self, read: Callable[[DuckStore], Awaitable[T]]) -> T:
        async def work() -> T:
            return await read(await self._connections.store())

        return self._loop.run(work())


def _of_gateway(models: pd.DataFrame, gateway: str) -> pd.DataFrame:
    """Keep one gateway's models: a file may hold the lists of several."""
    return models[models["gateway"] == gateway].reset_index(drop=True)
