"""The README is run: its Python prints what it says, its commands exist, its links and tool are valid."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatlab.tools import parse_tool

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
BLOCKS = BLOCK.findall(TEXT)


def blocks(language):
    return [code for found, code in BLOCKS if found == language]


def outputs():
    """Pair each Python block with the text block that follows it."""
    pairs = zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    return [
        (code, after if kind == "text" else "")
        for (language, code), (kind, after) in pairs
        if language == "python"
    ]


def test_every_python_block_prints_what_stands_below_it(own_store, monkeypatch):
    monkeypatch.setenv("CHATLAB_SIMULATOR_PACE", "500")  # tokens per second: there is something to stop
    names = {}
    try:
        for code, expected in outputs():
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(README), "exec"), names)
            shown = [line.rstrip() for line in printed.getvalue().splitlines()]
            assert shown == [line.rstrip() for line in expected.splitlines()]
    finally:
        names["lab"].close()


def commands():
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if "chatlab " in line]


def test_every_command_of_the_readme_runs(own_store):
    assert len(commands()) >= 6
    for line in commands():
        ours = line.replace("chatlab ", f"{sys.executable} -m chatlab.cli ").replace("git diff", "echo diff")
        run = subprocess.run(
            ours,
            shell=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, f"{line}: {run.stderr}"


def test_make_knows_every_target_of_the_readme():
    targets = re.findall(r"`?make (\w+)", TEXT)
    assert {"lab", "test", "demo"} <= set(targets)
    known = (README.parent / "Makefile").read_text()
    assert not [target for target in targets if not re.search(rf"^{target}:", known, re.MULTILINE)]


def test_the_tool_of_the_readme_is_valid():
    [tool] = blocks("yaml")
    assert parse_tool(tool, source="README.md").render({}) == (
        "You are a pirate. Answer in at most 2 sentences."
    )


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_every_link_leads_to_something_in_the_repository(target):
    assert (README.parent / target).exists()


def test_the_first_screen_has_a_sentence_two_commands_a_picture_and_a_result():
    first = "\n".join(TEXT.splitlines()[:32])
    for needed in ("make lab", "make test", "![", "```python", "```text"):
        assert needed in first
