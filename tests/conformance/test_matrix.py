"""A hundred ways in which streams fail, and the rule that every one of them has to pass.

Each ends in the outcome that it should, with exactly one terminal event, in time; what was shown, returned
and stored is the same and a beginning of what was sent; the cost has the stated basis; no socket, task,
thread or file is left open, and the key is found nowhere.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.matrix import ITEMS
from tests.conformance.table import FILE, table
from tests.conformance.world import World, check_probe


@dataclass
class Place:
    """What a case may use besides its world."""

    folder: Path
    monkeypatch: Any


def as_param(one):
    missing = pytest.mark.xfail(strict=True, reason=f"comes with {one.missing}")
    return pytest.param(one, id=one.id, marks=[missing] if one.missing else [])


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Open one world for each pace that is asked for, and close them all at the end."""
    with ExitStack() as stack:
        opened = {}

        def world(pace):
            if pace not in opened:
                opened[pace] = stack.enter_context(World(tmp_path_factory.mktemp("world"), pace, shared=True))
            return opened[pace]

        yield world


@pytest.mark.parametrize("one", [as_param(one) for one in ITEMS])
def test_case(one, worlds, tmp_path, monkeypatch, capfd):
    assert one.probes or one.play, "there is nothing to try yet"
    if one.play is not None:
        one.play(Place(tmp_path / "world", monkeypatch))
    for at, probe in enumerate(one.probes):
        world = worlds(probe.pace)
        with world.case():
            check_probe(world, probe, f"Why {one.number}.{at}?", on_own_loop=bool((one.number + at) % 2))
    assert capfd.readouterr() == ("", "")


def test_the_matrix_has_each_number_once():
    assert [one.number for one in ITEMS] == list(range(1, 101))


@pytest.mark.slow
def test_the_table_says_what_the_matrix_and_the_sdk_do():
    assert FILE.read_text() == table(), "write it anew: python -m tests.conformance"
