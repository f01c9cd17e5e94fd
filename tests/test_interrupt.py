"""Ctrl-C while bags are decoded: one line, no worker left, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from policy.data.cache import open_cache
from tests import small_robot as small

ROOT = Path(__file__).parents[1]
SCRIPT = """
from pathlib import Path
from policy.data.cache import open_cache
from policy.errors import exit_code
from tests import small_robot
if __name__ == "__main__":
    raise SystemExit(exit_code(lambda: open_cache(Path({bags!r}), small_robot.contract())))
"""


@pytest.mark.slow
def test_one_line_and_the_same_command_goes_on(tmp_path: Path) -> None:
    bags = tmp_path / "bags"
    for k in range(3):
        small.record(bags / f"bag{k}", small.moving(60 if k else 1))
    (tmp_path / "decode.py").write_text(SCRIPT.format(bags=str(bags)))
    command = subprocess.Popen(
        [sys.executable, tmp_path / "decode.py"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        # as a terminal does: the signal goes to the whole group, and nobody ignores it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 300
    while not list(bags.rglob("bag.json")) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(command.pid, signal.SIGINT)
    _, printed = command.communicate(timeout=300)
    assert command.returncode == 130 and printed.splitlines()[-1] == "interrupted"
    assert "Traceback" not in printed and "KeyboardInterrupt" not in printed
    cache = open_cache(bags, small.contract())
    assert sorted(set(cache.bags)) == ["bag0", "bag1", "bag2"] and len(cache.stamps) == 20 * 121
