"""A run as the columns of a data set's rows: numbers, texts and labels, without pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from policy.data.lerobot import layout
from policy.data.lerobot.packages import package
from policy.data.runs import FOREVER, Run
from policy.spec import MODES

Columns = dict[str, Any]  # name -> values of each frame: (N,), (N, n) or a list of texts


def columns(run: Run, success: bool | None, sources: Sequence[str]) -> Columns:
    """What was recorded: state, action, and what the format has no place for."""
    count = len(run.stamps)
    part = _part_of_frames(run)
    done = np.zeros(count, bool)
    done[[p.end - 1 for p in run.parts if not p.superseded]] = True
    mode = np.zeros(count, np.uint8) if run.mode is None else run.mode
    until = [0 if p.until >= FOREVER else p.until for p in run.parts]
    return {
        layout.STATE: run.state,
        layout.ACTION: run.actions,
        layout.STAMP: run.stamps,
        layout.TASK: [run.parts[i].task or "" for i in part],
        layout.CONTACT: _flags(run.contact, count),
        layout.MODE: [MODES[m] for m in mode],
        layout.CORRECTION: _flags(run.correction, count),
        layout.DONE: done,
        layout.UNTIL: np.array(until, np.int64)[part],
        layout.SUCCESS: np.full(count, layout.UNKNOWN if success is None else int(success)),
        layout.SOURCES: [",".join(sources)] * count,
    }


def scalars(run: Run, tasks: dict[str, int], episode: int, first: int, fps: int) -> Columns:
    """Where each frame is in the data set, whose row `first` is the episode's first; `tasks` takes in new sentences."""
    count = len(run.stamps)
    indices = [tasks.setdefault(part.instruction, len(tasks)) for part in run.parts]
    return {
        "timestamp": (np.arange(count) / fps).astype(np.float32),
        "frame_index": np.arange(count),
        "episode_index": np.full(count, episode),
        "index": np.arange(first, first + count),
        "task_index": np.array(indices)[_part_of_frames(run)],
    }


def as_arrow(values: Any) -> Any:
    """A column as arrow takes it: vectors as lists of one length, of one value as the value."""
    arrow = package("pyarrow")
    if np.ndim(values) == 2:
        flat, width = np.ascontiguousarray(values).reshape(-1), values.shape[1]
        return arrow.array(flat) if width == 1 else arrow.FixedSizeListArray.from_arrays(flat, width)
    return arrow.array(values)


def _flags(values: np.ndarray | None, count: int) -> np.ndarray:
    """(N,) int64 of what is true, false or not known."""
    return np.full(count, layout.UNKNOWN) if values is None else values.astype(np.int64)


def _part_of_frames(run: Run) -> np.ndarray:
    return np.repeat(np.arange(len(run.parts)), [part.end - part.first for part in run.parts])
