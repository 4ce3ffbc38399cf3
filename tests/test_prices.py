"""List prices: worked out by hand from the published pages, and never 0 for what is not known.

Each golden case gives the rates in USD per million tokens; the expected amount is rates times counts,
added up in the test. Beside the rates stands the page that publishes them, and how they were read: "page"
is a stored copy of that page, "quoted" somebody's dated quotation of it, "list" only the price list under
test, so that those cases check the arithmetic and not the rate. No page was read live.
"""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from chatlab.ports import Estimate
from chatlab.prices import GenaiPriceBook
from chatlab.values.usage import Usage

NOVEMBER = datetime(2026, 11, 20, tzinfo=UTC)
OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com/v1/"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/openai"
OPENROUTER = "https://openrouter.ai/api/v1"


def per_million(*charged):
    """Add up (rate, tokens) pairs exactly."""
    return sum((Decimal(rate) * tokens for rate, tokens in charged), Decimal(0)) / 1_000_000


def usd(model, usage, at=NOVEMBER, gateway=OPENROUTER):
    estimate = GenaiPriceBook(gateway).estimate(model, None, usage, at)
    return None if estimate is None else estimate.usd


GOLDEN = {
    # https://openai.com/api/pricing, quoted 2026-05-27: gpt-4o-mini 0.15 in, 0.075 cached, 0.60 out
    "plain tokens": (
        OPENAI,
        "gpt-4o-mini",
        Usage(input_tokens=1_000, output_tokens=500),
        [("0.15", 1_000), ("0.60", 500)],
    ),
    "cached input is charged once, at its own rate": (
        OPENAI,
        "gpt-4o-mini",
        Usage(input_tokens=10_000, output_tokens=500, input_fresh=2_000, cache_read=8_000),
        [("0.15", 2_000), ("0.075", 8_000), ("0.60", 500)],
    ),
    # https://openai.com/api/pricing, quoted 2026: gpt-5-mini 0.25 in, 0.025 cached, 2.00 out
    "reasoning is billed as output": (
        OPENAI,
        "gpt-5-mini",
        Usage(input_tokens=1_000, output_tokens=900, output_visible=100, reasoning=800),
        [("0.25", 1_000), ("2.00", 900)],
    ),
    "a dated snapshot of a model": (
        OPENAI,
        "gpt-5-mini-2025-08-07",
        Usage(input_tokens=1_000, output_tokens=900, cache_read=400),
        [("0.25", 600), ("0.025", 400), ("2.00", 900)],
    ),
    # https://openai.com/api/pricing, list 0.2.3: gpt-realtime text 4 in, 0.40 cached, 16 out;
    # audio 32 in, 64 out
    "sound has its own rates": (
        OPENAI,
        "gpt-realtime",
        Usage(input_tokens=1_000, output_tokens=500, cache_read=100, input_audio=300, output_audio=200),
        [("4", 600), ("0.40", 100), ("32", 300), ("16", 300), ("64", 200)],
    ),
    # https://docs.anthropic.com/en/docs/about-claude/pricing, page of autumn 2025: Sonnet 4,
    # up to 200 K input: 3 in, 3.75 cache write (5 min), 0.30 cache read, 15 out
    "cache write and cache read": (
        ANTHROPIC,
        "claude-sonnet-4-20250514",
        Usage(input_tokens=10_000, output_tokens=1_000, cache_read=6_000, cache_write=2_000),
        [("3", 2_000), ("0.30", 6_000), ("3.75", 2_000), ("15", 1_000)],
    ),
    # same page: Haiku 3.5 0.80 in, 1 cache write, 0.08 cache read, 4 out
    "another model of the same house": (
        ANTHROPIC,
        "claude-3-5-haiku-latest",
        Usage(input_tokens=10_000, output_tokens=1_000, cache_read=6_000, cache_write=2_000),
        [("0.80", 2_000), ("0.08", 6_000), ("1", 2_000), ("4", 1_000)],
    ),
    # same page: Opus 4.1 15 in, 18.75 cache write, 1.50 cache read, 75 out
    "the dearest": (
        ANTHROPIC,
        "claude-opus-4-1",
        Usage(input_tokens=10_000, output_tokens=1_000, cache_read=6_000, cache_write=2_000),
        [("15", 2_000), ("1.50", 6_000), ("18.75", 2_000), ("75", 1_000)],
    ),
    # https://ai.google.dev/gemini-api/docs/pricing, quoted 2026-03: 2.5 Pro 1.25 in and 10 out for
    # prompts of up to 200,000 tokens, above 2.50 and 15 for all of the request
    "the last token of the short context": (
        GOOGLE,
        "gemini-2.5-pro",
        Usage(input_tokens=200_000, output_tokens=1_000),
        [("1.25", 200_000), ("10", 1_000)],
    ),
    "one token more reprices the whole request": (
        GOOGLE,
        "gemini-2.5-pro",
        Usage(input_tokens=200_001, output_tokens=1_000),
        [("2.50", 200_001), ("15", 1_000)],
    ),
    # same page, quoted 2026-03: 2.5 Flash 0.30 in, 2.50 out; list 0.2.3: 1.00 audio in
    "spoken input": (
        GOOGLE,
        "gemini-2.5-flash",
        Usage(input_tokens=10_000, output_tokens=1_000, input_audio=6_000),
        [("0.30", 4_000), ("1.00", 6_000), ("2.50", 1_000)],
    ),
    # https://openrouter.ai/openai/gpt-5-mini, list 0.2.3: 0.25 in, 0.025 cached, 2.00 out
    "through OpenRouter": (
        OPENROUTER,
        "openai/gpt-5-mini",
        Usage(input_tokens=1_000, output_tokens=500, cache_read=400),
        [("0.25", 600), ("0.025", 400), ("2.00", 500)],
    ),
    # https://openrouter.ai/anthropic/claude-haiku-4.5, list 0.2.3: 1 in, 1.25 write, 0.10 read, 5 out
    "through OpenRouter with a cache": (
        OPENROUTER,
        "anthropic/claude-haiku-4.5",
        Usage(input_tokens=10_000, output_tokens=1_000, cache_read=6_000, cache_write=2_000),
        [("1", 2_000), ("0.10", 6_000), ("1.25", 2_000), ("5", 1_000)],
    ),
    # https://openrouter.ai/openai/gpt-4o:extended, list 0.2.3: 6 in, 18 out
    "a catalog variant has its own price": (
        OPENROUTER,
        "openai/gpt-4o:extended",
        Usage(input_tokens=1_000, output_tokens=500),
        [("6", 1_000), ("18", 500)],
    ),
    "nothing used of a model with a price costs nothing": (
        OPENAI,
        "gpt-5-mini",
        Usage(input_tokens=0, output_tokens=0),
        [],
    ),
}


@pytest.mark.parametrize(("gateway", "model", "usage", "charged"), GOLDEN.values(), ids=GOLDEN)
def test_the_estimate_is_the_published_rate_times_the_count(gateway, model, usage, charged):
    assert usd(model, usage, gateway=gateway) == per_million(*charged)


def test_the_price_of_an_old_call_is_the_price_of_its_day():
    # https://openai.com/api/pricing, list 0.2.3: o3 went from 10 to 2 per million input tokens in June 2025
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    assert usd("o3", usage, datetime(2025, 6, 1, tzinfo=UTC), OPENAI) == 10
    assert usd("o3", usage, datetime(2025, 7, 1, tzinfo=UTC), OPENAI) == 2


@pytest.mark.parametrize("variant", ["nitro", "floor", "exacto"])
def test_a_routing_variant_has_the_list_price_of_its_model(variant):
    usage = Usage(input_tokens=1_000, output_tokens=500)
    assert usd(f"openai/gpt-5-mini:{variant}", usage) == usd("openai/gpt-5-mini", usage)


@pytest.mark.parametrize("model", ["openai/gpt-oss-20b:free", "any/model-not-in-the-list:free"])
def test_a_free_variant_costs_nothing_and_says_why(model):
    estimate = GenaiPriceBook().estimate(model, None, Usage(input_tokens=1_000, output_tokens=500), NOVEMBER)
    assert estimate == Estimate(usd=Decimal(0), source="OpenRouter :free variant")


def test_free_means_something_on_openrouter_only():
    assert usd("gpt-5-mini:free", Usage(input_tokens=1, output_tokens=1), gateway=OPENAI) is None


PLAIN = Usage(input_tokens=1_000, output_tokens=500)
UNKNOWN = {
    "a model that is in no list": (OPENROUTER, "nobody/nothing", PLAIN),
    "a router that may choose any model": (OPENROUTER, "openrouter/auto", PLAIN),
    "the simulator's models": (OPENROUTER, "sim/crow", PLAIN),
    "an entry of the list without prices": (OPENROUTER, "stealth/crouton-alpha", PLAIN),
    "the same, with nothing used": (
        OPENROUTER,
        "stealth/crouton-alpha",
        Usage(input_tokens=0, output_tokens=0),
    ),
    "web search fees that no token shows": (OPENROUTER, "openai/gpt-5-mini:online", PLAIN),
    "a catalog variant that is not listed": (OPENROUTER, "openai/gpt-5-mini:extended", PLAIN),
    "no name": (OPENROUTER, "", PLAIN),
    "only a suffix": (OPENROUTER, ":nitro", PLAIN),
    "sound where only text has a price": (
        OPENROUTER,
        "openai/gpt-audio",
        Usage(input_tokens=1_000, output_tokens=500, input_audio=300),
    ),
    "a picture where only text has a price": (
        OPENAI,
        "gpt-5-mini",
        Usage(input_tokens=1_000, output_tokens=500, output_image=300),
    ),
    "the simulator": (None, "gpt-5-mini", PLAIN),
    "a gateway on this machine": ("http://localhost:11434/v1", "gpt-5-mini", PLAIN),
    "a gateway that no list knows": ("https://llm.example.org/v1", "openai/gpt-5-mini", PLAIN),
    "input not said": (OPENAI, "gpt-5-mini", Usage(output_tokens=500)),
    "output not said": (OPENAI, "gpt-5-mini", Usage(input_tokens=1_000)),
    "nothing said": (OPENAI, "gpt-5-mini", Usage()),
    "details that contradict the totals": (
        OPENAI,
        "gpt-5-mini",
        Usage(input_tokens=1_000, output_tokens=500, consistent=False),
    ),
    "more cached than sent": (OPENAI, "gpt-5-mini", Usage(input_tokens=10, output_tokens=0, cache_read=11)),
    "cached twice over": (
        ANTHROPIC,
        "claude-opus-4-1",
        Usage(input_tokens=10, output_tokens=0, cache_read=6, cache_write=6),
    ),
    "more reasoning than output": (OPENAI, "o3", Usage(input_tokens=1, output_tokens=1, reasoning=2)),
    "less than nothing": (OPENAI, "gpt-5-mini", Usage(input_tokens=-1, output_tokens=0)),
}


@pytest.mark.parametrize(("gateway", "model", "usage"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_is_none_and_never_zero(gateway, model, usage):
    assert usd(model, usage, gateway=gateway) is None


def test_an_estimate_names_the_list_and_its_version():
    from genai_prices import __version__

    estimate = GenaiPriceBook().estimate("openai/gpt-5-mini", None, PLAIN, NOVEMBER)
    assert estimate.source == f"genai-prices {__version__}"
    assert isinstance(estimate.usd, Decimal)


def test_the_list_is_imported_when_it_is_first_needed():
    script = (
        "import sys; from chatlab.prices import GenaiPriceBook; book = GenaiPriceBook(); "
        "assert 'genai_prices' not in sys.modules; book.load(); assert 'genai_prices.data' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
