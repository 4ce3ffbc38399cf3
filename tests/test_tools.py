"""Tool definitions: what a file may say, and how a mistake in it is answered."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.errors import InvalidValue, ToolDefinitionError
from chatlab.tools import HistoryLimits, Variable, check_params, parse_tool

FULL = """\
name: tutor
description: Explains step by step.
model: anthropic/claude-sonnet-5
behavior:
  system: |
    You teach {{subject}} to {{ level }}.
history:
  max_messages: 20
  max_tokens: 8000
params:
  temperature: 0.4
  max_tokens: 900
  stop: ["END"]
  reasoning: {effort: low}
variables:
  subject:
    description: What is taught.
    default: mathematics
  level:
    description: Who learns.
"""


def parse(text):
    return parse_tool(text, source="tools/tutor.yaml")


def test_a_full_definition_becomes_a_value():
    tool = parse(FULL)
    assert tool.name == "tutor"
    assert tool.description == "Explains step by step."
    assert tool.model == "anthropic/claude-sonnet-5"
    assert tool.system == "You teach {{subject}} to {{ level }}."
    assert tool.history == HistoryLimits(max_messages=20, max_tokens=8000)
    assert tool.params == {
        "temperature": 0.4,
        "max_tokens": 900,
        "stop": ["END"],
        "reasoning": {"effort": "low"},
    }
    assert tool.variables == {
        "subject": Variable(description="What is taught.", default="mathematics"),
        "level": Variable(description="Who learns."),
    }
    assert tool.source == "tools/tutor.yaml"


def test_name_and_behavior_are_enough():
    tool = parse("name: a\nbehavior: {system: Be brief.}")
    assert tool.model is None
    assert tool.history == HistoryLimits(max_messages=None, max_tokens=None)
    assert tool.render() == "Be brief."


class TestVersion:
    def test_it_is_twelve_hexadecimal_digits(self):
        assert len(parse(FULL).version) == 12
        int(parse(FULL).version, 16)

    def test_comments_spaces_quotes_and_order_do_not_change_it(self):
        one = "name: a\ndescription: b\nbehavior:\n  system: c\n"
        other = "# note\nbehavior:   {system: 'c'}\n\ndescription: \"b\"\nname: a  # the name\n"
        assert parse(one).version == parse(other).version

    @pytest.mark.parametrize(
        ("old", "new"),
        [("step by step", "at once"), ("0.4", "0.5"), ("20", "21"), ("mathematics", "physics")],
    )
    def test_every_change_of_content_changes_it(self, old, new):
        assert parse(FULL).version != parse(FULL.replace(old, new)).version


class TestVariables:
    def test_values_are_filled_in_and_defaults_where_there_is_none(self):
        assert parse(FULL).render({"level": "adults"}) == "You teach mathematics to adults."
        assert parse(FULL).render({"level": 9, "subject": "art"}) == "You teach art to 9."

    def test_a_value_is_never_expanded_again(self):
        tool = parse(FULL)
        assert tool.render({"level": "{{subject}} \\1"}) == "You teach mathematics to {{subject}} \\1."

    def test_a_missing_value_is_named(self):
        with pytest.raises(InvalidValue, match=r"'tutor' needs a value for level: pass variables="):
            parse(FULL).render()

    def test_a_value_without_variable_is_refused_with_the_nearest_name(self):
        with pytest.raises(InvalidValue, match="no variable 'levle': did you mean 'level'"):
            parse(FULL).render({"levle": "adults"})

    def test_a_number_may_be_a_default(self):
        text = "name: a\nbehavior: {system: '{{n}} lines'}\nvariables: {n: {default: 3}}"
        assert parse(text).render() == "3 lines"

    def test_braces_that_are_no_placeholder_stay(self):
        text = 'name: a\nbehavior: {system: \'Like {"a": {"b": 1}} and {{ open\'}'
        assert parse(text).render() == 'Like {"a": {"b": 1}} and {{ open'


START = "name: a\nbehavior:\n  system: hello\n"
MISTAKES = {
    "unknown key": (START.replace("behavior", "behaviour"), 2, "'behaviour'.*did you mean 'behavior'"),
    "unknown key inside": (
        "name: a\nbehavior:\n  systm: x\n",
        3,
        "'systm' in behavior: did you mean 'system'",
    ),
    "key like nothing": (START + "zzz: 1\n", 4, "'zzz'.*known are behavior, description"),
    "name missing": ("behavior:\n  system: hello\n", 1, "lacks the key 'name'"),
    "system missing": ("name: a\nbehavior: {}\n", 2, "behavior lacks the key 'system'"),
    "name not text": (
        START.replace("name: a", "name: no"),
        1,
        "name must be text, not False: put it in quotes",
    ),
    "name with capitals": (START.replace("name: a", "name: My Tool"), 1, "'My Tool' must be.*small letters"),
    "name with a path": (START.replace("name: a", "name: ../a"), 1, "must be.*small letters"),
    "system empty": ("name: a\nbehavior:\n  system: ' '\n", 3, "behavior.system is empty"),
    "system a list": ("name: a\nbehavior:\n  system: [x]\n", 3, "behavior.system must be text"),
    "behavior a text": ("name: a\nbehavior: be nice\n", 2, "behavior must be a mapping"),
    "description nothing": (START + "description:\n", 4, "description must be text, not None"),
    "model a number": (START + "model: 4\n", 4, "model must be text, not 4"),
    "unknown param": (START + "params:\n  temprature: 1\n", 5, "'temprature': did you mean 'temperature'"),
    "param of a wrong type": (
        START + "params:\n  temperature: warm\n",
        5,
        "'temperature' must be a number, not 'warm'",
    ),
    "param true for a number": (
        START + "params:\n  max_tokens: yes\n",
        5,
        "'max_tokens' must be a whole number",
    ),
    "param with a fraction": (START + "params:\n  seed: 1.5\n", 5, "'seed' must be a whole number, not 1.5"),
    "param of chatlab's own": (START + "params:\n  stream: true\n", 5, "'stream' is set by chatlab itself"),
    "param infinite": (START + "params:\n  temperature: .inf\n", 5, "cannot be read"),
    "history of half a message": (START + "history:\n  max_messages: 1.5\n", 5, "whole number of at least 0"),
    "history below nothing": (START + "history:\n  max_messages: -1\n", 5, "at least 0, not -1"),
    "history of no token": (START + "history:\n  max_tokens: 0\n", 5, "at least 1, not 0"),
    "history true": (START + "history:\n  max_tokens: true\n", 5, "at least 1, not True"),
    "history unknown": (START + "history:\n  max_message: 1\n", 5, "did you mean 'max_messages'"),
    "placeholder undefined": (
        START.replace("hello", "'hi {{levle}}'") + "variables:\n  level: {}\n",
        3,
        "uses {{levle}}, not one of its variables: did you mean 'level'",
    ),
    "placeholder with words": (START.replace("hello", "'hi {{to you}}'"), 3, "uses {{to you}}"),
    "variable unused": (START + "variables:\n  level: {}\n", 5, "'level' is used nowhere"),
    "variable misnamed": (START + "variables:\n  'the level': {}\n", 5, "'the level' must be small letters"),
    "variable a text": (START + "variables:\n  level: adults\n", 5, "variables.level must be a mapping"),
    "variable default a list": (
        START.replace("hello", "'{{n}}'") + "variables:\n  n:\n    default: [1]\n",
        6,
        "default of 'n' must be text",
    ),
    "variable key unknown": (
        START.replace("hello", "'{{n}}'") + "variables:\n  n:\n    defualt: x\n",
        6,
        "did you mean 'default'",
    ),
    "key twice": (START + "name: b\n", 4, "'name' is given twice, first in line 1"),
    "alias": ("name: &n a\nbehavior:\n  system: *n\n", 3, r"aliases like \*n are not allowed"),
    "merge key": (START + "<<: {model: a/b}\n", 4, "'<<' is neither text nor a number"),
    "a set": (START + "params: !!set {a, b}\n", 4, "tags like !!set are not allowed"),
    "python object": ("name: !!python/object/apply:os.system [ls]\n", 1, "tags like !!python"),
    "own tag": (START + "model: !env KEY\n", 4, "tags like !env are not allowed"),
    "a date": (
        START + "description: 2026-01-01\n",
        4,
        "'2026-01-01' is neither text nor a number: put it in quotes",
    ),
    "half a character": (START + 'description: "\\ud800"\n', 4, "cannot be read"),
    "a number without end": (START + f"model: {'9' * 5000}\n", 4, "cannot be read"),
    "key not text": (START + "1: x\n", 4, "a key here is not text"),
    "key a list": (START + "? [a]\n: x\n", 4, "a key here is not text"),
    "too deep": ("name: " + "[" * 40, 1, "nested deeper than 32"),
    "two documents": (START + "---\nname: b\n", 4, "another document"),
    "broken": ("name: a\nbehavior: [\n", 3, "this is not YAML"),
    "a tab": ("name: a\nbehavior:\n\tsystem: x\n", 3, "this is not YAML"),
    "a control character": ("name: \x00\n", None, "this is not YAML"),
    "a list": ("- name\n", 1, "must be a mapping"),
    "nothing": ("", 1, "must be a mapping"),
    "too long": ("#" * 1_000_001, None, "longer than 1,000,000 characters"),
}


@pytest.mark.parametrize(("text", "line", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_file_line_and_remedy(text, line, message):
    with pytest.raises(ToolDefinitionError, match=message.replace("{", r"\{")) as caught:
        parse(text)
    place = "tools/tutor.yaml" if line is None else f"tools/tutor.yaml:{line}"
    assert str(caught.value).startswith(f"{place}: ")
    assert caught.value.line == line
    assert caught.value.source == "tools/tutor.yaml"
    assert len(str(caught.value)) < 400


PIECES = st.sampled_from(
    ["name", "behavior", "system", ":", " ", "\n", "  ", "- ", "{", "}", "[", "]", "&a", "*a", "!t"]
)


@given(st.lists(PIECES | st.text(max_size=3), max_size=40).map("".join))
@settings(max_examples=300, deadline=None)
def test_no_text_whatever_raises_anything_else(text):
    with contextlib.suppress(ToolDefinitionError):
        parse(text)


class TestParamsOfACall:
    def test_known_settings_pass(self):
        check_params(
            {"temperature": 0, "top_p": 0.5, "seed": 1, "stop": "END", "tools": [], "logprobs": True}
        )

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"temprature": 1}, "unknown parameter 'temprature': did you mean 'temperature'"),
            ({"temperature": "hot"}, "must be a number, not 'hot'"),
            ({"temperature": float("nan")}, "must be a number"),
            ({"temperature": None}, "must be a number, not None"),
            ({"max_tokens": True}, "must be a whole number, not True"),
            ({"stop": 1}, "must be text or a list, not 1"),
            ({"messages": []}, "set by chatlab itself"),
        ],
    )
    def test_others_are_refused_before_anything_is_sent(self, params, message):
        with pytest.raises(InvalidValue, match=message):
            check_params(params)
