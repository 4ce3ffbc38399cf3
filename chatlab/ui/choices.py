"""What the pickers of a chat offer: the gateway's models and the tool definitions."""

from __future__ import annotations

from typing import Any

import pandas as pd

from chatlab.conversation import Bench
from chatlab.ui.markdown import plain


def choices(bench: Bench) -> dict[str, list[dict[str, str]]]:
    """Return models and tools, each with id, text and detail. Blocks; raises ChatlabError."""
    models = [
        {"id": row["model"], "text": plain(row["model"]), "detail": _detail(row)}
        for row in bench.models().to_dict("records")
    ]
    tools = [
        {"id": name, "text": plain(name), "detail": plain(tool.description)}
        for name, tool in sorted(bench.tool_definitions.items())
    ]
    return {"models": models, "tools": [{"id": "", "text": "none", "detail": "no system prompt"}, *tools]}


def _detail(row: dict[Any, Any]) -> str:
    facts = []
    if pd.notna(row["context_length"]):
        facts.append(f"{int(row['context_length']):,} tokens")
    prices = [row["input_usd_per_mtok"], row["output_usd_per_mtok"]]
    if all(pd.notna(price) for price in prices):
        price_in, price_out = (f"${price.normalize():f}" for price in prices)
        facts.append(f"{price_in} in, {price_out} out per million")
    return " · ".join(facts) or "price and context length unknown"
