"""`%%chat`: the cell is the prompt, and the cells are one conversation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from chatlab import magics, ui
from chatlab.workbench import Workbench, open_workbench


@pytest.fixture
def lab() -> Iterator[Workbench]:
    with open_workbench() as lab:
        yield lab


@pytest.fixture
def shell(lab: Workbench) -> Iterator[InteractiveShell]:
    """A terminal's IPython with the magic and a workbench in it."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.user_ns["lab"] = lab
    magics.register(shell, lambda: lab)
    yield shell
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, line: str, cell: str) -> str:
    with capture_output() as shown:
        shell.run_cell_magic("chat", line, cell)
    return str(shown.stdout)


def sessions(lab: Workbench) -> int:
    return len(lab.sessions())


def test_the_cell_is_answered_with_the_footer_under_it(shell: InteractiveShell) -> None:
    text = run(shell, "", "What is the capital of Peru?\n")
    assert "Lima" in text
    assert text.rstrip().endswith("SIMULATED]")


def test_the_cells_are_one_conversation_until_a_new_one_is_asked_for(
    shell: InteractiveShell, lab: Workbench
) -> None:
    run(shell, "", "What is the capital of Peru?")
    assert "Peru" in run(shell, "", "What did I ask you before?")
    assert sessions(lab) == 1
    run(shell, "--new", "Hello")
    assert sessions(lab) == 2


def test_model_and_tool_hold_from_then_on(shell: InteractiveShell, lab: Workbench) -> None:
    run(shell, "-m sim/bee -t tutor", "Hello")
    run(shell, "", "Hello again")
    run(shell, "-m sim/ant", "And you?")
    rows = lab.sql("select model, tool_name from ai_usage order by attempt_id")
    assert list(rows.itertuples(index=False, name=None)) == [
        ("sim/bee", "tutor"),
        ("sim/bee", "tutor"),
        ("sim/ant", "tutor"),
    ]


@pytest.mark.parametrize(
    ("line", "cell", "words"),
    [
        ("", "  \n", "the cell is empty"),
        ("--nosuch", "x", "unrecognized arguments"),
        ("-m", "x", "expected one argument"),
        ("-t nosuch", "x", "nosuch"),
    ],
)
def test_mistakes_are_said_without_a_traceback(
    shell: InteractiveShell, line: str, cell: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        run(shell, line, cell)


def test_a_failed_answer_is_an_error_of_the_cell(shell: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="sim/nosuch"):
        run(shell, "-m sim/nosuch", "hello")


def test_a_workbench_is_opened_when_there_is_none(shell: InteractiveShell, lab: Workbench) -> None:
    del shell.user_ns["lab"]
    run(shell, "", "Hello")
    assert shell.user_ns["lab"] is lab


def test_a_variable_of_that_name_is_never_overwritten(shell: InteractiveShell) -> None:
    shell.user_ns["lab"] = "my data"
    with pytest.raises(UsageError, match="not a workbench"):
        run(shell, "", "Hello")
    assert shell.user_ns["lab"] == "my data"


def test_an_interrupt_stops_the_answer_and_the_run(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(magics.ChatMagic, "_exchange", interrupt)
    with pytest.raises(UsageError, match="stopped"):
        run(shell, "", "Hello")


def test_in_a_notebook_the_exchange_is_shown_by_the_notebook_face(shell: InteractiveShell) -> None:
    shell.kernel = object()  # type: ignore[attr-defined]
    ui.register(shell)
    with capture_output() as shown:
        shell.run_cell_magic("chat", "", "What is the capital of Peru?")
    assert "application/vnd.jupyter.widget-view+json" in shown.outputs[0].data
    assert shown.stdout == ""


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert magics.CONTROLS.sub("", "a\x1b[31mb\u202ec\nd\te") == "a[31mbc\nd\te"
