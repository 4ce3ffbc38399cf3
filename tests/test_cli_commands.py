"""The real command in pipes: what it prints where, what it stores, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chatlab.cli.tables import Table
from chatlab.workbench import open_workbench

REPOSITORY = Path(__file__).parent.parent
COMMANDS = ("ask", "chat", "demo", "doctor", "models", "simulator", "sql", "tools", "usage")
FOOTER = re.compile(r"\[Model: sim/crow \| Tokens: \d+ \| Cost: \$\d+\.\d+ \| SIMULATED\]\n")
LONG_QUESTION = "Explain how rainbows form in 300 words."
TIMEOUT_S = 60


class Program:
    """The command with a store of its own, no key, and answers without pauses."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        cleared = ("AI_GATEWAY_URL", "AI_API_KEY", "AI_DEFAULT_MODEL", "OPENROUTER_API_KEY")
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CHATLAB_STORE": str(folder / "lab.duckdb"),
            "CHATLAB_SIMULATOR_PACE": "0",
            **dict.fromkeys(cleared, ""),
            **environ,
        }

    def with_environ(self, **environ: str) -> Program:
        return Program(self.folder, **(self.environ | environ))

    def run(self, *arguments: str, stdin: str | None = None, cwd: Path | None = None) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "chatlab.cli", *arguments],
            env=self.environ,
            cwd=cwd or self.folder,
            stdin=subprocess.DEVNULL if stdin is None else None,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "chatlab.cli", *arguments],
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Read the store from here: a process of its own for each look would take most of the time."""
        with open_workbench(self.environ["CHATLAB_STORE"], gateway="simulator") as lab:
            return json.loads(Table.of(lab.sql(query)).json())


class Result:
    """What a finished command left."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def failed_with(self, code: int) -> str:
        """Check that it failed with this code and one line; return the line."""
        assert self.code == code, (self.code, self.err)
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("chatlab: ")
        return lines[0]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A program whose store already holds two calls: one answered, one refused."""
    program = Program(tmp_path_factory.mktemp("used"))
    assert program.run("ask", "=What is 17 * 23?", "-m", "sim/owl").code == 0
    assert program.run("ask", "hello", "-m", "sim/error-402").code == 1
    return program


# ---------------------------------------------------------------- help


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['chatlab', '--help']\n"
        "from chatlab.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'openai', 'httpx2', 'pandas', 'duckdb', 'ipywidgets', 'genai_prices', 'rich', 'asyncio'}\n"
        "sys.stderr.write(repr(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stderr == "[]"
    assert "Exit codes:" in done.stdout
    assert all(re.search(rf"^  {command} ", done.stdout, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(program: Program, command: str) -> None:
    result = program.run(command, "--help")
    assert result.code == 0
    assert re.search(rf"Examples?:\n.*chatlab {command}", result.out, re.DOTALL)


def test_the_version_is_told(program: Program) -> None:
    assert re.fullmatch(r"chatlab \d+\.\d+\.\d+\n", program.run("--version").out)


def test_a_missing_typer_is_named_with_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None\nfrom chatlab.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    assert (
        done.stderr
        == 'chatlab: the command line needs more libraries: pip install "chatlab-workbench[cli]"\n'
    )


# ---------------------------------------------------------------- ask


def test_in_a_pipe_only_the_text_goes_to_standard_output(program: Program) -> None:
    result = program.run("ask", "What is the capital of France?")
    assert result.code == 0
    assert FOOTER.fullmatch(result.err)
    stored = program.rows("select m.text from thread m where role = 'assistant'")
    assert result.out == stored[0]["text"] + "\n"


def test_json_is_one_object_with_text_usage_and_exact_cost(program: Program) -> None:
    result = program.run("ask", "What is 17 * 23?", "--json", "-p", "temperature=0.5", "-p", "seed=7")
    answer = json.loads(result.out)
    assert (result.code, result.err) == (0, "")
    assert (answer["status"], answer["model"], answer["error"]) == ("completed", "sim/crow", None)
    assert (
        answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
    )
    assert answer["simulated"] is True
    row = program.rows("select attempt_id, session_id, cost_usd, cost_basis from ai_usage")[0]
    assert row["cost_basis"] == answer["cost_basis"] == "reported"
    assert float(row["cost_usd"]) == float(answer["cost_usd"]) > 0
    assert isinstance(answer["cost_usd"], str)
    assert (row["attempt_id"], row["session_id"]) == (answer["attempt_id"], answer["session_id"])
    assert program.rows("select params from calls")[0]["params"] in (
        {"temperature": 0.5, "seed": 7},
        '{"temperature":0.5,"seed":7}',
        '{"seed":7,"temperature":0.5}',
        '{"temperature": 0.5, "seed": 7}',
    )


def test_text_from_a_pipe_follows_the_question(program: Program) -> None:
    assert program.run("ask", "Review this change", stdin="- a\n+ b\n").code == 0
    assert program.run("ask", stdin="only piped\n").code == 0
    assert program.run("ask", "-", stdin="a dash means the pipe").code == 0
    texts = [
        row["text"] for row in program.rows("select text from thread where role = 'user' order by message_id")
    ]
    assert texts == ["Review this change\n\n- a\n+ b", "only piped", "a dash means the pipe"]


def test_a_pipe_may_hold_bytes_that_are_no_text(program: Program) -> None:
    command = [sys.executable, "-m", "chatlab.cli", "ask", "Review"]
    done = subprocess.run(
        command, env=program.environ, cwd=program.folder, input=b"caf\xe9\n", capture_output=True, check=True
    )
    assert done.stdout.endswith(b"\n")
    assert program.rows("select text from thread where role = 'user'") == [{"text": "Review\n\ncaf�"}]


def test_the_whole_answer_can_come_in_one_piece(program: Program) -> None:
    streamed = program.run("ask", "What is the capital of Peru?")
    whole = program.run("ask", "What is the capital of Peru?", "--no-stream")
    assert whole.code == 0
    assert whole.out == streamed.out
    assert FOOTER.fullmatch(whole.err)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_closed_stream_is_as_good_as_an_empty_one(program: Program, closed: str) -> None:
    command = [sys.executable, "-m", "chatlab.cli", "ask", "hello"]
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {closed}', "sh", *command],
        env=program.environ,
        cwd=program.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert b"Traceback" not in done.stderr
    assert len(program.rows("select 1 from ai_usage where outcome = 'completed'")) == 1


def test_the_last_conversation_is_continued(program: Program) -> None:
    first = json.loads(program.run("ask", "What is 2 + 2?", "--json", "-s", "Be brief.").out)
    second = json.loads(program.run("ask", "And 3 + 3?", "-c", "-m", "sim/bee", "--json").out)
    assert second["session_id"] == first["session_id"]
    assert second["model"] == "sim/bee"
    assert second["context"]["included"] == 4  # system, question, answer, question
    assert len(program.rows("select 1 from thread")) == 4


def answers(program: Program) -> list[dict[str, Any]]:
    """How each request ended, and what is stored of its answer."""
    return program.rows(
        "select u.outcome, t.status, t.text from ai_usage u join thread t using (session_id) "
        "where role = 'assistant' order by started_at"
    )


def test_a_reader_that_leaves_does_not_end_the_answer(program: Program) -> None:
    with program.with_environ(CHATLAB_SIMULATOR_PACE="400").start("ask", LONG_QUESTION) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        head = process.stdout.read(20)
        process.stdout.close()
        errors = process.stderr.read().decode()
        assert process.wait(TIMEOUT_S) == 0
        assert FOOTER.fullmatch(errors)
    answer = answers(program)[0]
    assert answer["outcome"] == "completed"
    assert answer["text"].encode().startswith(head)
    assert len(answer["text"]) > 100


def test_an_interrupt_keeps_what_has_come(program: Program) -> None:
    slow = program.with_environ(CHATLAB_SIMULATOR_PACE="40")
    with slow.start("ask", LONG_QUESTION, "-m", "sim/dolphin") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        head = process.stdout.read(30)
        os.killpg(process.pid, signal.SIGINT)
        text = (head + process.stdout.read()).decode()
        errors = process.stderr.read().decode()
        assert process.wait(TIMEOUT_S) == 130
    assert re.fullmatch(r"\[Model: sim/dolphin \| Tokens: \w+ \| Cost: .+\]\n", errors)
    assert answers(program) == [{"outcome": "stopped", "status": "stopped", "text": text.removesuffix("\n")}]


@pytest.mark.parametrize("form", ["--json", "--no-stream"])
def test_an_answer_that_shows_nothing_yet_can_be_interrupted(program: Program, form: str) -> None:
    with program.with_environ(CHATLAB_SIMULATOR_PACE="1").start("ask", LONG_QUESTION, form) as process:
        wait_for_attempt(program)
        os.killpg(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert json.loads(out)["status"] == "stopped" if form == "--json" else errors == b"chatlab: interrupted\n"
    assert answers(program)[0]["outcome"] == "stopped"


def wait_for_attempt(program: Program) -> None:
    """Return once another process's request is under way."""
    for _ in range(100):
        if program.rows("select 1 from ai_usage"):
            return
        time.sleep(0.1)
    pytest.fail("the request was never stored")


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_gateway_failure_is_one_line_and_exit_code_1(program: Program, status: int) -> None:
    result = program.run("ask", "hello", "-m", f"sim/error-{status}")
    assert result.out == ""
    result.failed_with(1)


def test_json_tells_the_error_too(program: Program) -> None:
    result = program.run("ask", "hello", "-m", "sim/error-402", "--json")
    assert result.code == 1
    assert json.loads(result.out)["error"]["kind"] == "PaymentRequired"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ask"], "there is no question"),
        (["ask", "x", "-p", "temperature"], "name=value"),
        (["ask", "x", "-p", "model=other"], "use -m"),
        (["ask", "x", "-c", "-s", "Be brief"], "leave out --system"),
        (["ask", "x", "-t", "nosuchtool"], "nosuchtool"),
        (["usage", "--by", "modell"], "did you mean 'model'"),
        (["usage", "--since", "yesterday"], "'7d'"),
        (["usage", "--json", "--csv"], "choose one"),
        (["sql", "drop table calls"], "SELECT"),
        (["sql", "select nothing_like_it from ai_usage"], "nothing_like_it"),
        (["sql", "select * from read_text('/etc/passwd')"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_request_is_one_line_with_the_remedy(
    program: Program, arguments: list[str], told: str
) -> None:
    result = program.run(*arguments)
    assert told in result.failed_with(3 if "nosuchtool" in arguments else 2)
    assert result.out == ""


def test_a_missing_key_names_the_variable(program: Program) -> None:
    result = program.with_environ(AI_GATEWAY_URL="https://openrouter.ai/api/v1").run("ask", "hello")
    assert "AI_API_KEY" in result.failed_with(2)


def test_a_key_is_never_repeated(program: Program) -> None:
    key = "sk-ant-canary-0123456789"
    wrong = program.with_environ(AI_GATEWAY_URL="https://openrouter.ai/api/v1", AI_API_KEY=key)
    for arguments, code in ((["ask", "hello"], 2), (["doctor"], 3)):
        result = wrong.run(*arguments)
        assert result.code == code
        assert "sk-or-" in result.out + result.err
        assert key not in result.out + result.err


def test_an_unknown_option_is_told_with_usage(program: Program) -> None:
    result = program.run("ask", "hello", "--tempreature", "1")
    assert result.code == 2
    assert "No such option" in result.err


@pytest.mark.parametrize("arguments", [["ask", "x", "-c"], ["chat", "--resume", "0123abcd"]])
def test_a_conversation_that_is_not_there_is_exit_code_3(program: Program, arguments: list[str]) -> None:
    program.run(*arguments).failed_with(3)


def test_a_damaged_store_is_exit_code_4(program: Program) -> None:
    (program.folder / "lab.simulator.duckdb").write_bytes(b"this is no database" * 1000)
    program.run("usage").failed_with(4)


# ---------------------------------------------------------------- rows


def test_usage_is_a_table_that_never_shows_an_unknown_cost_as_zero(used: Program) -> None:
    result = used.run("usage", "--by", "model,outcome")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].split()[:2] == ["model", "outcome"]
    owl = next(line for line in lines if line.startswith("sim/owl"))
    refused = next(line for line in lines if line.startswith("sim/error-402"))
    assert "unknown" in refused
    assert "unknown" not in owl


def test_usage_speaks_json_and_csv(used: Program) -> None:
    rows = json.loads(used.run("usage", "--since", "all", "--json").out)
    assert {row["model"]: row["cost_usd"] is None for row in rows} == {
        "sim/owl": False,
        "sim/error-402": True,
    }
    lines = used.run("usage", "--csv").out.splitlines()
    assert len(lines) == 3
    assert lines[0].split(",")[0] == "model"


def test_usage_of_nothing_is_said_and_is_no_failure(program: Program) -> None:
    result = program.run("usage")
    assert (result.code, result.out, result.err) == (0, "", "chatlab: no call in this period\n")


def test_sql_reads_a_query_from_a_pipe_and_writes_inert_csv(used: Program) -> None:
    result = used.run("sql", "-", "--csv", stdin="select text, -1 as n from thread where text like '=%'")
    assert result.out == "text,n\n'=What is 17 * 23?,-1\n"


def test_sql_rows_hold_no_control_of_a_model_even_as_a_table(used: Program) -> None:
    result = used.run("sql", "select chr(27) || '[31mred' || chr(10) || 'x' as t")
    assert result.out == "t\n-----\nred x\n"


def test_usage_by_day_shows_days(used: Program) -> None:
    assert re.search(r"\n20\d\d-\d\d-\d\d +\d", used.run("usage", "--by", "day").out)


def test_models_are_listed_with_prices(used: Program) -> None:
    table = used.run("models")
    assert "sim/dolphin" in table.out
    rows = json.loads(used.run("models", "--refresh", "--json").out)
    assert next(row for row in rows if row["model"] == "sim/dolphin")["input_usd_per_mtok"].startswith("2")


def test_tools_are_listed_from_the_project_folder(program: Program) -> None:
    result = program.run("tools", "--json", cwd=REPOSITORY)
    assert {"assistant", "tutor"} <= {row["name"] for row in json.loads(result.out)}


# ---------------------------------------------------------------- doctor and simulator


def test_doctor_finds_nothing_wrong_with_the_simulator(program: Program) -> None:
    result = program.run("doctor")
    assert result.code == 0, result.out
    assert "simulator" in result.out
    checks = json.loads(program.run("doctor", "--json").out)
    assert {"name", "ok", "detail", "remedy"} == set(checks[0])
    assert all(check["ok"] for check in checks)


def test_doctor_fails_with_exit_code_3_and_a_remedy(program: Program) -> None:
    nowhere = program.with_environ(
        AI_GATEWAY_URL="http://127.0.0.1:9/v1", AI_API_KEY="k", AI_DEFAULT_MODEL="m"
    )
    result = nowhere.run("doctor")
    assert result.code == 3
    assert re.search(r"failed  gateway reachable .*\n +-> ", result.out)


def test_the_simulator_serves_any_client_until_it_is_interrupted(program: Program) -> None:
    with program.start("simulator", "--port", "0", "--first-token", "0", "--pace", "0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().decode().split()[3]
        with urllib.request.urlopen(f"{url}/models", timeout=TIMEOUT_S) as response:
            assert "sim/crow" in response.read().decode()
        client = program.with_environ(AI_GATEWAY_URL=url, AI_API_KEY="simulator")
        answer = client.run("ask", "What is 1 + 1?")
        assert FOOTER.fullmatch(answer.err)
        assert len(program.rows("from ai_usage")) == 1, "its rows are kept with those of the built-in one"
        os.killpg(process.pid, signal.SIGINT)
        out, errors = process.stdout.read(), process.stderr.read()
        assert (process.wait(TIMEOUT_S), errors) == (0, b"")
        assert b"curl -N " + url.encode() in out


# ---------------------------------------------------------------- a hostile gateway

HOSTILE = "a\x1b[2J\x1b]52;c;cm0=\x07b\u202ec\n"


class HostileGateway(BaseHTTPRequestHandler):
    """Answers every chat with text that attacks a terminal."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for text, finish in ((HOSTILE[:4], None), (HOSTILE[4:], None), ("", "stop")):
            choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish}
            chunk = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": "x\x1b[31my"}
            self.wfile.write(b"data: " + json.dumps(chunk | {"choices": [choice]}).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def hostile_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), HostileGateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def test_a_pipe_gets_hostile_text_as_it_is_but_people_do_not(program: Program, hostile_url: str) -> None:
    environ: Mapping[str, str] = {"AI_GATEWAY_URL": hostile_url, "AI_API_KEY": "k", "AI_DEFAULT_MODEL": "m"}
    client = program.with_environ(**environ)
    result = client.run("ask", "hello")
    assert result.code == 0, result.err
    assert result.out == HOSTILE
    assert result.err == "[Model: xy | Tokens: unknown | Cost: unknown]\n"
    answer = client.run("ask", "hello", "--json")
    assert json.loads(answer.out)["text"] == HOSTILE
    assert not set(answer.out) & set("\x1b\x07\u202e")
