"""A stop that survives its process: what the safety node finds when it is started again.

started --- running --- stopped ("e-stop") --- reset --- ended          a clean end leaves nothing
               |           |
       killed, or ended by an error   started again: stopped, until someone has looked and resets
"""

import json
import os
from pathlib import Path

from policy.errors import InputError

CRASHED = "the safety node was started again after it had ended without being shut down"


def default_path(domain: str, name: str) -> Path:
    """Where a node's file is, one for each domain and fully qualified name: below ROS_HOME, by default ~/.ros."""
    home = Path(os.environ.get("ROS_HOME") or Path.home() / ".ros")
    return home / "midstream" / f"{domain}{name.replace('/', '_')}.json"


class StopFile:
    """Written aside and renamed, so that it is never half; `InputError` where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, stopped_after_crash: bool) -> tuple[str, bool]:
        """The node is started: why it starts stopped, "" if it does not, and whether the e-stop is engaged."""
        stopped, estopped = self._read(stopped_after_crash)
        self.write(stopped, estopped)
        return stopped, estopped

    def write(self, stopped: str, estopped: bool) -> None:
        """The node runs, stopped for this reason ("": it is not)."""
        self._replace({"running": True, "stopped": stopped, "estopped": estopped})

    def end(self, stopped: str, estopped: bool) -> None:
        """The node is shut down: only a stop stays."""
        self._replace({"running": False, "stopped": stopped, "estopped": estopped})

    def _read(self, stopped_after_crash: bool) -> tuple[str, bool]:
        try:
            found = json.loads(self._path.read_text())
            stopped, estopped, running = str(found["stopped"]), bool(found["estopped"]), bool(found["running"])
        except FileNotFoundError:
            return "", False
        except (OSError, ValueError, KeyError, TypeError) as error:
            return (
                f"{self._path} cannot be read ({type(error).__name__}): it is not known whether the arm was stopped",
                False,
            )
        if stopped:
            return stopped.removeprefix("stopped: "), estopped
        return (CRASHED if running and stopped_after_crash else ""), False

    def _replace(self, content: dict[str, object]) -> None:
        aside = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("w") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)
        except OSError as error:
            raise InputError(
                f"{self._path} cannot be written ({error.strerror}), so a stop would not survive this process; "
                "make room, or give another path with the parameter stop_file"
            ) from None
