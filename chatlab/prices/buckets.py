"""From our token buckets to the keys of genai-prices, and whether the counts can be charged at all.

genai-prices takes totals with their parts inside: `input_tokens` includes cached and audio input,
`output_tokens` includes reasoning, audio and images (https://github.com/pydantic/genai-prices, README and
units.yml of 0.2.3). It subtracts the parts that a model prices apart and charges the rest at the base rate.
"""

from __future__ import annotations

from chatlab.values.usage import Usage

# Part of our usage -> key of genai-prices, by the total that contains it.
INPUT_PARTS = {
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "input_audio": "input_audio_tokens",
}
OUTPUT_PARTS = {
    "reasoning": "output_reasoning_tokens",
    "output_audio": "output_audio_tokens",
    "output_image": "output_image_tokens",
}

# Counts that need a price of their own. Sound and pictures cost several times as much as text, so the text
# rate would be wrong for them; reasoning is billed as output and cached input as input where no price says
# otherwise.
OWN_PRICES = {
    "input_tokens": "input_mtok",
    "output_tokens": "output_mtok",
    "input_audio_tokens": "input_audio_mtok",
    "output_audio_tokens": "output_audio_mtok",
    "output_image_tokens": "output_image_mtok",
}


def billable(usage: Usage) -> dict[str, int] | None:
    """Return the counts by genai-prices' keys, or None when they are unknown or contradict themselves."""
    if not usage.consistent or usage.input_tokens is None or usage.output_tokens is None:
        return None
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    for total, parts in ((usage.input_tokens, INPUT_PARTS), (usage.output_tokens, OUTPUT_PARTS)):
        found = {key: getattr(usage, name) or 0 for name, key in parts.items()}
        if min(total, *found.values()) < 0 or sum(found.values()) > total:
            return None
        counts |= {key: count for key, count in found.items() if count}
    # Our buckets are disjoint; genai-prices wants to hear that where a model prices the overlap apart.
    return counts | {"cache_audio_read_tokens": 0, "cache_audio_write_tokens": 0}
