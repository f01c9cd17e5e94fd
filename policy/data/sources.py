"""The registry of sources: whatever takes a folder of recordings takes each of these formats, and a mixture of them.

rosbag2    directories and single files (policy.data.rosbag2)
lerobot    data sets of LeRobot, v3.0: a folder with meta/info.json (policy.data.lerobot)
"""

from pathlib import Path

from policy.data.bag_files import nothing_found
from policy.data.findings import Finding
from policy.data.lerobot.source import LeRobot
from policy.data.rosbag2 import Rosbag2
from policy.data.stored import Source, StoredRecording

SOURCES: dict[str, Source] = {"rosbag2": Rosbag2(), "lerobot": LeRobot()}
HELP = "expected rosbag2 directories, or .mcap or .db3 files, or LeRobot data sets (folders with meta/info.json)"


def find(folder: Path) -> list[StoredRecording]:
    """All recordings at or below a folder, those of each source sorted; `InputError` if there is none."""
    sources = SOURCES.values() if folder.exists() else ()
    if found := [recording for source in sources for recording in source.find(folder)]:
        return found
    raise nothing_found(folder, HELP)


def passed_over(folder: Path) -> list[Finding]:
    """What lies among the recordings of a folder and is not read, with what to do."""
    return [finding for source in SOURCES.values() for finding in source.passed_over(folder)]
