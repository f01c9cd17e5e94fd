"""Names, shapes, dtypes, rate and horizon of a policy: the leaf that everything else imports.

The same letters everywhere:

    B batch   T steps of an episode   H horizon (actions in a chunk)   C cameras
    S state dimensions (proprioception)   A action dimensions
    L tokens of a sentence   D width of their embeddings
    image_<camera>        uint8   (B, height, width, 3)  RGB, as the camera gives it
                          float32 (B, height, width, 1)  of a depth camera: distance [m], 0 where it is unknown
    state                 float32 (B, S)     joint positions [rad], then gripper total opening [m]
    instruction           float32 (B, D)     sentence embedding
    instruction_tokens    float32 (B, L, D)  embeddings of the words in their order
    instruction_mask      bool    (B, L)     which of them there are
    previous_instruction  ...                the instruction under which the current contact began; the same three
    contact               float32 (B, 1)     the policy's last estimate of the probability of contact
    contact_origin        float32 (B, S)     the state where that contact began; the current state without contact
    committed             float32 (B, H, A)  the set-points that will be executed whatever comes; row i as in a chunk
    committed_steps       int64   (B,)       how many rows of it are
    goal_<camera>         uint8   (B, height, width, 3)  how the end is to look
    goal_state            float32 (B, S)     what the state is to be then
    return_to_go          float32 (B, 1)     how good the execution is to be
    <condition>_present   bool    (B,)       whether an instruction, a goal, a return is given
    prompt                str     (B,)       the sentence itself, for a policy that is served elsewhere; with it
    stamp                 int64   (B,)       ns, the time of the frame
    instruction_id        int64   (B,)       changes with every instruction that is given
    noise                 float32 (B, ...)   what a head samples with
    state_<name>          float32 (B, ...)   memory of the frames before; state_<name>_next is its successor
    actions               float32 (B, H, A)  absolute set-points, in the units of the robot
    execution_estimate    float32 (B, 5)     probabilities of contact and done, then of each mode

Time is integer nanoseconds. Action i of a chunk is to be reached (i + 1) * dt after the chunk's stamp:

    frame stamp t      t+dt     t+2dt             t+H*dt
         |-------------|---------|------ ... -----|
                   actions[0] actions[1]      actions[H-1]
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from policy import ranges
from policy.errors import InputError
from policy.ranges import POSITIVE, SHARE

MODES = ("forward", "rollback", "advance")  # go on; undo what the old instruction left; go where the new one begins
Tensor = tuple[str, tuple[int, ...]]  # dtype and shape, without the batch


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """Thresholds and times of the control loop that belong to a model and are saved with it."""

    replan_s: float = field(default=0.4, metadata=POSITIVE)  # from one inference to the next
    likeness: float = field(default=0.53, metadata=SHARE)  # cosine with a taught sentence, below it unknown
    contact_on: float = field(default=0.6, metadata=SHARE)  # probability from which contact begins
    contact_off: float = field(default=0.4, metadata=SHARE)  # and down to which it lasts
    confirm_s: float = 0.75  # how long an estimate must hold: done, and nothing left of the previous instruction

    def check(self, lasts: float, where: str) -> None:
        """`InputError` where a policy whose chunks last so long [s] cannot run by them."""
        if not 0 < self.replan_s < lasts:
            raise InputError(
                f"{where}: replan_s: got {self.replan_s} s, expected more than 0 and less than a chunk lasts: {lasts} s"
            )
        if self.contact_off > self.contact_on:
            raise InputError(
                f"{where}: contact_off: got {self.contact_off}, expected at most contact_on, {self.contact_on}: a "
                "contact would end as soon as it begins"
            )


@dataclass(frozen=True, slots=True)
class Spec:
    """What goes into a policy and what comes out of it."""

    cameras: dict[str, tuple[int, int]]  # name -> (height, width)
    state: tuple[str, ...]  # S names
    action: tuple[str, ...]  # A names
    rate: float  # Hz
    horizon: int  # H
    depth: tuple[str, ...] = ()  # names of the cameras that give distances, not colours
    unmeasured: tuple[str, ...] = ()  # names of the state that nothing measures: each is its last command
    velocities: tuple[str, ...] = ()  # names of the action that are velocities: at rest they are 0
    reads: tuple[str, ...] = ()  # names of the inputs that the graph reads, beside noise and memory
    text: int = 384  # D
    tokens: int = 32  # L
    switches: bool = False  # estimates the state of its execution: the instruction may change at any time
    noise: tuple[int, ...] = ()  # shape of the noise that its head samples with; () if none
    memory: dict[str, tuple[int, ...]] = field(default_factory=dict)  # shapes of state_<name>
    stride: int = 1  # steps of 1/rate from one frame that memory holds to the next
    runtime: RuntimeSettings = RuntimeSettings()

    @property
    def dt_ns(self) -> int:
        """Nanoseconds between two actions."""
        return round(1e9 / self.rate)

    @property
    def action_base(self) -> tuple[int | None, ...]:
        """The place in the state of each action's own measurement, from which it is learnt; None without one."""
        return tuple(self.state.index(name) if name in self.state else None for name in self.action)

    def picture(self, camera: str) -> Tensor:
        """Dtype and shape of a camera's pictures."""
        shape = self.cameras[camera]
        return ("float32", (*shape, 1)) if camera in self.depth else ("uint8", (*shape, 3))

    def inputs(self) -> dict[str, Tensor]:
        """Everything that the graph reads, in order: name -> dtype and shape without the batch."""
        named = {name: tensor for name, tensor in self._readable().items() if name in self.reads}
        if self.noise:
            named["noise"] = ("float32", self.noise)
        return named | {f"state_{name}": ("float32", shape) for name, shape in self.memory.items()}

    def outputs(self) -> dict[str, Tensor]:
        """Everything that the graph returns, in order: name -> dtype and shape without the batch."""
        outputs: dict[str, Tensor] = {"actions": ("float32", (self.horizon, len(self.action)))}
        if self.switches:
            outputs["execution_estimate"] = ("float32", (2 + len(MODES),))
        return outputs | {f"state_{name}_next": ("float32", shape) for name, shape in self.memory.items()}

    def _readable(self) -> dict[str, Tensor]:
        """All that a graph may read beside noise and memory, in order."""
        states, actions = ("float32", (len(self.state),)), ("float32", (self.horizon, len(self.action)))
        pooled, tokens = ("float32", (self.text,)), ("float32", (self.tokens, self.text))
        words, flag, number = ("bool", (self.tokens,)), ("bool", ()), ("float32", (1,))
        named: dict[str, Tensor] = {f"image_{name}": self.picture(name) for name in self.cameras}
        named |= {"state": states}
        for which in ("instruction", "previous_instruction"):
            named |= {which: pooled, f"{which}_tokens": tokens, f"{which}_mask": words}
        named |= {"instruction_present": flag, "contact": number, "contact_origin": states}
        named |= {"committed": actions, "committed_steps": ("int64", ())}
        named |= {f"goal_{name}": self.picture(name) for name in self.cameras}
        named |= {"goal_state": states, "goal_present": flag, "return_to_go": number, "return_to_go_present": flag}
        return named | {"prompt": ("str", ()), "stamp": ("int64", ()), "instruction_id": ("int64", ())}

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def check(self, where: str) -> None:
        """`InputError` for numbers that no policy runs by: NaN would switch off what is compared with it."""
        for name in ("rate", "horizon", "stride"):
            ranges.check_number(getattr(self, name), f"{where}: {name}", POSITIVE)
        ranges.check(self.runtime, f"{where}: runtime")
        self.runtime.check(self.horizon / self.rate, f"{where}: runtime")

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "Spec":
        """The spec of the mapping that `save` writes; KeyError, TypeError, ValueError, AttributeError else."""
        return cls(
            cameras={str(k): (int(h), int(w)) for k, (h, w) in raw["cameras"].items()},
            state=tuple(raw["state"]),
            action=tuple(raw["action"]),
            rate=float(raw["rate"]),
            horizon=int(raw["horizon"]),
            depth=tuple(raw["depth"]),
            unmeasured=tuple(raw["unmeasured"]),
            velocities=tuple(raw["velocities"]),
            reads=tuple(raw["reads"]),
            text=int(raw["text"]),
            tokens=int(raw["tokens"]),
            switches=bool(raw["switches"]),
            noise=tuple(map(int, raw["noise"])),
            memory={str(name): tuple(map(int, shape)) for name, shape in raw["memory"].items()},
            stride=int(raw["stride"]),
            runtime=RuntimeSettings(**{key: float(value) for key, value in raw["runtime"].items()}),
        )

    @classmethod
    def load(cls, path: Path) -> "Spec":
        """Read from JSON; `InputError` if it cannot be read, is not a spec, or has numbers that no policy runs by."""
        try:
            spec = cls.parse(json.loads(path.read_text()))
            spec.check(str(path))
            return spec
        except FileNotFoundError:
            raise InputError(
                f"no spec at {path}: a model folder holds policy.onnx, spec.json and "
                "contract.yaml; export it again with `python -m policy.export`"
            ) from None
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror or error}), expected the spec of a model; mend its permissions"
            ) from None
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(
                f"{path} is not a spec ({type(error).__name__}: {error}); "
                "export the model again with `python -m policy.export`"
            ) from None


@dataclass(slots=True)
class Frame:
    """One time-aligned observation."""

    stamp: int  # ns, of its newest image
    images: dict[str, np.ndarray]  # camera -> uint8 (height, width, 3) RGB, or float32 (height, width, 1) depth
    state: np.ndarray  # float32 (S,)


@dataclass(frozen=True, slots=True)
class ExecutionEstimate:
    """What a switching policy estimates of its own execution, beside the actions."""

    contact: float  # probability that the hand holds or touches something
    mode: str  # one of MODES, the most probable
    done: float  # probability that the instruction has been carried out


@dataclass(slots=True)
class Chunk:
    """The next H actions, each with its time."""

    stamp: int  # ns, of the frame it answers
    dt: int  # ns
    actions: np.ndarray  # float32 (H, A)
    instruction: int  # id of the instruction it serves
    execution_estimate: ExecutionEstimate | None = None  # None where the policy does not switch
    committed: int = 0  # how many of them were committed when it was inferred


@dataclass(slots=True)
class Episode:
    """One recorded execution of one instruction.

    `actions[t]` is the set-point in force at `stamps[t] + dt`.
    """

    instruction: str
    stamps: np.ndarray  # int64 (T,) ns
    images: dict[str, np.ndarray]  # camera -> uint8 (T, height, width, 3)
    state: np.ndarray  # float32 (T, S)
    actions: np.ndarray  # float32 (T, A)
    contact: np.ndarray | None  # bool (T,), a label or an estimate; None where neither can be
    mode: np.ndarray | None  # uint8 (T,) into MODES, None where the bag has no label: all forward
    task: str | None  # None where the bag has no label
    dropped: int = 0  # messages or frames that could not be used
    imitated: bool = True  # False: marked as a failure, or a person corrected a part of it, which alone is imitated
