"""What the simulated models say: pure, so every case is a prompt and what its answer must hold."""

import json
import time

import pytest

from chatlab.simulator.answers import compose_answer
from chatlab.simulator.arithmetic import find_arithmetic
from chatlab.simulator.capitals import CAPITALS, find_capital
from chatlab.simulator.models import DEFAULT_MODEL, FAMILIES
from chatlab.simulator.request import parse_completion_request
from chatlab.simulator.tokens import count_tokens, split_tokens
from chatlab.simulator.units import find_conversion

MODELS = list(FAMILIES)
ADDITIONS = [f"What is {left} + {right}?" for left in range(40) for right in range(100, 140)]


def ask(prompt, *, model="sim/owl", system=None, before=(), number=0, **params):
    """Return the text a model answers, after the user said `before`."""
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "user", "content": text} for text in (*before, prompt)]
    request = parse_completion_request({"model": model, "messages": messages, **params})
    return compose_answer(request, number=number).text


def right(prompt, **facts):
    """Return the answer of the first model that does not fail on the prompt."""
    model = next(name for name, family in FAMILIES.items() if family.slip(prompt) is None)
    return ask(prompt, model=model, **facts)


@pytest.mark.parametrize(
    ("prompt", "value"),
    [
        ("17*23", "391"),
        ("What is 17 times 23?", "391"),
        ("what is seven times eight", "56"),
        ("What is (3 + 4) * 2 - 10 / 4?", "11.5"),
        ("15% of 80 = ?", "12"),
        ("Calculate 2^10.", "1024"),
        ("What is 7 x 8?", "56"),
        ("What is 1,234 + 1?", "1235"),
        ("what is -5 - -3", "-2"),
        ("What is 10 divided by 4?", "2.5"),
        ("Compute 22 / 7", "3.142857"),
        ("What is 17 mod 5?", "2"),
        ("What is 12 squared?", "144"),
        ("5 / 0 =", "undefined"),
        ("Reply with only the number: 3+4", "7"),
        ("What is 0.1 + 0.2?", "0.3"),
    ],
)
def test_arithmetic_is_exact(prompt, value):
    assert find_arithmetic(prompt, None).value == value


MATERIAL = "\n".join(
    f"+ json = {n} + {n}  # hello, write a story about it, capital of France" for n in range(40)
)


@pytest.mark.parametrize("prompt", [f"Review this.\n\n{MATERIAL}", f"{MATERIAL}\n\nReview this."])
def test_what_comes_with_a_question_is_not_taken_for_it(prompt):
    assert ask(prompt).startswith("I have the 40 lines that came with “Review this.”. I am simulated")
    assert ask(prompt.replace("Review this.", "What is 17 * 23?")).startswith("17 × 23 = ")


@pytest.mark.parametrize(
    "prompt",
    [
        "What is 9**9**9**9?",
        "What is 10**99999999?",
        "What is " + "9" * 5000 + " * 2?",
        "What is " + "(" * 5000 + "1+1" + ")" * 5000,
        "What is " + "1+" * 90 + "1**64**64",
        "What is __import__('os').system('true')?",
        "What happened on 2024-05-01?",
        "I paid 12 for 3",
        "What is the answer?",
        "",
    ],
    ids=lambda prompt: prompt[:30],
)
def test_what_is_no_small_sum_is_left_alone_at_once(prompt):
    begun = time.process_time()
    assert find_arithmetic(prompt, None) is None
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    ("prompt", "value"),
    [
        ("5 miles in km", "8.04672 kilometres"),
        ("Convert 100 F to C", "37.777778 degrees Celsius"),
        ("-40 degrees Celsius to Fahrenheit", "-40 degrees Fahrenheit"),
        ("convert 300 kelvin to celsius", "26.85 degrees Celsius"),
        ("How many minutes are in 3 hours?", "180 minutes"),
        ("how many feet are there in a mile", "5280 feet"),
        ("What is 2.5 kg in pounds?", "5.511557 pounds"),
        ("2 gallons to litres", "7.570824 litres"),
        ("1000 mg to tonnes", "0.000001 tonnes"),
    ],
)
def test_units_are_converted_by_exact_factors(prompt, value):
    assert find_conversion(prompt, None).value == value


@pytest.mark.parametrize("prompt", ["5 miles in litres", "5 km in km", "I walked 5 miles in the rain"])
def test_what_cannot_be_converted_is_left_alone(prompt):
    assert find_conversion(prompt, None) is None


def test_every_capital_is_known_by_its_country():
    assert len(CAPITALS) >= 60
    for country, capital in CAPITALS.items():
        assert find_capital(f"What is the capital of {country}?", None).value == capital
        assert find_capital(f"What is the capital of {country}?", 0.99).value != capital


@pytest.mark.parametrize("country", ["the USA", "the UK", "Holland", "Czech Republic", "England"])
def test_capitals_are_found_by_common_names_too(country):
    assert find_capital(f"capital of {country}?", None) is not None


def test_a_follow_up_question_takes_its_topic_from_before():
    assert "Madrid" in ask("and of Spain?", before=["What is the capital of France?"])
    assert "Madrid" not in ask("and of Spain?")


@pytest.mark.parametrize("model", MODELS)
def test_each_model_fails_its_share_of_items_and_always_the_same(model):
    family = FAMILIES[model]
    failed = [prompt for prompt in ADDITIONS if family.slip(prompt) is not None]
    assert len(failed) / len(ADDITIONS) == pytest.approx(family.failure_share, abs=0.035)
    assert failed == [prompt for prompt in ADDITIONS if family.slip(prompt) is not None]


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_is_wrong_exactly_when_the_model_fails_on_its_item(model):
    for prompt in ADDITIONS[:200]:
        left, right_term = prompt.removeprefix("What is ").rstrip("?").split(" + ")
        answer = ask(prompt, model=model, system="Answer with only the number.")
        correct = answer == str(int(left) + int(right_term))
        assert correct == (FAMILIES[model].slip(prompt) is None), prompt


def test_models_fail_on_different_items_and_stronger_ones_on_fewer():
    shares = [FAMILIES[model].failure_share for model in MODELS]
    assert shares == sorted(shares, reverse=True)
    failures = [{prompt for prompt in ADDITIONS if FAMILIES[m].slip(prompt) is not None} for m in MODELS]
    assert not failures[-1] <= failures[0]


def test_the_default_model_is_right_on_what_one_tries_first():
    assert "391" in ask("What is 17 times 23?", model=DEFAULT_MODEL)
    assert "Paris" in ask("What is the capital of France?", model=DEFAULT_MODEL)
    assert "scatters" in ask("Why is the sky blue?", model=DEFAULT_MODEL)


def test_models_differ_in_length_and_form():
    prompt = "What is the capital of Japan?"
    lengths = {model: count_tokens(ask(prompt, model=model)) for model in MODELS}
    assert lengths["sim/ant"] < lengths["sim/bee"] < lengths["sim/crow"] < lengths["sim/dolphin"]
    markdown = ask(prompt, model="sim/dolphin")
    assert markdown.startswith("## ")
    assert "|---|---|" in markdown
    assert "```python" in markdown


INVOICE = "Maria Silva (maria@x.org) paid $45.20 to Acme Corp on 3 May 2024 in Lisbon."


@pytest.mark.parametrize(
    ("prompt", "facts", "expected"),
    [
        (
            f"Extract name, email and amount as JSON: {INVOICE}",
            {},
            {"name": "Maria Silva", "email": "maria@x.org", "amount": 45.2},
        ),
        (
            INVOICE,
            {"system": "You extract facts. Reply with JSON only, with the keys company, date, city."},
            {"company": "Acme Corp", "date": "3 May 2024", "city": "Lisbon"},
        ),
        (
            f"Who paid how much? {INVOICE}",
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"schema": {"properties": {"currency": {}, "phone": {}}}},
                }
            },
            {"currency": "USD", "phone": None},
        ),
        (
            "Order #A-77: 3 chairs for Anna Berg, aged 41, call +49 30 1234567.",
            {"response_format": {"type": "json_object"}, "system": "Extract order, quantity, age and phone"},
            {"order": "A-77", "quantity": 3, "age": 41, "phone": "+49 30 1234567"},
        ),
        ("Extract the colour as JSON: colour: red", {}, {"colour": "red"}),
    ],
    ids=["prompt", "system", "schema", "json_object", "labelled"],
)
def test_json_holds_the_fields_that_were_asked_for(prompt, facts, expected):
    assert json.loads(right(prompt, **facts)) == expected


def test_failed_extractions_are_broken_or_wrong_json():
    answers = []
    for number in range(300):
        prompt = f"Extract name and amount as JSON: Anna Berg paid $ {number}."
        if FAMILIES["sim/ant"].slip(prompt) is not None:
            answers.append(ask(prompt, model="sim/ant"))
            assert answers[-1] != json.dumps({"name": "Anna Berg", "amount": number})
    broken = [answer for answer in answers if not answer.endswith("}")]
    assert 0.2 < len(broken) / len(answers) < 0.6


TEXT = "One thing happened. Then another, at 3.5 times the speed! And a third. Finally it ended."


@pytest.mark.parametrize(
    ("prompt", "system", "expected"),
    [
        (f"Summarise: {TEXT}", None, "One thing happened."),
        (f"Please summarize in 2 sentences:\n{TEXT}", None, "One thing happened. Then another, at 3.5"),
        (TEXT, "You are a summariser. Answer in one sentence.", "One thing happened."),
        (f"TL;DR\n{TEXT}", "Answer in 2 bullet points", "- One thing happened.\n- Then another, at"),
    ],
)  # fmt: skip
def test_a_summary_is_the_first_sentences(prompt, system, expected):
    assert right(prompt, system=system).startswith(expected)


def test_a_tutor_asks_back_and_gives_nothing_away():
    answer = ask("What is 17 times 23?", system="You are a patient tutor.")
    assert answer.endswith("?")
    assert "391" not in answer


@pytest.mark.parametrize(
    ("prompt", "before", "expected"),
    [
        ("What is my name?", ["Hi, my name is Ada."], "Ada"),
        ("What is my name?", ["Hi!"], "not told"),
        ("What did I just ask?", ["Why is ice slippery?"], "Why is ice slippery?"),
        ("What was my first question?", ["Who was Ada?", "And Bob?"], "Who was Ada?"),
        ("My name is Grace", [], "Grace"),
        ("Hello!", [], "Hello"),
        ("thanks a lot", [], "welcome"),
        ("Who are you?", [], "sim/owl"),
        ("What can you do?", [], "arithmetic"),
        ("How do volcanoes work?", [], "volcanoes"),
    ],
)
def test_conversation_is_remembered_and_polite(prompt, before, expected):
    assert expected in ask(prompt, before=before)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "prompt", ["Write a long story about a fox", "Count to 500", "Explain tea in great detail"]
)
def test_long_answers_are_long(model, prompt):
    assert count_tokens(ask(prompt, model=model)) >= 400


def test_a_wished_length_is_kept():
    assert 200 <= len(ask("Write an essay on tea in 200 words").split()) <= 300
    assert ask("count from 8 to 12") == "8, 9, 10, 11, 12"


def test_temperature_changes_the_phrasing_and_never_the_fact():
    cold = {ask("What is 3 + 4?", number=number) for number in range(20)}
    warm = {ask("What is 3 + 4?", number=number, temperature=1) for number in range(20)}
    seeded = {ask("What is 3 + 4?", number=number, temperature=1, seed=5) for number in range(20)}
    assert len(cold) == len(seeded) == 1
    assert len(warm) > 2
    assert all(cold_answer in answer for cold_answer in cold for answer in warm)


@pytest.mark.parametrize(
    "prompt",
    [
        "(" * 200_000,
        "1," * 200_000,
        "a" * 300_000,
        " " * 300_000,
        "9" * 300_000,
        "A b " * 50_000,
        "$" * 200_000,
    ],
    ids=lambda prompt: f"{prompt[:4]!r}",
)
@pytest.mark.parametrize(
    "wish", ["", "Extract name, email, phone, amount, order, company and date as JSON: ", "Summarise: "]
)
def test_no_text_makes_a_model_think_for_long(prompt, wish):
    begun = time.process_time()
    ask(wish + prompt, model="sim/crow")
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "text", ["", "Hello, world!", "  a\n\n\nb\tc", "naïve ½ 漢字 😀 x_y", "1234567", "\ud83d"]
)
def test_tokens_joined_are_the_text(text):
    assert "".join(split_tokens(text)) == text
    assert len(split_tokens(text)) == count_tokens(text)
