"""Which model ids a gateway can have, told before anything is sent. Whether one exists, the gateway says."""

from __future__ import annotations

import difflib
import re

from chatlab.errors import ModelNameInvalid

SIMULATOR_MODEL = "sim/crow"
SIMULATOR_PREFIX = "sim/"

# Authors as OpenRouter spells them in model ids (https://openrouter.ai/models, by genai-prices 0.2.3).
MODEL_AUTHORS = {
    "claude": "anthropic",
    "codestral": "mistralai",
    "command": "cohere",
    "deepseek": "deepseek",
    "gemini": "google",
    "gemma": "google",
    "glm": "z-ai",
    "gpt": "openai",
    "grok": "x-ai",
    "kimi": "moonshotai",
    "llama": "meta-llama",
    "ministral": "mistralai",
    "mistral": "mistralai",
    "mixtral": "mistralai",
    "nova": "amazon",
    "o": "openai",  # o1, o3, o4-mini
    "phi": "microsoft",
    "qwen": "qwen",
    "sonar": "perplexity",
}


def check_model_id(model: str, named_by: str, *, openrouter: bool, simulated: bool) -> None:
    """Raise ModelNameInvalid for an id that cannot be one of this gateway. `named_by` says who named it."""
    if model.startswith("sk-"):  # not repeated: it may well be a key
        raise ModelNameInvalid(f"the model named by {named_by} looks like an API key")
    if not model or re.search(r"\s", model):
        raise ModelNameInvalid(f"model {model!r} ({named_by}) is empty or has a space in it")
    if simulated and not model.startswith(SIMULATOR_PREFIX):
        raise ModelNameInvalid(
            f"model {model!r} ({named_by}) is not one of the simulator's, which begin with "
            f"{SIMULATOR_PREFIX!r}: use {SIMULATOR_MODEL!r}, or set AI_API_KEY to reach real models"
        )
    if openrouter and not re.fullmatch(r"[^/]+/.+", model):
        raise ModelNameInvalid(
            f"model {model!r} ({named_by}) lacks its provider: OpenRouter's ids read 'provider/model'; "
            f"{_hint(model)}"
        )


def _hint(model: str) -> str:
    family = re.split(r"[-_.:\d]", model.lower(), maxsplit=1)[0]
    close = difflib.get_close_matches(family, MODEL_AUTHORS, n=1, cutoff=0.75)
    if close:
        return f"did you mean '{MODEL_AUTHORS[close[0]]}/{model}'?"
    return "for example 'openai/gpt-5-mini'; lab.models() and `chatlab models` list them"
