"""What is wrong with a recording, before anything is learned from it: the one list of checks.

`policy.check` prints the findings of each bag; `policy.train` prints them too and refuses bags with an error.
Each check is a pure function of arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from policy.data.check_episodes import check_dropped, check_idle, check_instructions, check_pictures
from policy.data.check_motion import check_motion
from policy.data.check_timing import check_gaps, check_headers, check_points, check_rates, check_step
from policy.data.clocks import Alignment
from policy.data.findings import Finding
from policy.data.runs import Run
from policy.data.survey import Times, hertz
from policy.data.uncommanded import check_uncommanded
from policy.robot.contract import Contract


@dataclass(frozen=True)
class Recorded:
    """What the checks look at of one bag."""

    topics: Mapping[str, Times]  # by name without leading slash
    alignment: Alignment  # of their times
    missing: Mapping[str, int]  # what the bag promises and does not hold: reason -> messages
    dropped: Mapping[str, int]  # what could not be used: reason -> messages or frames
    said: Sequence[tuple[int, str]]  # instructions, by time [ns]
    unchanged: Mapping[str, np.ndarray]  # camera -> bool, which of its pictures equal the one before
    runs: Sequence[Run]
    restarts: int  # times that the clock was set back


def check(contract: Contract, recorded: Recorded) -> list[Finding]:
    """All that is wrong with one bag."""
    runs, frames = recorded.runs, sum(len(run.stamps) for run in recorded.runs)
    times = _aligned(recorded)
    begin = min((int(at[0]) for at in times.values() if len(at)), default=0)
    findings = check_rates(contract, hertz(recorded.topics))
    findings += [] if recorded.restarts else check_gaps(contract, times, begin, not recorded.missing)
    findings += check_step(contract, times, begin)
    findings += check_headers(contract, recorded.topics)
    findings += check_whole(recorded.missing, frames) + _restarts(recorded.restarts)
    for run in runs:
        findings += check_motion(contract, run.stamps, run.state, run.actions, begin)
        findings += check_uncommanded(contract, run.stamps, run.state, begin)
        findings += check_points(contract, run.commands, begin)
    findings += check_pictures(contract, recorded.unchanged, runs, begin)
    findings += check_instructions(recorded.said, begin)
    findings += check_idle(contract, runs, begin)
    counts = {topic: len(t.received) for topic, t in recorded.topics.items()}
    return findings + check_dropped(recorded.dropped, frames, counts)


def check_whole(missing: Mapping[str, int], frames: int) -> list[Finding]:
    """What a bag promises and does not hold: reason -> messages; `frames` are used all the same."""
    what = "a bag is not whole"
    return [
        Finding("warning", what, f"{n} x {reason}; {frames} frames are used", "record it again if that is too little")
        for reason, n in missing.items()
    ]


def _restarts(restarts: int) -> list[Finding]:
    if not restarts:
        return []
    do = "begin a bag of its own where a simulation is reset; nothing is learned across the jump"
    return [Finding("warning", "the clock was set back", f"{restarts} times within a recording", do)]


def _aligned(recorded: Recorded) -> dict[str, np.ndarray]:
    """Topic -> its times (N,) ns, rising, on the clock of the frames: those of the headers where all have one."""
    times = {}
    for topic, messages in recorded.topics.items():
        received, header = messages.arrays()
        stamped = len(header) > 0 and bool((header != 0).all())
        moved = recorded.alignment.headers.get(topic, 0) if stamped else recorded.alignment.reception
        times[topic] = np.sort(header if stamped else received) + moved
    return times
