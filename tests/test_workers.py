"""Worker processes end with the command that they work for, also when it is killed."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from policy.data.workers import pool
from policy.errors import InputError
from sim.job_queue import robots, workers


def refuse(what: str) -> None:
    raise InputError(f"{what} is not installed")


def test_what_a_worker_refuses_at_its_beginning_is_the_sentence_of_the_command(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for kind in (workers, robots):
        with pytest.raises(InputError, match="a world is not installed"), kind(2, refuse, "a world"):
            raise AssertionError("nothing is to be written yet")
    with pool(2, refuse, "this") as refused, pytest.raises(InputError, match="this is not installed"):
        list(refused.map(abs, [1, 2]))
    assert capfd.readouterr().err == ""


ENDLESS = """
import sys, time
from pathlib import Path
from policy.data.workers import pool

def count(path):
    while True:
        with open(path, "a") as file:
            file.write(".")
        time.sleep(0.02)

if __name__ == "__main__":
    with pool(2, preload=sys.argv[2]) as workers:
        for name in "ab":
            workers.submit(count, Path(sys.argv[1]) / name)
"""


def soon(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 300
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    return true()


@pytest.mark.slow
@pytest.mark.parametrize("preload", ["", "policy.data.cache"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_command_that_is_killed(tmp_path: Path, how: signal.Signals, preload: str) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    command = subprocess.Popen([sys.executable, script, tmp_path, preload], cwd=Path(__file__).parents[1])
    files = [tmp_path / name for name in "ab"]
    assert soon(lambda: all(file.exists() for file in files))
    command.send_signal(how)
    command.wait(60)

    def still() -> bool:
        before = [file.stat().st_size for file in files]
        time.sleep(1)  # fifty times what a worker waits
        return before == [file.stat().st_size for file in files]

    assert soon(still)
