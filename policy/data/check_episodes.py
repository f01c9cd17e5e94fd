"""What episodes are made of: instructions, motion, pictures that change, and what could not be used."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from policy.data.findings import Finding
from policy.data.joint_motion import longest
from policy.data.runs import Run
from policy.robot.contract import Contract
from policy.robot.instructions import continues

STILL = 2e-3  # of a joint's range: what moves less within `AROUND` stands
AROUND = 0.25  # s before and after a frame
IDLE = 0.5  # of the frames, without motion
REPEATS = 3  # the same words in a row
UNUSED = 0.02  # of the frames or messages
NOT_INSTRUCTED = 0.2  # of the frames
FROZEN = 1.0  # s of one picture while the joints move
TRAVEL = 0.05  # of a joint's range: it has moved

# part of a reason -> what to do
REMEDIES = {
    "before the first instruction": "give the instruction before the robot moves, or start the recorder then",
    "empty instruction": "say what is done; where an episode is meant to end, an empty instruction ends it",
    "without a command": "record the command topic from the beginning, or begin to command when the recorder runs",
    "older than": "record the topic at its full rate, or raise its `max_age` in the contract",
    "times run backwards": "let only one node publish the topic, on one clock that is not set back",
    "got an image": "correct `encoding`, `height` and `width` in the contract, or set the camera to them",
    "got no joint": "correct the joints' names in the contract; where several nodes publish on the topic, write a group"
    " for the joints of each",
    "joints without names": "read them by place in the contract, as fields: ['position[0]', ...]",
    "got the joints": "correct the joints' names in the contract",
    "values of": "let its driver fill `position` (or the `field` of the contract) for every joint that it names",
    "without points": "command the position that is to be held: nothing is learned of a trajectory without points, with"
    " which older joint_trajectory_controllers stop and which those from Jazzy on discard",
    "points run backwards": "let `time_from_start` rise from point to point",
    "got no field": "correct `fields` in the contract",
    "got no number": "correct `fields` in the contract",
    "got no ": "correct the indices of `fields` in the contract, or record the topic once it has all values",
    "four zeros": "let its driver fill the orientation, or leave `orientation` out of the contract",
    "got bytes": "see that the picture's bytes are of the `encoding` in the contract, and whole: record it again",
    "G that is cut off": "record on a faster disk or with smaller pictures: a part of it was lost",
    "PNG without": "give `encoding: 16UC1` if it is in millimetres, or record the topic of compressedDepth",
    "not a finite number": "mend the driver: NaN is no measurement",
    "does not decode": "the message is damaged, or of another version of its type: record it again",
}


def check_instructions(said: Sequence[tuple[int, str]], begin: int) -> list[Finding]:
    """Words as (time [ns], text): the same ones again and again are one episode; `begin` is when the bag begins."""
    row, most, since, where = 0, 0, 0, 0
    last = None
    for time, text in said:
        again = text.strip() == last and text.strip() and not continues(text)
        row, since = (row + 1, since) if again else (1, time)
        if row > most:
            most, where = row, since
        last = text.strip()
    if most < REPEATS:
        return []
    return [
        Finding(
            "warning",
            "an instruction is repeated",
            f"the same one {most} times in a row, which is one episode",
            "publish it once (`ros2 topic pub -1`); where each begins a demonstration, give an empty instruction "
            "between two, or record each into a bag of its own",
            (where - begin) * 1e-9,
        )
    ]


def check_idle(contract: Contract, runs: Sequence[Run], begin: int) -> list[Finding]:
    """Recordings in which mostly nothing happens."""
    findings = []
    span = contract.limits.high - contract.limits.low
    still = [(run, _still(run, span, round(AROUND * contract.rate))) for run in runs]
    share = float(np.concatenate([mask for _, mask in still]).mean()) if runs else 0.0
    if share > IDLE:
        run, (first, end) = max(((run, longest(mask)) for run, mask in still), key=lambda r: r[1][1] - r[1][0])
        findings.append(
            Finding(
                "warning",
                "the robot mostly stands still",
                f"in {share:.0%} of the frames nothing is commanded to move, at a stretch for "
                f"{(run.stamps[end - 1] - run.stamps[first]) * 1e-9:.1f} s",
                "begin to record when the robot begins, and end with it: a policy learns to wait, too",
                float(run.stamps[first] - begin) * 1e-9,
            )
        )
    return findings


def check_pictures(
    contract: Contract, unchanged: Mapping[str, np.ndarray], runs: Sequence[Run], begin: int
) -> list[Finding]:
    """Cameras that repeat one picture while the joints move; `unchanged`: camera -> which pictures equal the last."""
    findings = []
    span = contract.limits.high - contract.limits.low
    for name, equal in unchanged.items():
        for run in runs:
            first, end = longest(equal[run.pictures])
            seconds = (run.stamps[end - 1] - run.stamps[first]) * 1e-9 if end > first else 0.0
            if seconds < FROZEN or (np.ptp(run.actions[first:end], axis=0) < TRAVEL * span).all():
                continue
            whole = bool(equal[run.pictures[1:]].all())
            findings.append(
                Finding(
                    "error" if whole else "warning",
                    f"camera {name} shows one picture while the robot moves",
                    f"for {seconds:.1f} s" + (", which is all of the recording" if whole else ""),
                    "see that the camera's driver runs and that nothing covers it, and leave these recordings out",
                    float(run.stamps[first] - begin) * 1e-9,
                )
            )
    return findings


def check_dropped(dropped: Mapping[str, int], frames: int, messages: Mapping[str, int]) -> list[Finding]:
    """What could not be used: reason -> frames or messages, beside the `frames` used and the `messages` of a topic."""
    findings = []
    for reason, n in Counter(dropped).most_common():
        topics = [topic for topic in messages if f"({topic})" in reason or reason.startswith(topic)]
        of_frames = reason.startswith("frame ")
        total = frames + n if of_frames or not topics else messages[topics[0]]
        limit = NOT_INSTRUCTED if "instruction" in reason or "nothing to continue" in reason else UNUSED
        if n <= limit * total:
            continue
        do = remedy(reason) or "see docs/bags.md"
        kind = "frames are not used" if of_frames else "messages are not used"
        findings.append(
            Finding("warning", kind, f"{reason.removeprefix('frame ')}: {n} of {total} ({n / total:.0%})", do)
        )
    return findings


def remedy(reason: str) -> str:
    """What to do about what could not be used, "" where nothing is known."""
    return next((do for part, do in REMEDIES.items() if part in reason), "")


def _still(run: Run, span: np.ndarray, around: int) -> np.ndarray:
    """Frames (N,) around which the command does not move."""
    first = np.maximum(np.arange(len(run.stamps)) - around, 0)
    last = np.minimum(np.arange(len(run.stamps)) + around, len(run.stamps) - 1)
    moved = np.cumsum(np.abs(np.diff(run.actions, axis=0, prepend=run.actions[:1])), axis=0, dtype=np.float64)
    return np.asarray(((moved[last] - moved[first]) < STILL * span).all(1))
