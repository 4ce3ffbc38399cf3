"""What the iterator of the openai SDK makes of the same bytes that a probe gives to chatlab."""

import asyncio

import httpx2
from openai import AsyncOpenAI

from tests.conformance.world import KEY

READ_S = 600.0  # the SDK's own limit
CUT_S = 1000.0  # when the table stops to wait


async def iterate(url, probe, model):
    """Read a probe's stream as the SDK's documentation shows it; return its text and how it ended."""
    speed = probe.pace.speed
    timeout = httpx2.Timeout(READ_S / speed, connect=10)
    text = []
    async with AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=timeout) as client:
        try:
            async with asyncio.timeout(CUT_S / speed):
                messages = [{"role": "user", "content": "Why?"}]
                stream = await client.chat.completions.create(model=model, messages=messages, stream=True)
                async with stream:
                    text.extend([piece async for chunk in stream for piece in pieces(chunk)])
        except TimeoutError:
            end = f"no end within {CUT_S:.0f} s"
        except Exception as error:
            end = f"raises {type(error).__name__}"
        else:
            end = "ends without an error"
    return "".join(text), end


def pieces(chunk):
    """Take the visible text of the first answer out of a chunk, whatever the SDK has put there."""
    for choice in getattr(chunk, "choices", None) or ():
        if choice.index == 0 and choice.delta is not None:
            yield visible(choice.delta.content)


def visible(content):
    """Return the text of a delta's content, which Mistral sends as a list of parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if part["type"] == "text")
    return content or ""
