"""An event loop on virtual time: whenever nothing is ready it jumps to the next timer, so hours take no time.

What runs on it gives the same result every time, given the same random numbers.
"""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)  # the date when every simulation begins


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        super().__init__()
        self.elapsed = 0.0
        wait = self._selector.select

        def jump(timeout=None):
            events = wait(0)
            if not events:
                if timeout is None:
                    raise RuntimeError("nothing will ever happen again: everybody waits for somebody else")
                self.elapsed += timeout
            return events

        self._selector.select = jump

    def time(self):
        return self.elapsed


class LoopClock:
    """Fills `ports.Clock` with the time of the running loop."""

    def now(self):
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self):
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds):
        await asyncio.sleep(seconds)


def simulate(work):
    """Run a coroutine to its end on virtual time. A task that is left over is an error."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def alone():
            result = await work
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks were left over: {left}"
            return result

        return runner.run(alone())
