"""How a command ends: its exit code, and one line that says what went wrong.

0    done
1    the gateway failed; what had arrived is kept
2    wrong usage, configuration or request
3    no such session, message or tool; a check of `doctor` failed
4    the store could not do its work
130  interrupted; what had arrived is kept
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from typer import Exit
from typer.core import TyperGroup

from chatlab.cli.terminal import safe_label
from chatlab.errors import ChatlabError, GatewayError, NotFound, StoreError

GATEWAY_FAILED: Final = 1
WRONG_USAGE: Final = 2
NOT_FOUND: Final = 3
STORE_FAILED: Final = 4
INTERRUPTED: Final = 130

EPILOG: Final = """\
\b
Examples:
  chatlab ask "Why is the sky blue?"
  git diff | chatlab ask "Review this change" -m anthropic/claude-sonnet-5
  chatlab usage --by model,day --since 7d
  chatlab sql "select model, cost_usd from ai_usage" --csv > costs.csv

\b
Exit codes:
  0    done
  1    the gateway failed; what had arrived is kept
  2    wrong usage, configuration or request
  3    no such session, message or tool; a check of doctor failed
  4    the store could not do its work
  130  interrupted; what had arrived is kept

\b
Environment (a .env file is read too):
  AI_GATEWAY_URL, AI_API_KEY, AI_DEFAULT_MODEL, OPENROUTER_API_KEY, CHATLAB_STORE
  Without a gateway and a key, answers come from the embedded simulator and are marked SIMULATED.
"""


def exit_code(error: ChatlabError) -> int:
    """Give the exit code that stands for an error."""
    if isinstance(error, GatewayError):
        return GATEWAY_FAILED
    if isinstance(error, StoreError):
        return STORE_FAILED
    return NOT_FOUND if isinstance(error, NotFound) else WRONG_USAGE


def say(message: str) -> None:
    """Tell the person one line beside the output: on standard error, harmless whatever it quotes."""
    sys.stderr.write(f"chatlab: {safe_label(message)}\n")
    sys.stderr.flush()


def abandon_stdout() -> None:
    """Send further output nowhere, once the reader of our pipe has gone: `chatlab ... | head` is normal."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _reader_left() -> bool:
    """Tell whether it is our own output that nobody reads any more."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return True
    return False


class GuardedGroup(TyperGroup):
    """The boundary of every command: an error that chatlab raises on purpose is one line, no traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn its failures into exit codes."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except ChatlabError as error:
            say(str(error))
            raise Exit(exit_code(error)) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise Exit(INTERRUPTED) from None
        except BrokenPipeError:
            if not _reader_left():
                raise
            abandon_stdout()
            raise Exit(0) from None
        return result
