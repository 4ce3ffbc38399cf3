"""The demonstration holds from its first step to its last, and takes less than 20 seconds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatlab.cli import demo


@pytest.mark.slow
def test_every_step_of_the_journey_holds(tmp_path: Path) -> None:
    # A configured gateway, a key and a store of one's own must play no part in it.
    mine = {
        "AI_GATEWAY_URL": "https://openrouter.ai/api/v1",
        "AI_API_KEY": "sk-or-canary",
        "TMPDIR": str(tmp_path),
    }
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CHATLAB_STORE": str(tmp_path / "mine.duckdb"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "chatlab.cli", "demo"],
        env=environ | mine,
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.count("  ok: ") == 18
    assert "canary" not in done.stdout
    assert "\x1b" not in done.stdout
    [seconds] = re.findall(r"Every step held\. ([\d.]+) s\n", done.stdout)
    if os.getloadavg()[0] < (os.cpu_count() or 1):  # where others keep the machine busy it may take longer
        assert float(seconds) < 20
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_does_not_hold_ends_with_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def journey(store: Path) -> None:
        demo._check(True, "the first step")
        demo._check(False, "the second step")

    monkeypatch.setattr(demo, "_journey", journey)
    monkeypatch.setenv("CHATLAB_SIMULATOR_PACE", "0")
    with pytest.raises(demo.typer.Exit) as left:
        demo.demo()
    assert left.value.exit_code == 3
    assert "does not hold: the second step" in capsys.readouterr().out
