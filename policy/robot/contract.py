"""The contract: which topic of a robot is which field of a spec, how it is aligned in time, what limits it.

One strict, frozen YAML a robot; `contracts/tabletop.yaml` is the commented one to imitate.
"""

import functools
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from policy import strict_yaml
from policy.errors import InputError, unknown
from policy.robot.commands import Command, Controller, Limits
from policy.robot.message_types import BOOL, FOLLOW, STRING, TRAJECTORY
from policy.robot.sources import Camera, Source
from policy.robot.uncommandable import INSTEAD
from policy.spec import Spec

FOLDER = Path(__file__).parents[1] / "contracts"
CAMERA_NAME = re.compile(r"\w+([.-]\w+)*", re.ASCII)  # with . and -, as data sets of LeRobot have them
TOPIC = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True)
class Labels:
    """Topics that only training reads; a bag may lack them."""

    task: str | None = None
    contact: str | None = None
    mode: str | None = None
    correction: str | None = None  # whether a person corrects a policy: of such a recording only that is imitated


LABEL_TYPES = {"task": STRING, "contact": BOOL, "mode": STRING, "correction": BOOL}
CORRECTION = "label/correction"  # its usual topic


@dataclass(frozen=True)
class Contract:
    """A robot's topics as the fields of a policy."""

    rate: float  # Hz
    horizon: int
    cameras: dict[str, Camera]  # the first one leads: a frame is due on its images
    state: tuple[Source, ...]
    action: tuple[Command, ...]
    instruction: str
    default_instruction: str = ""  # of bags that hold none and for which bags.yaml has none
    labels: Labels = Labels()

    @functools.cached_property
    def spec(self) -> Spec:
        """The names, shapes, rate and horizon that a policy of this robot has."""
        return Spec(
            cameras={name: (c.height, c.width) for name, c in self.cameras.items()},
            state=(*(n for s in self.state for n in s.spec_names), *self.initial),
            action=tuple(n for c in self.action for n in c.spec_names),
            rate=self.rate,
            horizon=self.horizon,
            depth=tuple(name for name, c in self.cameras.items() if c.depth),
            unmeasured=tuple(self.initial),
            velocities=tuple(n for c in self.action if c.kind in ("velocity", "twist") for n in c.spec_names),
        )

    @functools.cached_property
    def limits(self) -> Limits:
        """Limits of the action vector."""
        low, high, velocity = zip(*(c.limits() for c in self.action), strict=True)
        return Limits(*(np.array([v for part in parts for v in part], np.float32) for parts in (low, high, velocity)))

    @functools.cached_property
    def initial(self) -> dict[str, float]:
        """Names of the state that nothing measures, which come last, and their values before the first command."""
        return {n: value for c in self.action for n, value in zip(c.spec_names, c.initial, strict=False)}

    @functools.cached_property
    def turns(self) -> dict[str, float]:
        """Name of the state -> the length of its turn where it turns without end, 0 where it does not."""
        turns = {n: float(turn) for s in self.state for n, turn in zip(s.spec_names, s.turns, strict=True)}
        return turns | dict.fromkeys(self.initial, 0.0)

    @functools.cached_property
    def controllers(self) -> tuple[Controller, ...]:
        """The controllers that an action goes to, one for each topic."""
        column, topics = 0, dict[str, list[tuple[Command, range]]]()
        for c in self.action:
            topics.setdefault(c.topic, []).append((c, range(column, column + len(c.spec_names))))
            column += len(c.spec_names)
        return tuple(
            Controller(
                topic,
                tuple(joint for c, _ in groups for joint in (c.joints or c.names)),
                np.array([i for _, columns in groups for i in columns]),
                np.array([self.spec.state.index(name) for c, _ in groups for name in c.measured_names], int),
                np.concatenate([c.scales for c, _ in groups]),
                np.concatenate([c.offsets for c, _ in groups]),
                groups[0][0],
            )
            for topic, groups in topics.items()
        )

    @functools.cached_property
    def tracking_max(self) -> np.ndarray:
        """How far each action may be from where it is measured for long, (A,) in units of the policy."""
        return np.array([v for c in self.action for v in c.tracking()], np.float32)

    @functools.cached_property
    def grippers(self) -> np.ndarray:
        """Which actions are grippers, (A,) bool."""
        return np.array([c.gripper for c in self.action for _ in c.spec_names])

    @functools.cached_property
    def measured(self) -> np.ndarray:
        """The place in the state where each action is measured, (A,) int; -1 of a velocity, which nothing measures."""
        places = np.full(len(self.spec.action), -1)
        for controller in self.controllers:
            if controller.command.kind in ("position", "pose"):
                places[controller.columns] = controller.measured
        return places

    @functools.cached_property
    def positions(self) -> list[int]:
        """The place of each action in the state (A,); `InputError` where one is no position of the state.

        Recorded motion is stitched and reversed where each action is a position of a joint or a pose of the hand.
        """
        state = self.spec.state
        known = {name for c in self.action if c.kind in ("position", "pose") for name in c.spec_names}
        for name in self.spec.action:
            if name not in known or name not in state:
                raise InputError(
                    f"the action {name} is no position of the state, and switches are made of recorded positions; "
                    "command joint positions or poses that are measured under the same names"
                )
        return [state.index(name) for name in self.spec.action]

    @functools.cached_property
    def observed(self) -> dict[str, str]:
        """Topic -> message type of what a live robot's frames are made of."""
        sources: list[Camera | Source] = [*self.cameras.values(), *self.state]
        return {source.topic: source.type for source in sources}

    @functools.cached_property
    def echoed(self) -> dict[str, str]:
        """Topic -> message type of the commands that stand for a state that nothing measures."""
        return {c.topic: c.type for c in self.action if c.initial}

    @functools.cached_property
    def commanded(self) -> dict[str, str]:
        """Topic -> message type of what the actions of a demonstration are read from."""
        return {c.source.topic: c.source.type for c in self.action}

    def split(self, action: np.ndarray) -> list[tuple[str, tuple[str, ...], np.ndarray]]:
        """An action (A,), or several (..., A), as (topic, joint names, positions in the robot's units)."""
        values = np.asarray(action, np.float64)
        return [(c.topic, c.joints, values[..., c.columns] * c.scale + c.offset) for c in self.controllers]

    def join(self, parts: list[tuple[str, tuple[str, ...], np.ndarray]]) -> np.ndarray:
        """The inverse of `split`: robot units back to an action (A,) float32."""
        found = {topic: (joints, np.asarray(positions, np.float64)) for topic, joints, positions in parts}
        action = np.empty((*next(iter(found.values()))[1].shape[:-1], len(self.spec.action)), np.float32)
        for c in self.controllers:
            joints, positions = found[c.topic]
            order = slice(None) if joints == c.joints else [joints.index(joint) for joint in c.joints]
            action[..., c.columns] = (positions[..., order] - c.offset) / c.scale
        return action


def find(name: str | Path) -> Path:
    """The file of a contract: a path, or the bare name of a shipped one."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or len(path.parts) != 1:
        if not path.is_file():
            raise InputError(
                f"no contract at {path}: expected a YAML file such as "
                f"{FOLDER / 'tabletop.yaml'}; give its path or the name of a shipped contract"
            )
        return path
    shipped = {p.stem: p for p in FOLDER.glob("*.yaml")}
    if str(name) not in shipped:
        raise unknown("contract", str(name), shipped)
    return shipped[str(name)]


def load(name: str | Path) -> Contract:
    """Load and check a contract; `InputError` names the key, what it holds and what it should hold."""
    path = find(name)
    return build(strict_yaml.read(path), path.name)


def build(raw: Any, where: str) -> Contract:
    """The contract of plain values, as a YAML file holds them; `where` names them in an `InputError`."""
    _check_commanded(raw, where)
    contract = strict_yaml.build(Contract, raw, where)
    actions = [_demonstrated(c, contract, f"{where}: action[{i}]") for i, c in enumerate(contract.action)]
    contract = replace(contract, action=tuple(actions))
    _check(contract, where)
    return contract


def _check_commanded(raw: Any, where: str) -> None:
    """`InputError` for a type that robots take and no contract commands: the nearest valid one would mislead."""
    groups = raw.get("action") if isinstance(raw, dict) else None
    for i, group in enumerate(groups if isinstance(groups, list) else ()):
        kind = group.get("type") if isinstance(group, dict) else None
        if isinstance(kind, str) and kind in INSTEAD:
            raise InputError(f"{where}: action[{i}].type: {kind} cannot be commanded; {INSTEAD[kind]}")


def _demonstrated(command: Command, contract: Contract, where: str) -> Command:
    """A command whose demonstration is the next state reads it where the state is read."""
    if command.demonstration != "next_state":
        return command
    for source in contract.state:
        if set(command.spec_names) <= set(source.spec_names):
            return replace(command, demonstration=source.part(command.spec_names))
    raise InputError(
        f"{where}.demonstration: next_state needs {', '.join(command.spec_names)} in one group of the state; divide "
        "the groups alike, or say where the action is read"
    )


def _check_names(contract: Contract, where: str) -> None:
    """Names of cameras become names of files and of what a graph reads; topics are those of ROS 2."""
    for name in contract.cameras:
        if not CAMERA_NAME.fullmatch(name):
            raise InputError(
                f"{where}: cameras: got the name {name!r}, expected letters, digits and _, with . or - between them; "
                "rename it"
            )
    topics = {f"cameras.{name}.topic": camera.topic for name, camera in contract.cameras.items()}
    topics |= {f"state[{i}].topic": source.topic for i, source in enumerate(contract.state)}
    for i, command in enumerate(contract.action):
        topics[f"action[{i}].topic"] = command.topic
        if isinstance(command.demonstration, Source):
            topics[f"action[{i}].demonstration.topic"] = command.demonstration.topic
    topics["instruction"] = contract.instruction
    topics |= {f"labels.{label}": topic for label, topic in asdict(contract.labels).items() if topic is not None}
    for key, topic in topics.items():
        if not TOPIC.fullmatch(topic):
            raise InputError(
                f"{where}: {key}: got {topic!r}, expected a topic of ROS 2, such as wrist_camera/image_raw: words of "
                "letters, digits and _, none of which begins with a digit, with / between them; correct it"
            )


def _check(contract: Contract, where: str) -> None:
    """What the types cannot say."""

    def need(ok: bool, key: str, message: str) -> None:
        if not ok:
            raise InputError(f"{where}: {key}: {message}")

    _check_names(contract, where)
    need(contract.rate > 0, "rate", f"got {contract.rate}, expected a positive rate in Hz")
    need(contract.horizon > 0, "horizon", f"got {contract.horizon}, expected at least 1 action in a chunk")
    need(bool(contract.cameras), "cameras", "empty, expected at least one: the first one leads the frames")
    need(bool(contract.state), "state", "empty, expected at least one group of joints")
    need(bool(contract.action), "action", "empty, expected at least one group of joints")
    measured = {name for source in contract.state for name in source.spec_names}
    for name in contract.initial:
        need(name not in measured, "action", f"{name} has an `initial` value and is in the state; keep one of them")
    parts: dict[str, Camera | Source | Command] = {
        **{f"cameras.{name}": camera for name, camera in contract.cameras.items()},
        **{f"state[{i}]": source for i, source in enumerate(contract.state)},
        **{f"action[{i}]": command for i, command in enumerate(contract.action)},
    }
    for key, part in parts.items():
        for place, fault in part.faults().items():
            raise InputError(f"{where}: {key}{place}: {fault}")
    for i, group in enumerate(contract.state):
        need(group.type != TRAJECTORY, f"state[{i}]", "a trajectory is a command; read the state where it is measured")
    spec = contract.spec
    for kind, names in (("state", spec.state), ("action", spec.action)):
        need(len(set(names)) == len(names), kind, f"a name occurs twice in {', '.join(names)}")
    topics: dict[str, Command] = {}
    for i, c in enumerate(contract.action):
        for name in c.measured_names:
            if name not in spec.state:
                raise unknown(
                    f"name in {where}: action[{i}].measured, the state that tells where it is:", name, spec.state
                )
        other = topics.setdefault(c.topic.lstrip("/"), c)
        fits = other is c or (other.type == c.type and c.type in (TRAJECTORY, FOLLOW))
        need(
            other.topic == c.topic,
            f"action[{i}].topic",
            f"got {c.topic}, expected {other.topic}, as in the other group of this topic: write it alike in both",
        )
        need(fits, f"action[{i}].topic", f"only groups of one trajectory share a topic, and {c.topic} has two groups")
    typed = {contract.instruction.lstrip("/"): STRING}
    sources: list[Camera | Source] = [*contract.cameras.values(), *contract.state]
    sources += [c.source for c in contract.action]
    read = [(source.topic, source.type) for source in sources]
    read += [(topic, LABEL_TYPES[label]) for label, topic in asdict(contract.labels).items() if topic]
    for name, kind in read:
        other_kind = typed.setdefault(topic := name.lstrip("/"), kind)
        need(other_kind == kind, topic, f"is both {other_kind} and {kind}; give each a topic of its own")
