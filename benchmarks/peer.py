"""LeRobot beside us: a process of its environment that answers requests (benchmarks/lerobot_peer.py)."""

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from policy.errors import InputError

ROOT = Path(__file__).parents[1]


def python() -> Path:
    """The Python of LeRobot's environment; `InputError` where it is not there."""
    found = Path(os.environ.get("MIDSTREAM_LEROBOT") or ROOT / ".venv-lerobot" / "bin" / "python")
    if not found.exists():
        raise InputError(f"LeRobot is not at {found}: make lerobot, or name its Python in MIDSTREAM_LEROBOT")
    return found


class Peer:
    """`with Peer() as peer: peer.ask(infer=10)`; `InputError` where LeRobot is not there or fails."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [str(python()), str(ROOT / "benchmarks" / "lerobot_peer.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
        self._answer()

    def ask(self, **request: Any) -> Any:
        """What it answers to one request."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise InputError(f"LeRobot's process ended with {self._process.wait()}; see what it printed")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
