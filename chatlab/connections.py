"""What is open on behalf of one workbench: gateway, simulator, store. Made on first use, closed once."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from chatlab.calls.driver import CallDriver
from chatlab.calls.routes import Routes
from chatlab.calls.settlement import Settler
from chatlab.errors import RequestError
from chatlab.ports import Clock, Gateway
from chatlab.prices import GenaiPriceBook
from chatlab.settings import SIMULATOR, Settings

if TYPE_CHECKING:
    from chatlab.gateway.attempt import Timeouts
    from chatlab.simulator import Simulator
    from chatlab.store import DuckStore


CLOSED = "this workbench is closed: open a new one with chatlab.open()"


class Connections:
    """Opens each outside thing once, off the loop where importing or starting it takes time."""

    def __init__(self, settings: Settings, clock: Clock, timeouts: Timeouts | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self._timeouts = timeouts
        self._closed = False
        self._opening = asyncio.Lock()
        self._driver: CallDriver | None = None
        self._settler: Settler | None = None
        self._store: DuckStore | None = None
        self._gateway: Gateway | None = None
        self._simulator: Simulator | None = None

    async def driver(self) -> CallDriver:
        """Return what runs calls."""
        if self._driver is None:
            prices = GenaiPriceBook(self.settings.gateway_url)
            gateway, store, settler, _ = await asyncio.gather(
                self.gateway(), self.store(), self.settler(), asyncio.to_thread(prices.load)
            )
            self._driver = self._driver or CallDriver(  # another first call may have been faster
                gateway=gateway,
                store=store,
                prices=prices,
                clock=self.clock,
                routes=Routes(clock=self.clock, random=random.random),
                random=random.random,
                key_fingerprint=self.settings.api_key.fingerprint(b"") if self.settings.api_key else None,
                simulated=self.settings.simulated,
                settler=settler,
            )
        return self._driver

    async def settler(self) -> Settler:
        """Return what asks for bills, looking for what earlier processes left from its first use on."""
        gateway, store = await self.gateway(), await self.store()
        self._check_open()
        if self._settler is None:
            self._settler = Settler(gateway=gateway, store=store, clock=self.clock)
            self._settler.take_up()
        return self._settler

    async def gateway(self) -> Gateway:
        """Return the gateway, starting the simulator where it is one."""
        async with self._opening:
            self._check_open()
            if self._gateway is None:
                self._gateway = await asyncio.to_thread(self._open_gateway)
        return self._gateway

    async def store(self) -> DuckStore:
        """Return the store. The file itself is opened by its first use."""
        async with self._opening:
            self._check_open()
            if self._store is None:
                self._store = await asyncio.to_thread(self._open_store)
        return self._store

    def abandon(self) -> None:
        """Refuse all further use without touching what is open: it belongs to the parent of this process."""
        self._closed = True
        self._opening = asyncio.Lock()  # the old one may be held for ever by a task that is not here

    def _check_open(self) -> None:
        if self._closed:
            raise RequestError(CLOSED)

    def _open_store(self) -> DuckStore:
        from chatlab.store import DuckStore

        return DuckStore(self.settings.store, clock=self.clock)

    def _open_gateway(self) -> Gateway:
        from chatlab.gateway.client import OpenAIGateway, gateway_name

        if self.settings.gateway_url is not None:
            url, key = self.settings.gateway_url, self.settings.api_key
            return OpenAIGateway(
                base_url=url,
                api_key=key,
                name=SIMULATOR if self.settings.simulated else gateway_name(url),
                clock=self.clock,
                timeouts=self._timeouts,
            )
        from chatlab.simulator import SIMULATOR_KEY, Simulator
        from chatlab.values.secret import Secret

        pace = self.settings.simulator_pace
        self._simulator = (
            Simulator.start(tokens_per_second=pace)
            if pace
            else Simulator.start(first_token_s=0, tokens_per_second=None)
        )
        return OpenAIGateway(
            base_url=self._simulator.url,
            api_key=Secret(SIMULATOR_KEY),
            name=SIMULATOR,
            clock=self.clock,
            timeouts=self._timeouts,
        )

    async def close(self) -> None:
        """Close what is open; everything committed is durable when this returns."""
        self._closed = True
        async with self._opening:  # what is being opened right now is closed too
            if self._settler is not None:
                await self._settler.close()
            if self._store is not None:
                await self._store.close()
            if self._gateway is not None:
                await self._gateway.close()
            if self._simulator is not None:
                await asyncio.to_thread(self._simulator.stop)
