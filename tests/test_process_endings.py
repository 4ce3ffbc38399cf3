"""What stays when a process ends in the middle of an answer: politely, by interrupt, or killed."""

import os
import signal
import subprocess
import sys

import pytest

import chatlab

ASK = """
import chatlab, sys
lab = chatlab.open()
for event in lab.stream("Write a long story about a lighthouse."):
    if isinstance(event, chatlab.TextDelta):
        print(event.text, flush=True)
        {then}
"""


@pytest.fixture
def asking(own_store, monkeypatch):
    """Start a process that asks for a long answer and does something at the first piece of text."""
    monkeypatch.setenv("CHATLAB_SIMULATOR_PACE", "200")

    def start(then):
        script = ASK.format(then=then)
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def attempts():
    with chatlab.open() as lab:
        return lab.sql("select outcome, generation_id, cost_usd, cost_basis from ai_usage")


def test_a_killed_process_leaves_the_question_and_an_abandoned_attempt(asking):
    with asking("continue") as process:
        assert process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    [attempt] = attempts().itertuples()
    assert attempt.outcome == "abandoned"
    assert attempt.generation_id
    assert (attempt.cost_usd, attempt.cost_basis) == (None, "unknown")
    with chatlab.open() as lab:
        [session_id] = lab.sessions()["session_id"]
        chat = lab.resume(session_id)
        [question] = chat.messages.itertuples()
        assert (question.role, question.status) == ("user", "complete")
        assert question.text == "Write a long story about a lighthouse."
        assert "4" in chat.send("What is 2 + 2?", max_tokens=50).text


def test_a_living_process_keeps_its_attempt_in_flight(asking):
    with asking("continue") as process:
        assert process.stdout.readline()
        assert list(attempts()["outcome"]) == ["in_flight"]
        process.kill()


def test_a_script_that_ends_early_still_saves_what_it_paid_for(asking, monkeypatch):
    monkeypatch.setenv("CHATLAB_SIMULATOR_PACE", "1000")
    with asking("break") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == ""
    assert list(attempts()["outcome"]) == ["completed"]


def test_an_interrupt_stops_the_answer_and_keeps_the_part_that_came(asking):
    with asking("continue") as process:
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert list(attempts()["outcome"]) == ["stopped"]
    with chatlab.open() as lab:
        [status] = lab.sql("select status from messages where role = 'assistant'")["status"]
        assert status == "stopped"


def test_an_exception_in_the_script_ends_it_without_a_second_traceback(asking):
    with asking("sys.exit(3)") as process:
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (3, "")


FORK = """
import multiprocessing, warnings, chatlab
from chatlab.errors import RequestError
warnings.simplefilter("ignore", DeprecationWarning)
lab = chatlab.open()
lab.ask("Hi")
lab.sql("select 1")  # the store is at rest: DuckDB itself does not survive a fork with the file open

def use():
    for ask in (lambda: lab.ask("Hi"), lambda: lab.sql("select 1"), lambda: lab.chat().send("Hi")):
        try:
            ask()
        except RequestError as error:
            print(error, flush=True)
    print(chatlab.open().ask("What is 2 + 2?").status, flush=True)

child = multiprocessing.get_context("fork").Process(target=use)
child.start()
child.join(60)
print(child.exitcode, lab.ask("Hi").status)
"""


def test_a_forked_process_is_told_to_open_its_own_workbench_and_ends():
    command = [sys.executable, "-c", FORK]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    *told, own, last = done.stdout.splitlines()
    assert len(told) == 3, done
    assert all("open a new one" in line for line in told)
    assert (own, last) == ("completed", "0 completed")
