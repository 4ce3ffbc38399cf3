"""Stopping a running call at once, without losing what it still has to save.

Cancelling the whole task would also cancel the commit of the partial answer. So only the part that waits
for the network or for a retry runs as a task of its own, and `stop()` cancels just that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class StopSignal:
    """One reader's wish to end one call. Belongs to the background loop; `stop()` is called there."""

    def __init__(self) -> None:
        self.requested = False
        self._work: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """End the interruptible work, now or as soon as it begins. Harmless when called again."""
        self.requested = True
        if self._work is not None:
            self._work.cancel()

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until it ends or a stop is requested; the caller then looks at `requested`."""
        if self.requested:
            work.close()
            return
        self._work = asyncio.ensure_future(work)
        try:
            await self._work
        except asyncio.CancelledError:
            if not self.requested:  # the loop itself is being torn down
                raise
        finally:
            self._work = None
