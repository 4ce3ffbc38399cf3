"""The real command under a pseudo-terminal: what a person sees, types and interrupts."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chatlab.cli.tables import Table
from chatlab.workbench import open_workbench

TIMEOUT_S = 60
LONG_QUESTION = "Explain how rainbows form in 300 words."
# The new session has no terminal until one is claimed; only then does Ctrl-C become a signal.
CLAIM_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A person at a terminal: waits for what appears, types, presses Ctrl-C and Ctrl-D."""

    def __init__(self, environ: dict[str, str], folder: Path, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        command = [sys.executable, "-c", CLAIM_TERMINAL, sys.executable, "-m", "chatlab.cli", *arguments]
        self._process = subprocess.Popen(
            command, env=environ, cwd=folder, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.screen = ""  # all that was ever shown
        self._read = 0  # up to where `expect` has looked

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until the pattern appears behind what was expected before."""
        deadline = time.monotonic() + TIMEOUT_S
        while not (match := re.search(pattern, self.screen[self._read :], re.DOTALL)):
            assert self._more(deadline), f"{pattern!r} did not appear in {self.screen!r}"
        self._read += match.end()
        return match

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def leave(self) -> int:
        """Wait for the end and return the exit code."""
        deadline = time.monotonic() + TIMEOUT_S
        while self._more(deadline):
            pass
        return self._process.wait(TIMEOUT_S)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # Linux reports the end of a pseudo-terminal as EIO
            data = b""
        self.screen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    cleared = ("AI_GATEWAY_URL", "AI_API_KEY", "AI_DEFAULT_MODEL", "OPENROUTER_API_KEY")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CHATLAB_STORE": str(tmp_path / "lab.duckdb"),
        "CHATLAB_SIMULATOR_PACE": "0",
        "INPUTRC": "/dev/null",
        "TERM": "dumb",
        **dict.fromkeys(cleared, ""),
    }


@pytest.fixture
def at_terminal(environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str, **more: str) -> Terminal:
        opened.append(Terminal(environ | more, tmp_path, *arguments))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def rows(environ: dict[str, str], query: str) -> list[dict[str, Any]]:
    with open_workbench(environ["CHATLAB_STORE"], gateway="simulator") as lab:
        return json.loads(Table.of(lab.sql(query)).json())


def test_ask_shows_the_speaker_the_text_an_empty_line_and_the_footer(
    at_terminal: Callable[..., Terminal],
) -> None:
    terminal = at_terminal("ask", "What is the capital of France?")
    assert terminal.leave() == 0
    assert re.fullmatch(
        r"Assistant: \S.*\S\n\n\[Model: sim/crow \| Tokens: \d+ \| Cost: \$[\d.]+ \| SIMULATED\]\n",
        terminal.screen,
        re.DOTALL,
    )


def test_hostile_text_has_no_power_over_the_terminal(at_terminal: Callable[..., Terminal]) -> None:
    # The simulator quotes the question, so the question can play the hostile model.
    terminal = at_terminal("ask", "Explain \x1b]0;owned\x07\x1b[2Jtides\u202e.")
    assert terminal.leave() == 0
    assert "tides" in terminal.screen
    assert "owned" not in terminal.screen
    assert not set(terminal.screen) & set("\x1b\x07\u202e")


def test_ctrl_c_in_ask_keeps_the_answer_and_tells_its_footer(
    at_terminal: Callable[..., Terminal], environ: dict[str, str]
) -> None:
    terminal = at_terminal("ask", LONG_QUESTION, "-m", "sim/dolphin", CHATLAB_SIMULATOR_PACE="40")
    terminal.expect(r"Assistant: .{30}")
    terminal.type("\x03")
    assert terminal.leave() == 130
    assert re.search(r"\n\n\[Model: sim/dolphin \| Tokens: \w+ \| Cost: .+\]\n$", terminal.screen)
    stored = rows(environ, "select status, text from thread where role = 'assistant'")[0]
    assert stored["status"] == "stopped"
    assert stored["text"].rstrip("\n") in terminal.screen.replace("^C", "")


def test_a_conversation_goes_on_after_a_stopped_answer(
    at_terminal: Callable[..., Terminal], environ: dict[str, str]
) -> None:
    terminal = at_terminal("chat", CHATLAB_SIMULATOR_PACE="40")
    terminal.expect(r"chatlab: sim/crow \| SIMULATED\..*You: ")
    terminal.type("/model sim/dolphin\n")
    terminal.expect(r"model: sim/dolphin\n.*You: ")
    terminal.type(LONG_QUESTION + "\n")
    terminal.expect(r"Assistant: .{30}")
    terminal.type("\x03")
    terminal.expect(r"\[Model: sim/dolphin .*\]\n.*You: ")
    terminal.type("/model sim/ant\n")
    terminal.expect(r"You: ")
    terminal.type("What is 2 + 2?\n")
    terminal.expect(r"Assistant: .*\[Model: sim/ant .*You: ")
    terminal.type("/usage\n")
    terminal.expect(r"sim/ant +1 .*sim/dolphin +1 .*You: ")
    terminal.type("\x04")
    session = terminal.expect(r"chatlab chat --resume (\S+)\n")[1]
    assert terminal.leave() == 0
    outcomes = rows(environ, "select outcome from ai_usage order by attempt_id")
    assert [row["outcome"] for row in outcomes] == ["stopped", "completed"]
    again = at_terminal("chat", "--resume", session)
    again.expect(r"chatlab: sim/ant .*You: ")
    again.type("/quit\n")
    assert again.leave() == 0


def test_several_lines_are_one_message_by_backslash_and_by_pasting(
    at_terminal: Callable[..., Terminal], environ: dict[str, str]
) -> None:
    terminal = at_terminal("chat")
    terminal.expect("You: ")
    terminal.type("first\\\n")
    terminal.expect(r"\.\.\.  ")
    terminal.type("second\n")
    terminal.expect(r"\[Model: .*You: ")
    terminal.type("pasted one\npasted two\npasted three\n")
    terminal.expect(r"\[Model: .*You: ")
    terminal.type("\x04")
    assert terminal.leave() == 0
    texts = [row["text"] for row in rows(environ, "select text from thread where role = 'user' order by seq")]
    assert texts == ["first\nsecond", "pasted one\npasted two\npasted three"]


def test_a_marked_paste_is_one_message(at_terminal: Callable[..., Terminal], environ: dict[str, str]) -> None:
    terminal = at_terminal("chat", TERM="xterm")
    if not terminal.expect(r"(\x1b\[\?2004h)?You: ")[1]:
        pytest.skip("this Python's line editing does not mark pastes")
    terminal.type("\x1b[200~one\ntwo\x1b[201~\n")
    terminal.expect(r"\[Model: .*You: ")
    terminal.type("/quit\n")
    assert terminal.leave() == 0
    assert rows(environ, "select text from thread where role = 'user'") == [{"text": "one\ntwo"}]


def test_mistakes_in_a_conversation_are_told_and_it_goes_on(at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("chat")
    terminal.expect("You: ")
    terminal.type("/modle x\n")
    terminal.expect(r"chatlab: there is no command '/modle': one of /model, .*You: ")
    terminal.type("/tool nosuchtool\n")
    terminal.expect(r"chatlab: .*nosuchtool.*You: ")
    terminal.type("/model sim/error-402\n")
    terminal.expect("You: ")
    terminal.type("hello\n")
    terminal.expect(r"chatlab: .*You: ")
    terminal.type("\x03")
    terminal.type("\n")  # line editing may only notice the signal with the next key
    terminal.expect(r"Ctrl-D leaves.*You: ")
    terminal.type("\x04")
    assert terminal.leave() == 0
    assert "Traceback" not in terminal.screen


def test_lines_from_a_pipe_are_messages(environ: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chatlab.cli", "chat"]
    done = subprocess.run(
        command,
        env=environ,
        cwd=tmp_path,
        input="What is 1 + 1?\n/model sim/bee\nWhat is 2 + 2?\n",
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=TIMEOUT_S,
    )
    assert "You: " not in done.stdout
    assert re.findall(r"\[Model: (\S+)", done.stderr) == ["sim/crow", "sim/bee"]


def test_rows_on_a_terminal_cannot_act_on_it(at_terminal: Callable[..., Terminal]) -> None:
    query = "select chr(27) || '[2J' || chr(8238) || 'text' as t"
    for form in ([], ["--csv"], ["--json"]):
        terminal = at_terminal("sql", query, *form)
        assert terminal.leave() == 0
        assert "text" in terminal.screen
        assert not set(terminal.screen) & {"\x1b", "\u202e"}
