"""`chatlab demo`: the journey in one go, on the simulator, in a store that is thrown away afterwards.

Every step says what it shows and then checks it against the store; the command succeeds only when every
check held.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import typer

from chatlab.cli.exits import NOT_FOUND
from chatlab.cli.records import brief_usage
from chatlab.cli.tables import Table
from chatlab.cli.terminal import Neutraliser, safe_label, styled
from chatlab.values.events import Done, TextDelta
from chatlab.values.reply import Reply

if TYPE_CHECKING:
    from chatlab.blocking import Stream
    from chatlab.workbench import Workbench

PACE: Final = "120"  # tokens per second of the simulated models: fast enough to wait for, slow enough to see
STOP_AFTER: Final = 120  # characters of the answer that is stopped
QUESTIONS: Final = ("What is 17 * 23?", "What is the capital of Australia?", "Convert 5 miles to kilometres.")
LONG_QUESTION: Final = "Explain how rainbows form in 600 words."
QUERY: Final = """\
select model, count(*) as attempts, min(first_token_s) as first_token_s,
       sum(cost_usd) as cost_usd, count(*) filter (where cost_usd is null) as n_unknown
from ai_usage group by model order by model"""


def demo() -> None:
    """Show chats, a stop, a comparison, usage, SQL and a crash, on the simulator.

    Takes less than 20 seconds, needs no key and leaves nothing behind. Ends with exit code 3 when a step
    did not hold.

    \b
    Example:
      chatlab demo
    """
    began = time.monotonic()
    _print("On the built-in simulator, in a store that is thrown away.")
    with TemporaryDirectory(prefix="chatlab-demo-") as folder:
        os.environ.setdefault("CHATLAB_SIMULATOR_PACE", PACE)
        try:
            _journey(Path(folder) / "demo.duckdb")
        except _DoesNotHold as broken:
            _print(styled(f"  does not hold: {broken}", "red", sys.stdout))
            raise typer.Exit(NOT_FOUND) from None
    _print(f"\nEvery step held. {time.monotonic() - began:.1f} s")


class _DoesNotHold(Exception):
    """A step showed something else than it should."""


def _journey(store: Path) -> None:
    with _simulated(store) as lab:
        replies = [*_two_models(lab), _stopped_answer(lab), *_comparison(lab)]
        _usage(lab, replies)
        _questions_in_sql(lab, replies)
    _killed_process(store)


@contextmanager
def _simulated(store: Path) -> Iterator[Workbench]:
    from chatlab.workbench import open_workbench

    with open_workbench(store, gateway="simulator") as lab:
        yield lab


def _two_models(lab: Workbench) -> list[Reply]:
    _heading("Two models answer, live")
    replies = []
    for model in ("sim/crow", "sim/dolphin"):
        chat = lab.chat(model=model)
        _print(f"You: {QUESTIONS[1]}")
        reply, pieces = _watch(chat.stream(QUESTIONS[1]), model)
        _check(reply.status == "completed" and pieces > 1, f"{model} came in {pieces} pieces")
        _check(_stored_texts(lab, chat.session_id) == [QUESTIONS[1], reply.text], "both sides are stored")
        replies.append(reply)
    return replies


def _stopped_answer(lab: Workbench) -> Reply:
    _heading("A long answer, stopped half-way")
    _print(f"You: {LONG_QUESTION}")
    reply, _ = _watch(lab.stream(LONG_QUESTION, model="sim/dolphin"), "sim/dolphin", stop_after=STOP_AFTER)
    _check(reply.status == "stopped", "it ended as stopped")
    _check(reply.cost.usd is None, "what it cost is not known yet, which is not zero")
    kept = _stored_texts(lab, str(reply.session_id))[-1]
    _check(len(kept) > 0 and kept == reply.text, f"the {len(kept)} characters that had come are kept")
    return reply


def _comparison(lab: Workbench) -> list[Reply]:
    _heading("Three questions to a cheap and to a strong model")
    pairs = [[lab.ask(question, model=model) for model in ("sim/ant", "sim/owl")] for question in QUESTIONS]
    rows = tuple(
        (question, *(_first_line(reply.text) for reply in pair), pair[1].cost.usd)
        for question, pair in zip(QUESTIONS, pairs, strict=True)
    )
    _table(Table(("question", "sim/ant", "sim/owl", "usd of sim/owl"), rows))
    _check(
        all(reply.status == "completed" for pair in pairs for reply in pair), "all six answers are complete"
    )
    _check(
        all((ant.cost.usd or 0) < (owl.cost.usd or 0) for ant, owl in pairs),
        "the strong model costs more every time",
    )
    return [reply for pair in pairs for reply in pair]


def _usage(lab: Workbench, replies: Sequence[Reply]) -> None:
    _heading("Usage by model: `chatlab usage`")
    lab.settle()
    bills = [_later_bill(lab, reply) if reply.cost.usd is None else reply.cost.usd for reply in replies]
    _check(None not in bills, "the bill of the stopped answer has come")
    table = Table.of(lab.usage(["model"]))
    _table(brief_usage(table))
    spent = sum((cost for cost in _column(table, "cost_usd") if cost is not None), Decimal(0))
    _check(sum(_column(table, "n_attempts")) == len(replies), f"all {len(replies)} requests are counted")
    _check(spent == sum(filter(None, bills), Decimal(0)), "the costs add up to the last digit")


def _later_bill(lab: Workbench, reply: Reply) -> Decimal | None:
    table = Table.of(lab.sql("select cost_usd from ai_usage where attempt_id = ?", [reply.attempt_id]))
    bill: Decimal | None = _column(table, "cost_usd")[0]
    return bill


def _questions_in_sql(lab: Workbench, replies: Sequence[Reply]) -> None:
    _heading("Questions in SQL: `chatlab sql`")
    _print(QUERY)
    table = Table.of(lab.sql(QUERY))
    _table(table)
    _check(sum(_column(table, "attempts")) == len(replies), "they are the same requests")


def _killed_process(store: Path) -> None:
    _heading("A process is killed in the middle of an answer")
    command = [sys.executable, "-m", "chatlab.cli", "--store", str(store), "ask", LONG_QUESTION]
    environment = {**os.environ, "AI_GATEWAY_URL": "simulator", "AI_API_KEY": ""}
    with subprocess.Popen(  # noqa: S603 (this program itself)
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        seen = process.stdout.read(STOP_AFTER) if process.stdout is not None else b""
        process.kill()
    _print(f"{safe_label(seen.decode('utf-8', 'ignore'))} [kill -9]")
    with _simulated(store) as lab:
        _check(len(seen) == STOP_AFTER and process.returncode != 0, "it died while its answer was coming")
        session = str(lab.sessions()["session_id"].iloc[0])
        _check(_stored_texts(lab, session)[0] == LONG_QUESTION, "its question is stored")
        killed = Table.of(lab.sql("select outcome, cost_usd from ai_usage where session_id = ?", [session]))
        _check(_column(killed, "outcome") == ["abandoned"], "its request is marked abandoned")
        _check(_column(killed, "cost_usd") == [None], "its cost is unknown")
        _check(len(_column(Table.of(lab.sessions()), "session_id")) > 1, "nothing else is harmed")


def _watch(stream: Stream, model: str, *, stop_after: int | None = None) -> tuple[Reply, int]:
    """Print an answer as it comes; give the reply and the number of pieces it came in."""
    sys.stdout.write(styled(f"{model}: ", "bold", sys.stdout))
    neutraliser, pieces, length = Neutraliser(), 0, 0
    for event in stream:
        if isinstance(event, TextDelta):
            pieces, length = pieces + 1, length + len(event.text)
            sys.stdout.write(neutraliser.feed(event.text))
            sys.stdout.flush()
            if stop_after is not None and length >= stop_after:
                stream.stop()
        elif isinstance(event, Done):
            _print(neutraliser.end())
            _print(styled(safe_label(event.reply.footer()), "dim", sys.stdout))
    return stream.result(), pieces


def _stored_texts(lab: Workbench, session_id: str) -> list[str]:
    return [str(text) for text in lab.messages(session_id)["text"]]


def _column(table: Table, name: str) -> list[Any]:
    return [row[0] for row in table.only([name]).rows]


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]


def _heading(text: str) -> None:
    _print("\n" + styled(text, "bold", sys.stdout))


def _table(table: Table) -> None:
    sys.stdout.write(table.text(longest_cell=40))


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _check(holds: bool, fact: str) -> None:
    if not holds:
        raise _DoesNotHold(fact)
    _print(styled(f"  ok: {fact}", "green", sys.stdout))
