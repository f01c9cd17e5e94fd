"""An episode of a LeRobot data set as a recording.

    row     timestamp, observation.*, action, task_index      one clock, frames and actions at one rate
    frame   stamps[t] (midstream.stamp, else frame_index / fps), state, pictures
    action  in force from about stamps[t] on, and so at stamps[t] + dt: our actions[t] are the row's

Where the sentence changes within an episode the instruction changes there. Without the columns midstream.* an episode
is taken for carried out at its end, a sentence that another one follows is not, and contact is estimated.
"""

from collections.abc import Callable

import numpy as np

from policy.data import checks
from policy.data.bag_reader import Take
from policy.data.checks import Recorded
from policy.data.clocks import Alignment
from policy.data.lerobot import layout
from policy.data.lerobot.description import Description
from policy.data.lerobot.episodes import Place, tasks
from policy.data.lerobot.fit import Fit, fit
from policy.data.lerobot.pictures import pictures
from policy.data.lerobot.rows import Rows
from policy.data.recording import Recording
from policy.data.runs import FOREVER, Part, Run
from policy.data.survey import Times
from policy.data.unchanged_pictures import UnchangedPictures
from policy.errors import InputError, unknown
from policy.robot import contact, continuous
from policy.robot.contract import Contract
from policy.robot.message_types import TRAJECTORY
from policy.robot.setpoints import HELD, LINEAR, SetPoints
from policy.spec import MODES

EMPTY = "frame with an empty instruction"
BEGIN = 10**9  # ns, of an episode without stamps: a stamp of 0 is none
UNEVEN = 0.25  # of a step: how far a timestamp may be from frame_index / fps


def read(
    described: Description, place: Place, sources: tuple[str, ...], contract: Contract, begin: Callable[[int], Take]
) -> Recording:
    """Read an episode; `begin` as in `StoredRecording.read`. `InputError` where it does not fit or is damaged."""
    fitted, rows = fit(described, contract), Rows(place)
    stamps, instructions = _stamps(described, rows), _instructions(described, rows, contract)
    used = np.array([bool(text) for text in instructions], bool)
    if not used.any():
        raise InputError(
            f"episode {place.number} of {described.root} has no instruction: its tasks are empty; give "
            "`default_instruction` in the contract"
        )
    run = _run(rows, fitted, contract, stamps, instructions, used)
    seen = UnchangedPictures(begin(place.length))
    for frame in pictures(described, rows, fitted.cameras):
        seen.take(frame)
    dropped = {EMPTY: int((~used).sum())} if not used.all() else {}
    times = Times()
    times.received.extend(stamps.tolist())
    times.header.extend(stamps.tolist())
    topics = {camera.topic.lstrip("/"): times for camera in contract.cameras.values()}
    said = [(int(run.stamps[part.first]), part.instruction) for part in run.parts]
    findings = checks.check(
        contract, Recorded(topics, Alignment(), {}, dropped, said, seen.unchanged(), [run], restarts=0)
    )
    success = {1: True, 0: False}.get(int(rows[layout.SUCCESS][0])) if layout.SUCCESS in rows.names else None
    recording = Recording([run], sources, findings, success)
    recording.dropped.update(dropped)
    return recording


def _stamps(described: Description, rows: Rows) -> np.ndarray:
    """When the frames were recorded (N,) ns."""
    timestamps = rows["timestamp"].astype(np.float64).reshape(-1)
    even = np.arange(len(timestamps)) / described.fps
    away = np.abs(timestamps - timestamps[:1] - even) > UNEVEN / described.fps
    if away.any():
        t = int(np.argmax(away))
        raise InputError(
            f"{rows.place.data}: frame {t} of episode {rows.place.number} has the timestamp {timestamps[t]:.3f} s, "
            f"expected {even[t]:.3f} s at {described.fps:g} frames a second; correct fps in meta/info.json, or the data"
        )
    if layout.STAMP in rows.names:
        stamps = rows[layout.STAMP].astype(np.int64)
        if (np.diff(stamps) <= 0).any():
            raise InputError(
                f"{rows.place.data}: {layout.STAMP} of episode {rows.place.number} does not rise; convert them again"
            )
        return stamps
    stamps = BEGIN + np.round(np.arange(len(timestamps)) * (1e9 / described.fps))
    return stamps.astype(np.int64)


def _instructions(described: Description, rows: Rows, contract: Contract) -> list[str]:
    """The instruction of each frame (N,)."""
    sentences, indices = tasks(described.root), rows["task_index"].reshape(-1)
    missing = sorted({int(i) for i in indices} - set(sentences))
    if missing:
        raise InputError(
            f"{rows.place.data}: task_index {missing[0]} of episode {rows.place.number} is not in {layout.TASKS}, "
            f"which names {len(sentences)} tasks; copy the data set again"
        )
    return [sentences[int(i)].strip() or contract.default_instruction for i in indices]


def _run(
    rows: Rows, fitted: Fit, contract: Contract, stamps: np.ndarray, instructions: list[str], used: np.ndarray
) -> Run:
    """The frames that have an instruction."""
    state, action = _vectors(rows, layout.STATE, fitted.state), _vectors(rows, layout.ACTION, fitted.action)
    state, action = _counted_on(contract, state, action)
    frames = np.flatnonzero(used)
    return Run(
        pictures=frames,
        stamps=stamps[frames],
        state=state[frames],
        actions=action[frames],
        contact=_contact(rows, contract, state, action, used),
        mode=_mode(rows)[frames] if layout.MODE in rows.names else None,
        correction=_correction(rows, used),
        commands=_commands(contract, stamps, action),
        parts=_parts(rows, stamps[frames], [instructions[i] for i in frames], frames, contract.spec.dt_ns),
    )


def _vectors(rows: Rows, feature: str, places: np.ndarray) -> np.ndarray:
    """Values of a feature (N, n) float32."""
    values = rows[feature].reshape(rows.place.length, -1)
    if values.shape[1] <= places.max():
        raise InputError(
            f"{rows.place.data}: {feature} of episode {rows.place.number} has {values.shape[1]} values, and "
            "meta/info.json names more; copy the data set again"
        )
    chosen = values[:, places].astype(np.float32)
    if not np.isfinite(chosen).all():
        t = int(np.flatnonzero(~np.isfinite(chosen).all(1))[0])
        raise InputError(
            f"{rows.place.data}: {feature} of frame {t} in episode {rows.place.number} is not a finite number; take "
            "the episode out"
        )
    return chosen


def _counted_on(contract: Contract, state: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """State and action (N, n) in which joints that turn without end count on, as those of a bag do."""
    names, measured = contract.spec.action, contract.spec.state
    turning = [i for i, name in enumerate(measured) if contract.turns[name]]
    turns = np.array([contract.turns[measured[i]] for i in turning])
    state, action = state.copy(), action.copy()
    counted = continuous.counted_on(state[:, turning].astype(np.float64), state[0, turning].astype(np.float64), turns)
    state[:, turning] = counted
    for n, i in enumerate(turning):
        if measured[i] in names:
            j = names.index(measured[i])
            action[:, j] = continuous.near(action[:, j].astype(np.float64), counted[:, n], turns[n])
    return state, action


def _contact(
    rows: Rows, contract: Contract, state: np.ndarray, action: np.ndarray, used: np.ndarray
) -> np.ndarray | None:
    """Contact (N,) bool of the frames used: a column, else an estimate from the grippers, else None."""
    if layout.CONTACT in rows.names and (rows[layout.CONTACT][used] != layout.UNKNOWN).all():
        return np.asarray(rows[layout.CONTACT][used] == 1)
    if layout.CONTACT in rows.names:
        return None
    estimate = contact.estimate(contract, state, action, np.empty((len(state), 0, 3)))
    return None if estimate is None else estimate[used]


def _correction(rows: Rows, used: np.ndarray) -> np.ndarray | None:
    """Whether a person was in control (N,) bool of the frames used; None where the data set does not say."""
    if layout.CORRECTION not in rows.names or (rows[layout.CORRECTION][used] == layout.UNKNOWN).any():
        return None
    return np.asarray(rows[layout.CORRECTION][used] == 1)


def _mode(rows: Rows) -> np.ndarray:
    """Modes (N,) uint8 into MODES."""
    labels = rows[layout.MODE].tolist()
    for wrong in set(labels) - set(MODES):
        raise unknown(f"mode in {layout.MODE} of {rows.place.data}:", wrong, MODES)
    return np.array([MODES.index(label) for label in labels], np.uint8)


def _commands(contract: Contract, stamps: np.ndarray, action: np.ndarray) -> list[SetPoints]:
    """The actions over time: reached at stamps + dt where the contract has trajectories, else held from dt / 2 on."""
    dt, first, commands = contract.spec.dt_ns, 0, []
    for command in contract.action:
        end = first + len(command.spec_names)
        follows = command.source.type == TRAJECTORY
        positions = action[:, first:end].astype(np.float64)
        times, kind = stamps + (dt if follows else dt // 2), LINEAR if follows else HELD
        commands.append(SetPoints(times, positions, np.zeros_like(positions), np.full(len(times), kind, np.uint8)))
        first = end
    return commands


def _parts(rows: Rows, stamps: np.ndarray, instructions: list[str], frames: np.ndarray, dt: int) -> list[Part]:
    """The frames (N,) of each instruction."""
    until = rows[layout.UNTIL][frames] if layout.UNTIL in rows.names else np.zeros(len(frames), np.int64)
    done = rows[layout.DONE][frames] if layout.DONE in rows.names else None
    labels = rows[layout.TASK][frames] if layout.TASK in rows.names else None
    changes = [t for t in range(1, len(stamps)) if instructions[t] != instructions[t - 1] or until[t] != until[t - 1]]
    parts = []
    for first, end in zip([0, *changes], [*changes, len(stamps)], strict=True):
        last = end == len(stamps)
        following = FOREVER if last else int(stamps[end]) - dt // 2
        parts.append(
            Part(
                instruction=instructions[first],
                task=(str(labels[end - 1]) or None) if labels is not None else None,
                first=first,
                end=end,
                until=int(until[first]) or following,
                superseded=not bool(done[end - 1]) if done is not None else not last,
            )
        )
    return parts
