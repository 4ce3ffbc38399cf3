"""A chat as its user holds it: blocking, awaitable and non-blocking forms of the same turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from chatlab.blocking import StartAnswer, Stream
from chatlab.calls.stopping import StopSignal
from chatlab.chat.session import Session, Target, check_prompt
from chatlab.chat.transcript import Transcript
from chatlab.errors import RequestError
from chatlab.ports import Emit
from chatlab.targets import Targets
from chatlab.tools import ToolDefinition
from chatlab.values.reply import Reply

if TYPE_CHECKING:
    import pandas as pd

OpenSession: TypeAlias = Callable[[Transcript], Coroutine[Any, Any, Session]]


class Bench(Protocol):
    """What a chat, and a face that shows it, need from the workbench it belongs to."""

    @property
    def tool_definitions(self) -> Mapping[str, ToolDefinition]:
        """Return the tools by name."""

    def models(self) -> pd.DataFrame:
        """List the gateway's models; blocks."""

    @property
    def targets(self) -> Targets:
        """What decides who answers."""

    def start(self, answer: StartAnswer) -> Stream:
        """Start an answer on the background loop."""

    def messages(self, session_id: str) -> pd.DataFrame:
        """Read the active path of a stored session."""


class Chat:
    """A conversation that remembers. In a notebook, showing it gives the live chat.

    `transcript` is the conversation as plain data for faces that show it, `bench` the workbench. Every
    method may be called from any thread; one answer runs at a time.
    """

    def __init__(
        self,
        bench: Bench,
        open_session: OpenSession,
        *,
        session_id: str,
        transcript: Transcript,
        title: str | None = None,
        model: str | None = None,
        tool: str | None = None,
        variables: Mapping[str, str] | None = None,
        system: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.session_id = session_id
        self.transcript = transcript
        self.bench = bench
        self._open_session = open_session
        self._title = title
        self._session: Session | None = None
        self._choice = {"model": model, "tool": tool, "variables": variables, "system": system}
        self._params = dict(params or {})
        self._target = self._resolve(self._choice, self._params)
        self._lock = threading.Lock()
        self._stream: Stream | None = None

    def send(self, prompt: str, **params: Any) -> Reply:
        """Ask, wait for the whole answer and return it. `params` hold for this turn only.

        Raises ChatlabError; a GatewayError carries what had arrived as `partial_text`.
        """
        return self.stream(prompt, **params).result()

    async def asend(self, prompt: str, **params: Any) -> Reply:
        """Ask and await the whole answer; as `send`."""
        return await self.stream(prompt, **params).wait()

    def stream(self, prompt: str, **params: Any) -> Stream:
        """Ask and return the events of the answer. Never blocks; raises RequestError while one is running."""
        check_prompt(prompt)
        target = self._resolve(self._choice, self._params | params) if params else self._target

        async def answer(emit: Emit, stop: StopSignal) -> Reply:
            if self._session is None:
                self._session = await self._open_session(self.transcript)
            return await self._session.turn(prompt, target=target, emit=emit, stop=stop)

        with self._lock:
            if self._stream is not None and not self._stream.done:
                raise RequestError("an answer is still coming in this chat: stop it or wait for it first")
            self._stream = self.bench.start(answer)
            return self._stream

    post = stream

    def stop(self) -> None:
        """Stop the running answer, if any; what has come is kept. Returns at once."""
        stream = self._stream
        if stream is not None:
            stream.stop()

    @property
    def messages(self) -> pd.DataFrame:
        """The stored messages of the active path, one row each, first message first."""
        return self.bench.messages(self.session_id)

    @property
    def title(self) -> str | None:
        """The title: as given, else the first line of the first message, else None."""
        return self._session.title if self._session is not None else self._title

    @property
    def model(self) -> str:
        """The model that answers the next turn. Setting it takes effect with that turn."""
        return self._target.model

    @model.setter
    def model(self, model: str) -> None:
        self._choose(model=model)

    @property
    def tool(self) -> str | None:
        """The name of the tool definition in force, or None. Setting it takes effect with the next turn."""
        return self._choice["tool"]  # type: ignore[return-value]  # one dict holds all four choices

    @tool.setter
    def tool(self, tool: str | None) -> None:
        self._choose(tool=tool, variables=None, system=None)

    def _choose(self, **changes: Any) -> None:
        choice = self._choice | changes
        self._target = self._resolve(choice, self._params)
        self._choice = choice

    def _resolve(self, choice: Mapping[str, Any], params: Mapping[str, Any]) -> Target:
        target = self.bench.targets.resolve(**choice, params=params)
        self.transcript.describe(model=target.model, tool=target.tool_name)
        return target

    def __repr__(self) -> str:
        return f"Chat({self.session_id!r}, model={self.model!r}, tool={self.tool!r})"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer, as a thing to show: the first in `chat` after the message `after`."""

    chat: Chat
    after: str | None

    def __repr__(self) -> str:
        return f"Exchange(of {self.chat!r})"
