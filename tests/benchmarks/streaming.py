"""CPU of one streamed chunk: chatlab with persistence, the openai SDK's own iterator, a raw reader.

All three read the same bytes from the same server in one run, one after the other, many streams at once.
The figure is CPU of this whole process (all threads) divided by the number of chunks.
"""

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import jiter
from openai import AsyncOpenAI

import chatlab
from tests.benchmarks.instant_server import CHUNKS

STREAMS = 300
AT_ONCE = 32
MESSAGES = [{"role": "user", "content": "Hello"}]
BODY = {"model": "bench/instant", "messages": MESSAGES, "stream": True}


async def _raw(client, url):
    texts = 0
    async with client.stream("POST", f"{url}/chat/completions", json=BODY) as response:
        rest = b""
        async for data in response.aiter_bytes():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    chunk = jiter.from_json(line[6:])
                    texts += bool(chunk["choices"][0]["delta"]["content"])
    return texts


async def _sdk(client):
    texts = 0
    async for chunk in await client.chat.completions.create(**BODY):
        texts += bool(chunk.choices[0].delta.content)
    return texts


async def _chatlab(lab):
    texts = 0
    async for event in lab.astream("Hello"):
        texts += isinstance(event, chatlab.TextDelta)
    return texts


async def _all(one):
    gate = asyncio.Semaphore(AT_ONCE)

    async def guarded():
        async with gate:
            return await one()

    counts = await asyncio.gather(*(guarded() for _ in range(STREAMS)))
    assert sum(counts) == STREAMS * CHUNKS, f"{sum(counts)} pieces of text of {STREAMS * CHUNKS}"


async def _measure(one):
    """Return microseconds of CPU and of wall time a chunk; one round warms up, the next is measured."""
    await _all(one)
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    await _all(one)
    scale = 1e6 / (STREAMS * CHUNKS)
    return (time.process_time() - cpu) * scale, (time.perf_counter() - wall) * scale


async def _figures(url, folder):
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=AT_ONCE)
    figures = {}
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
        figures["raw httpx2 and jiter"] = await _measure(lambda: _raw(client, url))
    async with AsyncOpenAI(base_url=url, api_key="bench", max_retries=0) as client:
        figures["openai SDK iterator"] = await _measure(lambda: _sdk(client))
    with chatlab.open(folder / "bench.duckdb", gateway=url, api_key="bench", model="bench/instant") as lab:
        figures["chatlab lab.astream, stored"] = await _measure(lambda: _chatlab(lab))
        rows = lab.sql("select count(*) as n from ai_usage where outcome = 'completed'")["n"][0]
        assert rows == 2 * STREAMS, f"{rows} completed rows of {2 * STREAMS}"
    return figures


def report():
    """Measure and print."""
    server = [sys.executable, str(Path(__file__).parent / "instant_server.py")]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
            with tempfile.TemporaryDirectory() as folder:
                figures = asyncio.run(_figures(url, Path(folder)))
        finally:
            process.terminate()
    ours = figures["chatlab lab.astream, stored"][0]
    print(f"Streaming: {STREAMS} streams of {CHUNKS} chunks, {AT_ONCE} at a time; microseconds a chunk")
    print(f"  {'':30} {'CPU':>8} {'wall':>8} {'CPU / chatlab':>14}")
    for name, (cpu, wall) in figures.items():
        print(f"  {name:30} {cpu:8.1f} {wall:8.1f} {cpu / ours:14.2f}")
    print("  to reach: chatlab at most 12 us, the SDK's iterator at least 6 times as much\n")
