"""How a policy that is served by others names what we call cameras, state, instruction and action: one strict YAML.

    our frame -- cameras, state, prompt --> its observation --> server --> its answer -- actions --> our set-points

The units of both sides are converted here, and rows of another rate become rows of the contract's. docs/serving.md
explains every key.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from policy import strict_yaml
from policy.errors import InputError, unknown
from policy.robot.contract import Contract
from policy.spec import RuntimeSettings, Spec

USUAL = RuntimeSettings()
RUNTIME = ("replan_s", "contact_on", "contact_off", "confirm_s")  # of policy.spec.RuntimeSettings
OPTIONAL = ("stamp", "instruction_id", "committed")  # keys of an observation that a policy may not take
Key = str | tuple[str, ...]  # a list leads into nested maps: [images, cam_high]
Numbers = float | tuple[float, ...]


@dataclass(frozen=True)
class Picture:
    """A camera's picture in the observation: uint8 RGB, as the camera gives it unless a size is given."""

    key: Key
    height: int | None = None  # with bars of black beside it where the shapes differ, as openpi's resize_with_pad
    width: int | None = None
    channels_first: bool = False  # (3, height, width) in place of (height, width, 3)


@dataclass(frozen=True)
class Values:
    """Some of the state in the observation, float32: theirs = scale * ours + offset."""

    key: Key
    names: tuple[str, ...]  # of the contract's state, in the order in which the policy takes them
    scale: Numbers = 1.0
    offset: Numbers = 0.0


@dataclass(frozen=True)
class Columns:
    """Some columns of its answer as actions: ours = scale * theirs + offset.

    absolute   the set-point itself
    delta      what is to be added to the state of the frame
    step       what is to be added to the row before, in the first row to the state of the frame
    """

    names: tuple[str, ...]  # of the contract's action
    columns: tuple[int, ...]  # counted from 0
    kind: Literal["absolute", "delta", "step"] = "absolute"
    scale: Numbers = 1.0
    offset: Numbers = 0.0


@dataclass(frozen=True)
class Rows:
    """The chunk in its answer, (horizon, width): row i is to be reached (i + 1) / rate after the frame."""

    width: int
    groups: tuple[Columns, ...]
    key: Key = "actions"


@dataclass(frozen=True)
class PolicyMapping:
    """Keys, units and times of one served policy."""

    rate: float  # Hz, of the rows of its answer
    horizon: int  # rows of its answer
    cameras: dict[str, Picture]  # by their names in the contract
    state: tuple[Values, ...]
    actions: Rows
    prompt: Key = "prompt"
    replan_s: float = 0.4  # from one inference to the next
    stamp: Key | None = None  # where it takes the time of the frame [ns]
    instruction_id: Key | None = None  # where it takes a number that changes with each instruction
    committed: Key | None = None  # where it takes set-points of ours that are executed whatever comes, (n, A)
    execution_estimate: Key | None = None  # where its answer has contact, done and the modes, float (5,)
    contact_on: float = USUAL.contact_on  # these three as in policy.spec.RuntimeSettings
    contact_off: float = USUAL.contact_off
    confirm_s: float = USUAL.confirm_s

    def spec(self, contract: Contract) -> Spec:
        """What goes in and comes out, at the contract's rate."""
        reads = [f"image_{name}" for name in contract.cameras if name in self.cameras] + ["state", "prompt"]
        reads += [name for name in ("stamp", "instruction_id") if getattr(self, name) is not None]
        reads += ["committed", "committed_steps"] if self.committed is not None else []
        spec = contract.spec
        return replace(
            spec,
            horizon=int(self.horizon / self.rate * spec.rate + 1e-6),
            reads=tuple(reads),
            switches=self.execution_estimate is not None,
            runtime=replace(spec.runtime, **{name: getattr(self, name) for name in RUNTIME}),
        )

    def check(self, contract: Contract, where: str) -> None:
        """`InputError` where it does not fit the robot."""

        def need(ok: bool, key: str, message: str) -> None:
            if not ok:
                raise InputError(f"{where}: {key}: {message}")

        spec = contract.spec
        need(self.rate > 0, "rate", f"got {self.rate}, expected a positive rate in Hz")
        need(self.horizon > 0, "horizon", f"got {self.horizon}, expected at least one row")
        lasts = self.horizon / self.rate
        need(lasts * spec.rate >= 1, "horizon", f"its rows last {lasts:.3g} s, less than one step of the contract")
        self.spec(contract).runtime.check(lasts, where)
        need(
            self.committed is None or self.rate == spec.rate,
            "committed",
            f"its rows come at {spec.rate:g} Hz and those of the answer at {self.rate:g}; leave it out",
        )
        need(bool(self.cameras or self.state), "cameras", "empty, as the state is: such a policy sees nothing")
        for name, picture in self.cameras.items():
            if name not in spec.cameras:
                raise unknown(f"camera in {where}: cameras:", name, spec.cameras)
            sizes = (picture.height, picture.width)
            need(
                sizes == (None, None) or all(size is not None and size > 0 for size in sizes),
                f"cameras.{name}",
                f"got height {sizes[0]} and width {sizes[1]}, expected both, or neither",
            )
            need(sizes == (None, None) or name not in spec.depth, f"cameras.{name}", "distances are sent as they are")
        for i, values in enumerate(self.state):
            for name in values.names:
                if name not in spec.state:
                    raise unknown(f"name in {where}: state[{i}].names:", name, spec.state)
            _check_numbers(values, f"{where}: state[{i}]")
        self._check_keys(where)
        self._check_actions(contract, where)

    def _check_keys(self, where: str) -> None:
        """Each key of the observation leads to a place of its own, and none to a place within another's value."""
        keys = {f"cameras.{name}.key": picture.key for name, picture in self.cameras.items()}
        keys |= {f"state[{i}].key": values.key for i, values in enumerate(self.state)} | {"prompt": self.prompt}
        keys |= {name: key for name in OPTIONAL if (key := getattr(self, name)) is not None}
        taken: dict[str, tuple[str, ...]] = {}
        for name, key in keys.items():
            path = (key,) if isinstance(key, str) else key
            if not path:
                raise InputError(f"{where}: {name}: empty, expected a key, or the keys that lead to it")
            for other, earlier in taken.items():
                if path[: len(earlier)] == earlier or earlier[: len(path)] == path:
                    hint = "; values of one key are one entry: scale and offset may be lists" if "state" in name else ""
                    raise InputError(f"{where}: {name}: {'.'.join(path)} is in the way of {other}{hint}")
            taken[name] = path

    def _check_actions(self, contract: Contract, where: str) -> None:
        spec, named = contract.spec, list[str]()
        turning = {name for c in contract.action if c.kind == "pose" for name in c.spec_names[3:]}
        for i, group in enumerate(self.actions.groups):
            place = f"{where}: actions.groups[{i}]"
            for name in group.names:
                if name not in spec.action:
                    raise unknown(f"name in {place}.names:", name, spec.action)
                if group.kind != "absolute" and (name not in spec.state or name in turning):
                    why = "is a rotation vector" if name in turning else "is not measured under that name"
                    raise InputError(f"{place}: {name} {why}, so nothing can be added to it; expected kind: absolute")
            if len(group.columns) != len(group.names) or not all(0 <= c < self.actions.width for c in group.columns):
                raise InputError(
                    f"{place}.columns: got {list(group.columns)} for {', '.join(group.names)}, expected one for each "
                    f"of them, from 0 to {self.actions.width - 1}"
                )
            _check_numbers(group, place)
            named += group.names
        if sorted(named) != sorted(spec.action):
            raise InputError(
                f"{where}: actions.groups: got {', '.join(named) or 'no names'}, expected each action of the contract "
                f"once: {', '.join(spec.action)}"
            )


def load(path: str | Path, contract: Contract) -> PolicyMapping:
    """Read and check a YAML file; `InputError` names the key, what it holds and what it should hold."""
    file = Path(path)
    if not file.is_file():
        raise InputError(f"no mapping at {file}: expected a YAML file as in docs/serving.md")
    return parse(strict_yaml.read(file), contract, file.name)


def parse(raw: Any, contract: Contract, where: str) -> PolicyMapping:
    """The mapping of plain values; errors as in `load`."""
    mapping = strict_yaml.build(PolicyMapping, raw, where)
    mapping.check(contract, where)
    return mapping


def own(spec: Spec) -> dict[str, Any]:
    """The mapping of a policy of ours, as `policy.serve` serves it: our own names, and no conversion."""
    # what it remembers of each stride must be seen by it, and a chunk must not end before the next one comes
    replan = min(spec.runtime.replan_s, spec.stride / spec.rate if spec.memory else spec.horizon / spec.rate / 2)
    columns = {"names": list(spec.action), "columns": list(range(len(spec.action)))}
    mapping = {
        "rate": spec.rate,
        "horizon": spec.horizon,
        "cameras": {name: {"key": f"image_{name}"} for name in spec.cameras if f"image_{name}" in spec.reads},
        "state": [{"key": "state", "names": list(spec.state)}],
        "actions": {"width": len(spec.action), "groups": [columns]},
        **{name: getattr(spec.runtime, name) for name in RUNTIME},
        "replan_s": replan,
        "stamp": "stamp",
        "instruction_id": "instruction_id",
    }
    given = {"committed": "committed" in spec.reads, "execution_estimate": spec.switches}
    return mapping | {name: name for name, is_given in given.items() if is_given}


def _check_numbers(part: Values | Columns, where: str) -> None:
    for key in ("scale", "offset"):
        value = getattr(part, key)
        if isinstance(value, tuple) and len(value) != len(part.names):
            raise InputError(f"{where}.{key}: got {len(value)} numbers, expected one or {len(part.names)}")
    if not part.names:
        raise InputError(f"{where}.names: empty, expected at least one name")
    if not np.all(part.scale):
        raise InputError(f"{where}.scale: got 0, which forgets what it scales")
