"""The workbench: the one place that connects settings, gateway, store, prices and tools.

Every face holds a Workbench and nothing below it. What is heavy (the SDK, DuckDB, the simulator) is
loaded on first use, on the background loop.
"""

from __future__ import annotations

import concurrent.futures.thread
import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from chatlab.blocking import STOP_WAIT_S, BackgroundLoop, StartAnswer, Stream
from chatlab.callbacks import Callbacks
from chatlab.calls.driver import CallDriver
from chatlab.calls.routes import RouteLimits
from chatlab.calls.stopping import StopSignal
from chatlab.chat.session import Session, Target, check_prompt, find_session
from chatlab.chat.transcript import Transcript
from chatlab.checkup import Check, check_up
from chatlab.clock import SystemClock
from chatlab.connections import CLOSED, Connections
from chatlab.conversation import Chat
from chatlab.errors import ChatlabError, RequestError
from chatlab.ports import Clock, Emit
from chatlab.readings import Readings
from chatlab.settings import Settings
from chatlab.targets import Targets
from chatlab.tools import ToolDefinition
from chatlab.values.identity import new_id
from chatlab.values.reply import Reply

if TYPE_CHECKING:
    import pandas as pd

    from chatlab.gateway.attempt import Timeouts

DRAIN_S = 10.0  # how long close() lets running answers finish before it stops them
SHARED_LOOP = BackgroundLoop()


def open_workbench(
    store: str | Path | None = None,
    *,
    gateway: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    user: str | None = None,
    group: str | None = None,
    tools: str | Path | None = None,
) -> Workbench:
    """Open a workbench with the configuration found in arguments, environment and `.env`.

    `store` is the DuckDB file, `gateway` a base URL, `model` the default model, `tools` a folder of tool
    definitions; `user` and `group` are written beside every call. With neither gateway nor key the built-in
    simulator answers. Raises ConfigurationError that says what to set.
    """
    settings = Settings.load(
        store=store, gateway=gateway, api_key=api_key, model=model, user=user, group=group
    )
    return Workbench(settings, tool_directory=Path(tools) if tools is not None else None)


class Workbench(Readings):
    """Chats, answers and usage over one gateway and one store. Close it, or use it in a `with` block.

    Times in results are aware UTC, money is Decimal USD, and what is unknown is None or NULL. `timeouts` are
    the clocks of one attempt, by default those that suit somebody who waits.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        timeouts: Timeouts | None = None,
        loop: BackgroundLoop = SHARED_LOOP,
        tool_directory: Path | None = None,
    ) -> None:
        self.settings = settings
        clock = clock or SystemClock()
        super().__init__(loop, Connections(settings, clock, timeouts), clock)
        self.targets = Targets(settings, tool_directory or settings.tool_directory)
        self._running: set[Stream] = set()
        self._closed = False
        _OPEN.add(self)

    # ------------------------------------------------------------------ asking

    def ask(
        self,
        prompt: str,
        *,
        model: str | None = None,
        tool: str | None = None,
        variables: Mapping[str, str] | None = None,
        system: str | None = None,
        stream: bool = True,
        on_text: Callable[[str], object] | None = None,
        on_done: Callable[[Reply], object] | None = None,
        on_error: Callable[[ChatlabError], object] | None = None,
        **params: Any,
    ) -> Reply:
        """Ask one question in a session of its own and return the whole answer.

        `params` are sampling settings by their wire names (temperature, max_tokens, seed, ...). The callbacks
        run in this thread: `on_text` with each piece of text, then `on_done` or `on_error`; an exception in
        one of them stops the answer. Raises ChatlabError; a GatewayError has the `partial_text`.
        """
        target = self.targets.resolve(
            model=model, tool=tool, variables=variables, system=system, params=params
        )
        callbacks = Callbacks(on_text, on_done, on_error)
        answer = self._answer(prompt, target, stream=stream)
        try:
            for event in answer:
                callbacks.tell(event)
        except BaseException:
            answer.stop()
            raise
        return answer.result()

    async def aask(
        self,
        prompt: str,
        *,
        model: str | None = None,
        tool: str | None = None,
        variables: Mapping[str, str] | None = None,
        system: str | None = None,
        stream: bool = True,
        on_text: Callable[[str], object] | None = None,
        on_done: Callable[[Reply], object] | None = None,
        on_error: Callable[[ChatlabError], object] | None = None,
        **params: Any,
    ) -> Reply:
        """Ask one question and await the whole answer; as `ask`, callbacks on the caller's loop."""
        target = self.targets.resolve(
            model=model, tool=tool, variables=variables, system=system, params=params
        )
        callbacks = Callbacks(on_text, on_done, on_error)
        answer = self._answer(prompt, target, stream=stream)
        try:
            async for event in answer:
                callbacks.tell(event)
        except BaseException:
            answer.stop()
            raise
        return await answer.wait()

    def stream(
        self,
        prompt: str,
        *,
        model: str | None = None,
        tool: str | None = None,
        variables: Mapping[str, str] | None = None,
        system: str | None = None,
        **params: Any,
    ) -> Stream:
        """Ask one question and return its events, for a `for` or an `async for` loop.

        The last event is `Done(reply)` or `Failed(error, reply)`. Leaving the loop does not stop the answer:
        it is drained and saved. `stream.stop()` stops it and keeps what has come.
        """
        target = self.targets.resolve(
            model=model, tool=tool, variables=variables, system=system, params=params
        )
        return self._answer(prompt, target)

    astream = stream

    # ------------------------------------------------------------------ chats

    def chat(
        self,
        *,
        tool: str | None = None,
        model: str | None = None,
        variables: Mapping[str, str] | None = None,
        system: str | None = None,
        title: str | None = None,
        **params: Any,
    ) -> Chat:
        """Begin a conversation. It is stored from its first message on."""
        session_id = new_id(self._clock.now())
        transcript = self._transcript(session_id)

        async def begin(transcript: Transcript) -> Session:
            driver = await self._connections.driver()
            return self._session(driver, session_id, title=title, transcript=transcript)

        return Chat(
            self,
            begin,
            session_id=session_id,
            transcript=transcript,
            title=title,
            model=model,
            tool=tool,
            variables=variables,
            system=system,
            params=params,
        )

    def resume(self, session_id: str = "last", *, model: str | None = None, tool: str | None = None) -> Chat:
        """Go on with a stored conversation: an id, an unambiguous prefix of one, or "last".

        Model, tool and system prompt are as they were unless given anew. Raises NotFound.
        """
        return self._loop.run(self._resume(session_id, model, tool))

    async def _resume(self, session_id: str, model: str | None, tool: str | None) -> Chat:
        driver = await self._connections.driver()
        stored = await find_session(driver.store, session_id)
        opened = stored.opened
        transcript = self._transcript(opened.session_id)
        session = await Session.resume(stored, store=driver.store, driver=driver, transcript=transcript)

        async def resumed(_: Transcript) -> Session:
            return session

        keep_system = tool is None
        return Chat(
            self,
            resumed,
            session_id=opened.session_id,
            transcript=transcript,
            title=opened.title,
            model=model or opened.model,
            tool=tool or opened.tool_name,
            system=opened.system if keep_system else None,
            params=opened.params if keep_system else {},
        )

    def limit(self, model: str, *, provider: str | None = None, **known: int) -> None:
        """Say beforehand how much a model may be asked; what goes beyond that waits for its turn.

        `known`: requests_per_minute, tokens_per_minute (input and output together), max_in_flight. What is
        not said is learnt from refusals. A pinned `provider` has limits of its own. Raises InvalidValue.
        """
        self.settings.check_model(model)
        limits = RouteLimits(**known)

        async def apply() -> None:
            driver = await self._connections.driver()
            driver.route(model, provider).set_limits(limits)

        self._loop.run(apply())

    # ------------------------------------------------------------------ what there is

    def tools(self) -> pd.DataFrame:
        """List the tool definitions: name, description, version, model, variables."""
        import pandas as pd

        columns = ["name", "description", "version", "model", "variables"]
        rows = [
            (tool.name, tool.description, tool.version, tool.model, ", ".join(tool.variables))
            for tool in self.tool_definitions.values()
        ]
        return pd.DataFrame(rows, columns=columns).astype("string")

    @property
    def tool_definitions(self) -> dict[str, ToolDefinition]:
        """The tool definitions by name, read from their folder now, so an edited file counts at once."""
        return self.targets.definitions()

    @property
    def simulated(self) -> bool:
        """Whether answers come from the built-in simulator."""
        return self.settings.simulated

    @property
    def default_model(self) -> str | None:
        """The model of calls that name none; None when there is none."""
        return self.settings.default_model

    def doctor(self) -> list[Check]:
        """Check configuration, gateway, store and versions."""
        return self._loop.run(check_up(self.settings, self._connections, self.targets.tool_directory))

    # ------------------------------------------------------------------ closing

    def close(self, *, drain_s: float = DRAIN_S) -> None:
        """Let running answers finish for up to `drain_s` seconds, stop the rest, and close everything."""
        if self._closed:
            return
        self._closed = True
        running = list(self._running)
        concurrent.futures.wait([stream.future for stream in running], timeout=drain_s)
        for stream in running:
            stream.stop()
        concurrent.futures.wait([stream.future for stream in running], timeout=STOP_WAIT_S)
        self._loop.run(self._connections.close())

    def abandon(self) -> None:
        """Refuse all further use, in a process that was forked: what is open belongs to its parent."""
        self._closed = True
        self._connections.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.close(drain_s=0 if interrupted else DRAIN_S)

    def __repr__(self) -> str:
        where = "SIMULATED" if self.simulated else self.settings.gateway_url
        return f"Workbench({where}, model={self.default_model!r}, store={str(self.settings.store)!r})"

    # ------------------------------------------------------------------ starting answers

    def start(self, answer: StartAnswer) -> Stream:
        """Start an answer on the background loop and keep it until it has ended."""
        if self._closed:
            raise RequestError(CLOSED)
        stream = Stream(self._loop, answer)
        self._running.add(stream)
        stream.future.add_done_callback(lambda _: self._running.discard(stream))
        return stream

    def _answer(self, prompt: str, target: Target, *, stream: bool = True) -> Stream:
        check_prompt(prompt)

        async def answer(emit: Emit, stop: StopSignal) -> Reply:
            driver = await self._connections.driver()
            session = self._session(driver, new_id(self._clock.now()))
            return await session.turn(prompt, target=target, emit=emit, stop=stop, stream=stream)

        return self.start(answer)

    def _session(self, driver: CallDriver, session_id: str, **facts: Any) -> Session:
        settings = self.settings
        return Session(
            session_id=session_id, driver=driver, user_id=settings.user, group_id=settings.group, **facts
        )

    def _transcript(self, session_id: str) -> Transcript:
        transcript = Transcript()
        transcript.describe(session_id=session_id, simulated=self.simulated)
        return transcript


_OPEN: weakref.WeakSet[Workbench] = weakref.WeakSet()


def _close_all() -> None:
    """Save what is still running when the interpreter ends."""
    interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt  # what ended the script, if anything
    for workbench in list(_OPEN):
        workbench.close(drain_s=0 if interrupted else DRAIN_S)


def _forget_all() -> None:
    """Close what a forked process inherited: its threads and its loop stayed behind in the parent."""
    SHARED_LOOP.forget()
    for workbench in list(_OPEN):
        workbench.abandon()


os.register_at_fork(after_in_child=_forget_all)

# atexit comes too late: by then the interpreter has shut the thread pools that saving needs. This hook is
# the one that the pools use too; hooks run in reverse, so theirs must be there first, by the import above.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]  # noqa: SLF001
