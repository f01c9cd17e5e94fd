"""A signal ends a process between two file operations, not within one."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = """
import os, signal
from ros_nodes.signals import handle_signals, uninterrupted
handle_signals()
try:
    with uninterrupted():
        with uninterrupted():
            os.kill(os.getpid(), signal.{first})
        print("written")
    print("never")
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    print("cleaned up")
"""


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_what_was_begun_is_done_whole_and_no_second_signal_interrupts_the_cleanup(first: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(first=first)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "written\ncleaned up\n"), done.stderr
