"""Items 57-73: what the chunks say, in the dialects of real gateways."""

from decimal import Decimal

from chatlab.errors import GatewayFault, RateLimited
from chatlab.simulator.shapes import STORY_ID, STORY_PIECES
from tests.conformance.cases import breaks, fine, item, refused

BEGUN = "".join(STORY_PIECES[:2])
CITY = '{"city":"Oslo"}'
UNPRICED = {"basis": "unknown"}


def counted(tokens_in, tokens_out, usd=None):
    """Check the stored counts and cost: None stands for NULL."""

    def check(exchange):
        row = exchange.row.astype(object).where(exchange.row.notna(), None)
        assert (row["input_tokens"], row["output_tokens"]) == (tokens_in, tokens_out)
        assert row["cost_usd"] == (None if usd is None else Decimal(usd))

    return check


STORY_COUNTED = counted(9, 6, "0.0000135")


def ended(finish):
    def check(exchange):
        assert exchange.reply.finish_reason == exchange.row["finish_reason"] == finish

    return check


def reasoned(thoughts):
    def check(exchange):
        assert exchange.reply.reasoning == thoughts

    return check


def refusal(exchange):
    assert exchange.reply.refusal == exchange.stored == "No."


def called(*calls, finish="tool_calls"):
    def check(exchange):
        assert [(call.name, call.arguments) for call in exchange.reply.tool_calls] == list(calls)
        assert exchange.reply.finish_reason == finish

    return check


def served_elsewhere(exchange):
    assert (exchange.reply.model, exchange.reply.served_model) == ("sim/fault-other-model", "sim/bee")
    assert (exchange.row["served_model"], exchange.row["provider"]) == ("sim/bee", "Other")


def billable(exchange):
    assert exchange.row["generation_id"] == STORY_ID


def only_the_first(exchange):
    assert any("more than one answer" in warning for warning in exchange.reply.warnings)


def signature_is_kept(exchange):
    assert "c2lnbmF0dXJl" in repr(exchange.reply)


WEATHER, TIME = ("weather", CITY), ("time", "{}")

ITEMS = (
    item(57, "usage beside empty choices", fine("fault-usage-alone", check=STORY_COUNTED)),
    item(58, "usage beside a repeated finish", fine("fault-story", check=STORY_COUNTED)),
    item(59, "cumulative usage", fine("fault-usage-running", **UNPRICED, check=counted(9, 6))),
    item(60, "no usage", fine("fault-usage-none", **UNPRICED, check=counted(None, None))),
    item(
        61,
        "usage as text, null, negative, NaN",
        fine("fault-usage-texts", check=STORY_COUNTED),
        fine("fault-usage-nulls", **UNPRICED, check=counted(None, None)),
        fine("fault-usage-negative", **UNPRICED, check=counted(None, None)),
        fine("fault-usage-nan", **UNPRICED, check=counted(9, None)),
    ),
    item(62, "a key of one's own", fine("fault-usage-byok", check=counted(9, 6, "0.024645"))),
    item(63, "cache hit, all zero", fine("fault-usage-zero", check=counted(0, 0, "0"))),
    item(
        64,
        "finish twice, empty, unknown",
        fine("fault-finish-twice", check=ended("stop")),
        fine("fault-finish-empty", **UNPRICED, check=ended("stop")),
        fine("fault-finish-unknown", check=ended("tired")),
    ),
    item(
        65,
        "finish error with partial text",
        breaks("fault-finish-error", GatewayFault, text=BEGUN, basis="reported", check=billable),
        breaks("fault-200-choice-error", GatewayFault, text="The moon", basis="reported"),
    ),
    item(
        66,
        "errors in mid-stream",
        breaks("fault-error", GatewayFault, text=BEGUN, says=("502", "Provider disconnected")),
        breaks("fault-error-text-code", GatewayFault, text=BEGUN, says=("It broke.",)),
        breaks("fault-error-in-choice", GatewayFault, text=BEGUN, says=("502",)),
        breaks("fault-error-event", GatewayFault, text=BEGUN, says=("It broke.",)),
        breaks("fault-error-event-bare", GatewayFault, text=BEGUN, says=("It broke.",)),
        breaks("fault-error-plain", GatewayFault, text=BEGUN, says=("boom",)),
        breaks("fault-error-throttle", RateLimited, text=BEGUN, says=("Slow down.",)),
        breaks("fault-error-vllm", GatewayFault, text=BEGUN, says=("500",)),
        breaks("fault-error-groq", GatewayFault, text=BEGUN, says=("It broke.",)),
        breaks("fault-error-lmstudio", GatewayFault, text=BEGUN, says=("Compute error.",)),
        refused("fault-error-first", GatewayFault, attempts=3, says=("502",)),
    ),
    item(
        67,
        "role, null, list, refusal, reasoning, tool only",
        fine("fault-role-only", text=""),
        fine("fault-content-null", text=""),
        fine("fault-content-list", check=reasoned("Tides.")),
        fine("fault-refusal", text="", check=refusal),
        fine("fault-reasoning-only", text="", check=reasoned("Tides.")),
        fine("fault-reasoning-twice", check=reasoned("Tides.")),
        fine("fault-tools", text="", check=called(WEATHER)),
    ),
    item(
        68,
        "tool calls in every shape",
        fine("fault-tools-no-index", text="", check=called(WEATHER, TIME)),
        fine("fault-tools-same-index", text="", check=called(WEATHER, TIME)),
        fine("fault-tools-interleaved", text="", check=called(WEATHER, TIME)),
        fine("fault-tools-object", text="", check=called(WEATHER)),
        fine("fault-tools-bad-json", text="", check=called(("weather", '{"city":'))),
    ),
    item(69, "two choices, interleaved", fine("fault-choices", check=only_the_first)),
    item(
        70,
        "stop with a tool call, thought signature",
        fine("fault-tools-gemini", text="", check=called(WEATHER)),
        fine("fault-tools-gemini", text="", check=signature_is_kept),
        missing="tools: the signature that goes back with the tool's answer",
    ),
    item(
        71,
        "lone surrogate, NUL, U+2028",
        fine("fault-text-surrogate", text="a\ufffdb"),
        fine("fault-text-nul", text="a\0b"),
        fine("fault-text-separators", text="a\u2028b\x85c"),
    ),
    item(72, "another model served", fine("fault-other-model", check=served_elsewhere)),
    item(
        73,
        "context compression in evaluations",
        missing="evaluations: their requests turn off the gateway's own cutting of long contexts",
    ),
)
