"""`chatlab simulator`: the built-in gateway on a port, for any OpenAI client."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from chatlab.simulator import Simulator


class SimulatorCommand(TyperCommand):
    """Its help goes on with the faults, which the simulator itself lists; they are loaded only then."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Print the list as it is."""
        from chatlab.simulator.manual import manual

        super().format_epilog(ctx, formatter)
        formatter.write(f"\n{manual()}")


def simulator(
    *,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on this machine; 0 for a free one.")
    ] = 8900,
    first_token: Annotated[
        float, typer.Option("--first-token", min=0, metavar="SECONDS", help="Wait before an answer begins.")
    ] = 0.25,
    pace: Annotated[
        float, typer.Option("--pace", min=0, metavar="TOKENS", help="Tokens per second; 0 for all at once.")
    ] = 60.0,
) -> None:
    """Serve the simulated models until Ctrl-C.

    It listens on this machine only and speaks OpenRouter's wire format, so that any OpenAI client can be
    tried without a key or a bill, and against the faults of real gateways, which are listed below.

    \b
    Examples:
      chatlab simulator --port 8900
      chatlab simulator --port 0 --first-token 0 --pace 0
      chatlab ask "Why is the sky blue?" -m sim/crow+slice=1+reset=4000
    """
    from chatlab.simulator import serve_forever

    serve_forever(port, first_token_s=first_token, tokens_per_second=pace or None, on_ready=_announce)


def _announce(running: Simulator) -> None:
    from chatlab.simulator import DEFAULT_MODEL, SIMULATOR_KEY

    url, key, model = running.url, SIMULATOR_KEY, DEFAULT_MODEL
    sys.stdout.write(f"""\
Simulated models at {url} (Ctrl-C ends)

curl -N {url}/chat/completions \\
  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "What is 17 * 23?"}}]}}'

from openai import OpenAI
client = OpenAI(base_url="{url}", api_key="{key}")

AI_GATEWAY_URL={url} AI_API_KEY={key} chatlab ask "What is 17 * 23?" -m {model}
""")
    sys.stdout.flush()
