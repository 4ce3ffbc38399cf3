"""Real kernels: two of them and the command line on one store at once, and one that is killed."""

import os
import signal
import subprocess
import sys

import pytest
from jupyter_client.manager import start_new_kernel

import chatlab

ASK_TEN = """
import chatlab
lab = chatlab.open()
for number in range(10):
    lab.ask(f"What is {number} + {number}?")
print("done")
"""

ASK_LONG = """
import chatlab
lab = chatlab.open()
for event in lab.stream("Write a long story about a lighthouse."):
    if isinstance(event, chatlab.TextDelta):
        print(event.text)
"""


class Kernel:
    """A running kernel that tells what it prints."""

    def __init__(self):
        self.manager, self.client = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL)

    def start(self, code):
        self.client.execute(code)

    def wait_for_text(self, wanted=""):
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            assert message["msg_type"] != "error", message["content"]["traceback"]
            if message["msg_type"] == "stream" and wanted in message["content"]["text"]:
                return

    def kill(self):
        os.kill(self.manager.provisioner.pid, signal.SIGKILL)

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def new_kernel():
    kernels = []

    def start():
        kernels.append(Kernel())
        return kernels[-1]

    yield start
    for kernel in kernels:
        kernel.close()


def test_two_kernels_and_the_command_line_write_to_one_store_at_once(new_kernel, own_store):
    kernels = [new_kernel(), new_kernel()]
    for kernel in kernels:
        kernel.start(ASK_TEN)
    for number in range(3):
        command = [sys.executable, "-m", "chatlab.cli", "ask", f"What is {number} + 100?"]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    for kernel in kernels:
        kernel.wait_for_text("done")
    with chatlab.open() as lab:
        assert len(lab.sessions()) == 23
        outcomes = lab.sql("select outcome, count(*) as n from ai_usage group by outcome")
        assert outcomes.to_dict("records") == [{"outcome": "completed", "n": 23}]
        assert lab.sql("select count(*) as n from messages")["n"][0] == 46


def test_a_kernel_killed_in_the_middle_of_an_answer_loses_nothing_else(new_kernel, own_store, monkeypatch):
    with chatlab.open() as lab:
        before = lab.ask("What is 2 + 2?")
    monkeypatch.setenv("CHATLAB_SIMULATOR_PACE", "100")
    kernel = new_kernel()
    kernel.start(ASK_LONG)
    kernel.wait_for_text()
    kernel.kill()
    with chatlab.open() as lab:
        attempts = lab.sql("select call_id, outcome, cost_usd from ai_usage order by started_at")
        assert list(attempts["outcome"]) == ["completed", "abandoned"]
        assert attempts["cost_usd"][0] == before.cost.usd
        assert attempts["cost_usd"][1] is None
        [question] = lab.resume("last").messages.itertuples()
        assert (question.role, question.text) == ("user", "Write a long story about a lighthouse.")
        assert lab.messages(before.session_id)["text"].iloc[1] == before.text
