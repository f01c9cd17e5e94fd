"""What an episode holds, without a contract: its features as the topics that a robot would have them on."""

from collections.abc import Callable

import numpy as np

from policy.data.contents import Contents, Topic
from policy.data.lerobot.description import Description
from policy.data.lerobot.episodes import Place, tasks
from policy.data.lerobot.layout import ACTION, STATE
from policy.data.lerobot.rows import Rows
from policy.data.value_ranges import ValueRanges
from policy.robot.message_types import IMAGE, JOINT_STATE, STRING, TRAJECTORY

NS = 10**9


def contents(described: Description, place: Place, seen: Callable[[int], None]) -> Contents:
    """Pictures, state, action and sentences; `seen` gets the number of rows. `InputError` if they cannot be read."""
    rows = Rows(place)
    stamps = [round(t * NS / described.fps) for t in range(place.length)]
    topics = {}
    for name in described.pictures():
        height, width, _ = described.shape(name)
        topics[name] = _topic(name, IMAGE, stamps)
        topics[name].pictures[f"rgb8 {width}x{height}"] = place.length
    for name, kind in ((STATE, JOINT_STATE), (ACTION, TRAJECTORY)):
        if name in described.features:
            topics[name] = _topic(name, kind, stamps)
            topics[name].values = _ranges(described.names(name), rows[name].reshape(place.length, -1), stamps)
    sentences = tasks(described.root)
    topics["task"] = _topic("task", STRING, stamps)
    for index in rows["task_index"].reshape(-1).tolist():
        topics["task"].texts[sentences.get(index, "")] += 1
    seen(place.length)
    return Contents(described.root, topics, missing=type(topics["task"].texts)(), begin=0, end=stamps[-1])


def _topic(name: str, kind: str, stamps: list[int]) -> Topic:
    topic = Topic(name, kind, count=len(stamps), last=stamps[-1], stamped=True, headers=len(stamps))
    topic.gaps.add(*np.diff(stamps).tolist())
    topic.offsets.add(0)
    return topic


def _ranges(names: tuple[str, ...], values: np.ndarray, stamps: list[int]) -> ValueRanges:
    ranges = ValueRanges()
    for stamp, row in zip(stamps, values.astype(float), strict=True):
        ranges.add(names, row, stamp)
    return ranges
