"""The generated table: what chatlab does with each case, beside what the openai SDK's iterator does.

What stands in chatlab's column is what the matrix asserts of it; the SDK is run for the table.
"""

import asyncio
from pathlib import Path

from chatlab.simulator import Simulator
from tests.conformance.matrix import GROUPS
from tests.conformance.sdk import iterate
from tests.conformance.world import FastClock, model_name

FILE = Path(__file__).with_name("TABLE.md")
AT_ONCE = 8
HEAD = """# A hundred ways in which a stream can fail

Written by `python -m tests.conformance`; a test compares it with a new run. The SDK's column is its own
`async for chunk in stream` with `max_retries=0` on the same bytes, of the first attempt. **Bold** is a wrong
success: it ended without an error although the answer was cut, failed, or is not what was sent.
Cases that are no bytes of one stream, such as kills and cancellations, have none.
"""


def ours(probe):
    """Say in a few words what the matrix asserts of a probe."""
    if probe.outcome == "completed":
        return "completed" if probe.attempts == 1 else f"completed at attempt {probe.attempts}"
    tries = f" after {probe.attempts} attempts" if probe.attempts > 1 else ""
    kept = ", partial kept" if probe.least else ""
    outcome = "truncated: " if probe.outcome == "truncated" else ""
    return f"{outcome}{probe.error.__name__}{tries}{kept}"


def theirs(probe, text, end):
    """Say what the SDK did; a success that is none is bold."""
    if end != "ends without an error":
        return end, False
    if probe.valid:
        return "completed", False
    if fails_at_first(probe):
        return f"**{end}, {'part of the text' if text else 'no text'}**", True
    if text != probe.text:
        return f"**{end}, {'other' if text else 'no'} text**", True
    return "completed", False


def fails_at_first(probe):
    return probe.outcome != "completed" or probe.attempts > 1


async def run_sdk(probes):
    """Run the SDK on all probes, a few at a time, each pace with a simulator of its own."""
    found, gate = {}, asyncio.Semaphore(AT_ONCE)

    async def one(simulator, probe):
        async with gate:
            found[probe.model, probe.pace] = await iterate(simulator.url, probe, model_name(probe.model))

    for pace in {probe.pace for probe in probes}:
        clock = FastClock(pace.speed)
        with Simulator.start(first_token_s=0, tokens_per_second=None, clock=clock) as simulator:
            await asyncio.gather(*(one(simulator, probe) for probe in probes if probe.pace == pace))
    return found


def lines_of(one, found):
    """Write the rows of one item, and count wrong successes: an item counts once."""
    if one.missing:
        return [(one.number, one.title, f"not yet: comes with {one.missing}", "")], 0
    if one.play:
        return [(one.number, one.title, one.ends, "")], 0
    rows, wrong = {}, 0
    for probe in one.probes:
        said, bad = theirs(probe, *found[probe.model, probe.pace])
        wrong |= bad
        rows.setdefault((ours(probe), said))
    number = [one.number] + [""] * (len(rows) - 1)
    title = [one.title] + [""] * (len(rows) - 1)
    return [(n, t, *row) for n, t, row in zip(number, title, rows, strict=True)], int(wrong)


def table():
    """Run the SDK and return the whole text."""
    probes = [probe for items in GROUPS.values() for one in items if not one.missing for probe in one.probes]
    found = asyncio.run(run_sdk(probes))
    parts, total, compared = [], 0, 0
    for group, items in GROUPS.items():
        rows = []
        for one in items:
            lines, wrong = lines_of(one, found)
            rows += [f"| {number} | {title} | {mine} | {other} |" for number, title, mine, other in lines]
            total += wrong
            compared += bool(one.probes and not one.missing)
        parts.append(
            f"\n## {group}\n\n| | case | chatlab | the SDK's iterator |\n|--:|---|---|---|\n"
            + "\n".join(rows)
        )
    summary = (
        f"\nOf {compared} cases that can be compared, the SDK's iterator gives a wrong success in {total}.\n"
    )
    return HEAD + summary + "\n".join(parts) + "\n"
