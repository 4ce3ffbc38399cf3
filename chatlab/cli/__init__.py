"""The command line. `chatlab --help` loads neither the gateway client, pandas nor DuckDB."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the `chatlab` command and end the process with its exit code."""
    try:
        from chatlab.cli.app import run
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        needed = 'pip install "chatlab-workbench[cli]"'
        sys.stderr.write(f"chatlab: the command line needs more libraries: {needed}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    run()
