"""Where a LeRobot data set v3.0 keeps what, and the columns that we add.

    meta/info.json                 version, rate, features
    meta/tasks.parquet             task_index -> sentence
    meta/stats.json                of each feature
    meta/episodes/...              a row an episode: where its rows and its pictures lie
    data/chunk-000/file-000.parquet                      a row a frame
    videos/<feature>/chunk-000/file-000.mp4              episodes one after the other

A row's columns beside those of the format are named midstream.*: what a bag tells and the format has no place for.
"""

from typing import Final

VERSION: Final = "v3.0"
INFO: Final = "meta/info.json"
TASKS: Final = "meta/tasks.parquet"
STATS: Final = "meta/stats.json"
FILE: Final = "chunk-{chunk_index:03d}/file-{file_index:03d}"
EPISODES: Final = f"meta/episodes/{FILE}.parquet"
DATA: Final = f"data/{FILE}.parquet"
VIDEOS: Final = f"videos/{{video_key}}/{FILE}.mp4"

STATE: Final = "observation.state"
ACTION: Final = "action"
IMAGES: Final = "observation.images."

STAMP: Final = "midstream.stamp"  # int64, ns: when the frame was recorded
TASK: Final = "midstream.task"  # string: the label of the task, "" without one
CONTACT: Final = "midstream.contact"  # int64: 1 in contact, 0 not, -1 not known
MODE: Final = "midstream.mode"  # string: forward, rollback, advance
CORRECTION: Final = "midstream.correction"  # int64: 1 where a person corrects a policy, 0 where not, -1 not known
DONE: Final = "midstream.done"  # bool: the last frame of an instruction that was carried out
UNTIL: Final = "midstream.until"  # int64, ns: when the next instruction was given, 0 where none was
SUCCESS: Final = "midstream.success"  # int64: the recording is marked 1 as a success, 0 as a failure, -1 not at all
SOURCES: Final = "midstream.sources"  # string: the recordings that it was made of, divided by commas
UNKNOWN: Final = -1

SCALARS: Final = ("timestamp", "frame_index", "episode_index", "index", "task_index")  # of every data set
OURS: Final = {
    STAMP: "int64",
    TASK: "string",
    CONTACT: "int64",
    MODE: "string",
    CORRECTION: "int64",
    DONE: "bool",
    UNTIL: "int64",
    SUCCESS: "int64",
    SOURCES: "string",
}
