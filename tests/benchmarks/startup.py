"""How long it takes until something can be done: importing the package, asking the command for help."""

import statistics
import subprocess
import sys
import time

RUNS = 7

COMMANDS = {
    "python -c pass (the floor)": ["-c", "pass"],
    "import chatlab": ["-c", "import chatlab"],
    "chatlab --help": ["-m", "chatlab.cli", "--help"],
    "import openai (what it would cost)": ["-c", "import openai"],
}


def _seconds(arguments):
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def report():
    """Measure and print."""
    rounds = [{name: _seconds(arguments) for name, arguments in COMMANDS.items()} for _ in range(RUNS)]
    medians = {name: statistics.median(run[name] for run in rounds) for name in COMMANDS}
    floor = medians["python -c pass (the floor)"]
    print(f"Start-up: seconds of wall time, median of {RUNS}, and what comes on top of the interpreter")
    for name, seconds in medians.items():
        print(f"  {name:36} {seconds:6.3f} {seconds - floor:+7.3f}")
    print("  to reach: import chatlab under 0.15 s, chatlab --help under 0.3 s")
