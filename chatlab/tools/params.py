"""Settings of a request by their wire names: which there are, and of what type. Ranges the gateway judges.

The names are those of OpenRouter's chat completions (https://openrouter.ai/docs/api-reference/parameters,
specification of 2026-10-27), which include those of OpenAI.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chatlab.errors import InvalidValue
from chatlab.tools.names import nearest, shown

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}

KNOWN_PARAMS: Mapping[str, tuple[type, ...]] = {
    "audio": (dict,),
    "cache_control": (dict,),
    "debug": (dict,),
    "deferred_tools": (list, dict),
    "frequency_penalty": (float,),
    "image_config": (dict,),
    "logit_bias": (dict,),
    "logprobs": (bool,),
    "max_completion_tokens": (int,),
    "max_tokens": (int,),
    "metadata": (dict,),
    "min_p": (float,),
    "modalities": (list,),
    "models": (list,),
    "parallel_tool_calls": (bool,),
    "plugins": (list,),
    "prediction": (dict,),
    "presence_penalty": (float,),
    "prompt_cache_key": (str,),
    "prompt_cache_options": (dict,),
    "provider": (dict,),
    "reasoning": (dict,),
    "reasoning_effort": (str,),
    "repetition_penalty": (float,),
    "response_format": (dict,),
    "seed": (int,),
    "service_tier": (str,),
    "session_id": (str,),
    "stop": (str, list),
    "stop_server_tools_when": (list,),
    "temperature": (float,),
    "tool_choice": (str, dict),
    "tools": (list,),
    "top_a": (float,),
    "top_k": (int,),
    "top_logprobs": (int,),
    "top_p": (float,),
    "trace": (dict,),
    "user": (str,),
    "verbosity": (str,),
    "web_search_options": (dict,),
}

OWN_PARAMS = frozenset({"messages", "model", "stream", "stream_options"})
"""Settings that chatlab sends itself."""


def check_params(params: Mapping[str, Any]) -> None:
    """Raise InvalidValue for the first setting of a call that is unknown or has the wrong type."""
    for name, value in params.items():
        problem = param_problem(name, value)
        if problem:
            raise InvalidValue(problem)


def param_problem(name: str, value: Any) -> str | None:
    """Say what is wrong with a setting, or None."""
    if name in OWN_PARAMS:
        return f"{name!r} is set by chatlab itself and cannot be a parameter"
    if name not in KNOWN_PARAMS:
        return f"unknown parameter {name!r}{nearest(name, KNOWN_PARAMS)}"
    types = KNOWN_PARAMS[name]
    if not any(_is_a(value, kind) for kind in types):
        wanted = " or ".join(WORDS[kind] for kind in types)
        return f"parameter {name!r} must be {wanted}, not {shown(value)}"
    return None


def _is_a(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is list:
        return isinstance(value, list | tuple)
    if kind is dict:
        return isinstance(value, Mapping)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
