"""The folder of tool definitions, with everything that may lie in it."""

import os
from pathlib import Path

import pytest

from chatlab.errors import ToolDefinitionError
from chatlab.files import read_tools

SHIPPED = Path(__file__).parent.parent / "tool_definitions"


def write(directory, name, text=None):
    path = directory / name
    path.write_text(text or f"name: {path.stem}\nbehavior:\n  system: I am {path.stem}.\n", encoding="utf-8")
    return path


def test_tools_are_read_in_the_order_of_their_names(tmp_path):
    for name in ("zebra.yaml", "ant.yml", "bee.yaml"):
        write(tmp_path, name)
    tools = read_tools(tmp_path)
    assert list(tools) == ["ant", "bee", "zebra"]
    assert tools["bee"].render() == "I am bee."
    assert tools["bee"].source == str(tmp_path / "bee.yaml")


def test_a_folder_that_does_not_exist_has_no_tools(tmp_path):
    assert read_tools(tmp_path / "none") == {}


def test_other_files_and_hidden_copies_are_left_alone(tmp_path):
    write(tmp_path, "ant.yaml")
    for name in ("README.md", ".ant.yaml.swp", "._ant.yaml", "ant.yaml~", "notes.txt"):
        (tmp_path / name).write_text("not a tool")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    assert list(read_tools(tmp_path)) == ["ant"]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    (tmp_path / "ant.yaml").write_bytes(b"\xef\xbb\xbfname: ant\r\nbehavior:\r\n  system: Hi.\r\n")
    assert read_tools(tmp_path)["ant"].render() == "Hi."


def test_the_name_must_be_that_of_the_file(tmp_path):
    path = write(tmp_path, "ant.yaml", "name: bee\nbehavior:\n  system: Hi.\n")
    with pytest.raises(ToolDefinitionError, match=r"name is 'bee', but the file is 'ant.yaml'") as caught:
        read_tools(tmp_path)
    assert caught.value.source == str(path)


def test_one_name_in_two_files_is_refused(tmp_path):
    write(tmp_path, "ant.yaml")
    write(tmp_path, "ant.yml")
    with pytest.raises(ToolDefinitionError, match=r"ant.yml: tool 'ant' is also defined in .*ant.yaml"):
        read_tools(tmp_path)


def test_a_mistake_names_the_file_and_the_line(tmp_path):
    path = write(tmp_path, "ant.yaml", "name: ant\nbehavior:\n  systm: Hi.\n")
    with pytest.raises(ToolDefinitionError) as caught:
        read_tools(tmp_path)
    assert str(caught.value) == f"{path}:3: unknown key 'systm' in behavior: did you mean 'system'?"


def test_bytes_that_are_no_text_are_named_by_line(tmp_path):
    path = tmp_path / "ant.yaml"
    path.write_bytes(b"name: ant\nbehavior:\n  system: caf\xe9\n")
    with pytest.raises(ToolDefinitionError, match="not UTF-8") as caught:
        read_tools(tmp_path)
    assert str(caught.value).startswith(f"{path}:3: ")


def test_a_file_too_large_is_refused(tmp_path):
    write(tmp_path, "ant.yaml", "#" * 1_000_001)
    with pytest.raises(ToolDefinitionError, match="larger than 1,000,000 bytes"):
        read_tools(tmp_path)


def test_links_stay_inside_the_folder(tmp_path):
    inside, outside = tmp_path / "tools", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    write(inside, "ant.yaml")
    (inside / "bee.yaml").symlink_to(write(outside, "bee.yaml"))
    with pytest.raises(ToolDefinitionError, match=r"bee.yaml: is a link that leads out of the folder"):
        read_tools(inside)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.mkdir, "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.symlink_to("nowhere.yaml"), "cannot be read: No such file"),
    ],
    ids=["folder", "pipe", "dangling link"],
)
def test_what_is_no_file_is_refused_without_waiting(tmp_path, make, message):
    make(tmp_path / "ant.yaml")
    with pytest.raises(ToolDefinitionError, match=message):
        read_tools(tmp_path)


def test_a_file_in_place_of_the_folder_is_said(tmp_path):
    with pytest.raises(ToolDefinitionError, match="is not a folder of tool definitions"):
        read_tools(write(tmp_path, "ant.yaml"))


class TestTheToolsThatComeWithChatlab:
    def test_there_are_four_and_each_works_without_further_values(self):
        tools = read_tools(SHIPPED)
        assert list(tools) == ["assistant", "json-extractor", "summariser", "tutor"]
        for tool in tools.values():
            assert tool.description
            assert "{{" not in tool.render()

    def test_none_names_a_model_so_that_the_default_applies(self):
        assert {tool.model for tool in read_tools(SHIPPED).values()} == {None}

    def test_the_extractor_asks_for_json_without_chance(self):
        tool = read_tools(SHIPPED)["json-extractor"]
        assert tool.params == {"temperature": 0, "response_format": {"type": "json_object"}}
        assert "these fields: invoice, total." in tool.render({"fields": "invoice, total"})

    def test_tutor_and_summariser_take_their_variables(self):
        tools = read_tools(SHIPPED)
        assert "tutor of chemistry" in tools["tutor"].render({"subject": "chemistry"})
        assert "in 5 sentences or fewer" in tools["summariser"].render({"sentences": 5})
