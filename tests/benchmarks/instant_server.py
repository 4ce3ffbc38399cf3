"""A server that answers every chat request at once with the same recorded-style stream.

It runs in a process of its own, so its work is in nobody's CPU figure. Prints its port when it listens.
"""

import asyncio
import json

CHUNKS = 200
HEAD = {
    "id": "gen-bench",
    "object": "chat.completion.chunk",
    "created": 1791383960,
    "model": "bench/instant",
    "provider": "Bench",
}
USAGE = {
    "prompt_tokens": 37,
    "completion_tokens": CHUNKS,
    "total_tokens": 37 + CHUNKS,
    "cost": 0.000007765,
    "is_byok": False,
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
    "cost_details": {"upstream_inference_cost": 0.000007765},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def _event(delta, finish, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": finish}
    return f"data: {json.dumps({**HEAD, 'choices': [choice], **more})}\n\n".encode()


def stream_bytes():
    """Return the body: CHUNKS chunks of text as OpenRouter sends them, the repeated finish, `[DONE]`."""
    parts = [b": OPENROUTER PROCESSING\n\n"]
    parts += [_event({"content": f"word{i} ", "role": "assistant"}, None) for i in range(CHUNKS)]
    nothing = {"content": "", "role": "assistant"}
    parts += [_event(nothing, "stop"), _event(nothing, "stop", usage=USAGE), b"data: [DONE]\n\n"]
    return b"".join(parts)


RESPONSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-generation-id: gen-bench\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
WRITE_BYTES = 4096


async def _serve(reader, writer):
    body = stream_bytes()
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.lower().split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            writer.write(RESPONSE_HEAD)
            for at in range(0, len(body), WRITE_BYTES):
                piece = body[at : at + WRITE_BYTES]
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
