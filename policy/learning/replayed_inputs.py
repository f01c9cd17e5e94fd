"""What a policy reads while it follows recordings: frames of bags through the tracker of a robot.

bags, evenly spread ---> frames, evenly spread ---> Tracker.inputs ---> feeds
                                                         ^------ Tracker.update: contact, mode and memory as they come
"""

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from policy.data import sources
from policy.data.bag_reader import Pictures, Take
from policy.data.runs import Run
from policy.data.stored import StoredRecording
from policy.errors import InputError
from policy.running.session import Session
from policy.running.tracker import Tracker
from policy.spec import Frame, Spec

BAGS, FRAMES = 32, 16  # of a folder, of a bag
Feeds = list[dict[str, np.ndarray]]


def replay(session: Session, bags: Path) -> Feeds:
    """Graph inputs, B = 1, of some frames of a folder of recordings.

    Episodes whose instruction the policy does not know are left out. `InputError` where a recording does not fit the
    policy's contract, or nothing is left.
    """
    found = sources.find(bags)
    chosen = np.unique(np.linspace(0, len(found) - 1, BAGS).astype(int))
    feeds: Feeds = []
    for place, i in enumerate(tqdm(chosen, unit="bag", desc="reading")):
        feeds += _of_bag(session, found[i], place / len(chosen), conditions=place % 2 == 1)
    if len(feeds) < 2:
        raise InputError(
            f"the recordings of {bags} give {len(feeds)} frames under instructions that the policy knows, expected at "
            "least 2; give a folder of the tasks that it was trained on"
        )
    return feeds


def _of_bag(session: Session, bag: StoredRecording, place: float, conditions: bool) -> Feeds:
    """Frames of the whole recording; for a policy with memory one stretch of it, at `place` (0 to 1) of its length.

    With `conditions` the policy is given those that it reads: the last frame of an instruction as its goal, a return.
    """
    spec, pictures = session.spec, dict[int, Pictures]()

    def begin(most: int) -> Take:
        step = spec.stride if spec.memory else max(1, most // FRAMES)
        first = int(place * max(0, most - step * FRAMES)) if spec.memory else 0
        wanted = set(range(first, first + step * FRAMES, step)) if spec.memory else set(range(0, most, step))
        count = -1

        def take(images: Pictures) -> None:
            nonlocal count
            count += 1
            if count in wanted:
                pictures[count] = {name: np.array(image) for name, image in images.items()}

        return take

    recording = bag.read(session.contract, begin)
    tracker, feeds = Tracker(session), Feeds()
    for run in recording.runs:
        for part in run.parts:
            rows = [i for i in range(part.first, part.end) if int(run.pictures[i]) in pictures]
            given = _conditions(spec, pictures, run, rows[-1]) if conditions and rows else {}
            try:
                tracker.instruct(part.instruction, **given)
            except InputError:
                continue
            for i in rows:
                frame = Frame(int(run.stamps[i]), pictures[int(run.pictures[i])], run.state[i])
                number = len(feeds)
                feeds.append(tracker.inputs(frame))
                outputs = session.run(feeds[-1])
                if "committed" in spec.reads and number // 2 % 2 == 0:  # two with some, as on a robot, then two without
                    steps = 1 + number % (spec.horizon // 2)
                    feeds[-1] = tracker.inputs(frame, outputs["actions"][0, :steps])
                tracker.update(frame, outputs)
    return feeds


def _conditions(spec: Spec, pictures: dict[int, Pictures], run: Run, last: int) -> dict[str, Any]:
    """The fields of `Conditions` that a policy reads, with row `last` of a run as the goal."""
    given: dict[str, Any] = {}
    if any(f"goal_{camera}" in spec.reads for camera in spec.cameras):
        given["goal_image"] = pictures[int(run.pictures[last])]
    if "goal_state" in spec.reads:
        given["goal_state"] = run.state[last]
    if "return_to_go" in spec.reads:
        given["return_to_go"] = 1.0  # of what succeeds
    return given
