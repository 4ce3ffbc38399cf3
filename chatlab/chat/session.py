"""A session: the conversation as the background loop sees it, and the flow of one turn through it.

A turn is: context, rows of the user's message and the attempt, the stream, then the rows of the answer.
The session's own row is written with its first turn, so an unused chat leaves no trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chatlab.calls.call import Call
from chatlab.calls.driver import CallDriver
from chatlab.calls.stopping import StopSignal
from chatlab.chat.context import build_context
from chatlab.chat.transcript import Transcript
from chatlab.errors import ChatlabError, GatewayError, InvalidValue, NotFound, RequestError
from chatlab.ports import Emit, Store, StoredMessage, StoredSession
from chatlab.tools import HistoryLimits
from chatlab.values.events import StreamEvent
from chatlab.values.identity import new_id
from chatlab.values.messages import Message, Part, Reasoning, Text, user
from chatlab.values.records import MessageAdded, MessageStatus, Record, SessionChanged, SessionOpened
from chatlab.values.reply import Outcome, Reply
from chatlab.values.request import ChatRequest

TITLE_CHARACTERS = 60
UNLIMITED = HistoryLimits(max_messages=None, max_tokens=None)

STATUS_OF_OUTCOME: Mapping[Outcome, MessageStatus] = {
    "completed": "complete",
    "truncated": "partial",
    "stopped": "stopped",
    "error_during": "partial",
    "error_before": "error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who answers: a model with its parameters, in the role that a tool gives it."""

    model: str
    params: Mapping[str, Any]
    system: str | None = None
    limits: HistoryLimits = UNLIMITED
    tool_name: str | None = None
    tool_version: str | None = None


class Session:
    """One conversation. Lives on the background loop; runs one turn at a time."""

    def __init__(
        self,
        *,
        session_id: str,
        driver: CallDriver,
        title: str | None = None,
        user_id: str | None = None,
        group_id: str | None = None,
        transcript: Transcript | None = None,
    ) -> None:
        self.session_id = session_id
        self.title = title
        self.transcript = transcript
        self._driver = driver
        self._user_id = user_id
        self._group_id = group_id
        self._path: list[StoredMessage] = []
        self._recorded: StoredSession | None = None  # None: no row yet
        self._busy = False

    @classmethod
    async def resume(
        cls, stored: StoredSession, *, store: Store, driver: CallDriver, transcript: Transcript | None = None
    ) -> Session:
        """Go on with a stored conversation from the end of its active path."""
        opened = stored.opened
        if opened.state == "completed":
            raise RequestError(f"session {opened.session_id} is completed: start a new chat instead")
        session = cls(
            session_id=opened.session_id,
            driver=driver,
            title=opened.title,
            user_id=opened.user_id,
            group_id=opened.group_id,
            transcript=transcript,
        )
        session._recorded = stored
        for message in await store.thread(opened.session_id):
            session._path.append(message)
            if transcript is not None:
                _show(transcript, message)
        return session

    async def turn(
        self, prompt: str, *, target: Target, emit: Emit, stop: StopSignal, stream: bool = True
    ) -> Reply:
        """Ask and answer: emits events, ends with Done or Failed, returns the reply or raises its error."""
        if self._busy:
            raise RequestError("an answer is still coming in this chat: stop it or wait for it first")
        self._busy = True
        try:
            return await self._turn(prompt, target, emit, stop, stream)
        finally:
            self._busy = False

    async def _turn(self, prompt: str, target: Target, emit: Emit, stop: StopSignal, stream: bool) -> Reply:
        asked = user(prompt)
        messages, report = build_context(
            system_prompt=target.system,
            history=[stored.message for stored in self._path],
            prompt=asked,
            limits=target.limits,
        )
        now = self._driver.clock.now()
        question = self._next_message(asked, "complete", now)
        answer_id = new_id(now)
        call = Call(
            request=ChatRequest(target.model, messages, target.params, stream),
            session_id=self.session_id,
            tool_name=target.tool_name,
            tool_version=target.tool_version,
            user_id=self._user_id,
            group_id=self._group_id,
            context=report,
        )
        recorded = self._recorded
        before = [*self._session_records(prompt, target, now, question.message_id), question]
        self._path.append(_as_stored(question, None))
        self._show_question(question, answer_id, target.model)
        reply: Reply | None = None
        failure: ChatlabError | None = None
        try:
            reply = await self._driver.run(
                call,
                self._shown(answer_id, emit),
                stop,
                before=before,
                after=lambda ended: self._answer_records(ended, answer_id),
                message_id=answer_id,
            )
        except ChatlabError as error:
            failure = error
            if not isinstance(error, GatewayError):
                self._forget_unwritten(question.message_id, recorded)
            raise
        finally:
            if self.transcript is not None:
                self.transcript.finish(answer_id, reply, failure)
        return reply

    def _forget_unwritten(self, question_id: str, recorded: StoredSession | None) -> None:
        """Drop the last message, which was not written, so that what follows does not hang on it."""
        if self._path.pop().message_id == question_id:
            self._recorded = recorded

    def _next_message(self, message: Message, status: MessageStatus, now: datetime) -> MessageAdded:
        last = self._path[-1] if self._path else None
        return MessageAdded(
            message_id=new_id(now),
            session_id=self.session_id,
            parent_id=last.message_id if last else None,
            seq=last.seq + 1 if last else 1,
            message=message,
            status=status,
            created_at=now,
        )

    def _session_records(
        self, prompt: str, target: Target, now: datetime, head: str
    ) -> Sequence[SessionOpened | SessionChanged]:
        changed = SessionChanged(
            session_id=self.session_id,
            updated_at=now,
            model=target.model,
            tool_name=target.tool_name,
            tool_version=target.tool_version,
            system=target.system,
            head=head,
        )
        if self._recorded is not None:
            return [changed]
        self.title = self.title or derive_title(prompt)
        opened = SessionOpened(
            session_id=self.session_id,
            created_at=now,
            title=self.title,
            tool_name=target.tool_name,
            tool_version=target.tool_version,
            system=target.system,
            model=target.model,
            params=target.params,
            user_id=self._user_id,
            group_id=self._group_id,
        )
        self._recorded = StoredSession(opened=opened, updated_at=now, head=head)
        return [opened, changed]

    def _answer_records(self, reply: Reply, answer_id: str) -> Sequence[Record]:
        now = self._driver.clock.now()
        answer = replace(
            self._next_message(Message("assistant", _parts(reply)), STATUS_OF_OUTCOME[reply.status], now),
            message_id=answer_id,
            call_id=reply.call_id,
        )
        self._path.append(_as_stored(answer, reply.served_model or reply.model))
        return [answer, SessionChanged(session_id=self.session_id, updated_at=now, head=answer_id)]

    def _show_question(self, question: MessageAdded, answer_id: str, model: str) -> None:
        if self.transcript is None:
            return
        self.transcript.describe(title=self.title)
        self.transcript.add(question.message_id, question.parent_id, "user", question.message.text)
        self.transcript.add(answer_id, question.message_id, "assistant", model=model, status="streaming")

    def _shown(self, answer_id: str, emit: Emit) -> Emit:
        transcript = self.transcript
        if transcript is None:
            return emit

        def both(events: Sequence[StreamEvent]) -> None:
            transcript.apply(answer_id, events)
            emit(events)

        return both


def check_prompt(prompt: str) -> None:
    """Raise RequestError for what is no message to send."""
    if not isinstance(prompt, str):
        raise InvalidValue(f"the message must be text, not {type(prompt).__name__}")
    if not prompt.strip():
        raise RequestError("the message is empty: write something to send")


def derive_title(prompt: str) -> str:
    """Take the first line of a message as the session's title, cut at a word."""
    line = " ".join(prompt.split())
    if len(line) <= TITLE_CHARACTERS:
        return line
    cut = line[: TITLE_CHARACTERS - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut) + "…"


async def find_session(store: Store, session_id: str) -> StoredSession:
    """Find a session by id, unambiguous prefix, or `last`. Raises NotFound."""
    latest = session_id == "last"
    stored = await (store.latest_session() if latest else store.session(session_id))
    if stored is None:
        what = "no session has been stored yet" if latest else f"no session {session_id!r} in this store"
        raise NotFound(f"{what}: lab.sessions() lists them")
    return stored


def _parts(reply: Reply) -> tuple[Part, ...]:
    parts: list[Part] = []
    if reply.reasoning:
        parts.append(Reasoning(reply.reasoning, reply.reasoning_details))
    if text := reply.text or reply.refusal:
        parts.append(Text(text))
    parts.extend(reply.tool_calls)
    return tuple(parts)


def _as_stored(added: MessageAdded, model: str | None) -> StoredMessage:
    return StoredMessage(
        message_id=added.message_id,
        parent_id=added.parent_id,
        seq=added.seq,
        message=added.message,
        status=added.status,
        created_at=added.created_at,
        call_id=added.call_id,
        model=model,
    )


def _show(transcript: Transcript, stored: StoredMessage) -> None:
    if stored.message.role in ("user", "assistant"):
        transcript.add(
            stored.message_id,
            stored.parent_id,
            stored.message.role,
            stored.message.text,
            model=stored.model,
            status=stored.status,
            reasoning=stored.message.reasoning,
        )
