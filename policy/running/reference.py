"""A few frames that are saved with a model and what it answers to them: each provider passes them before it serves.

<model>/reference.npz    in_<input> (N, ...)   out_<output> (N, ...)   action_range (A,)   precision
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policy.errors import InputError
from policy.spec import Spec

FILE = "reference.npz"
FRAMES = 4  # that are saved
MADE_UP_SEED = 0
SMALLEST_RANGE = 1e-3  # of what hardly changes
# Largest and mean difference that a graph of each precision may have from float32, as a share of an output's range.
# In 8 bits a frame in which the policy could do either of two things may go the other way: the mean judges.
TOLERANCE = {"fp32": (1e-3, 1e-4), "fp16": (2e-2, 2e-3), "int8": (0.5, 1e-2)}
Arrays = dict[str, np.ndarray]
Run = Callable[[Arrays], Arrays]


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a provider is from the answers that were saved, in the output that is farthest: see `scale`."""

    largest: float  # of any output
    mean: float  # over the numbers of one output, the largest of these
    frames: str  # what was compared, in words
    precision: str = "fp32"

    @property
    def passed(self) -> bool:
        """Whether both are within the tolerance of the precision; a number that is none is not."""
        largest, mean = TOLERANCE[self.precision]
        return self.largest <= largest and self.mean <= mean

    def __str__(self) -> str:
        largest, mean = TOLERANCE[self.precision]
        return (
            f"{self.precision} differs by at most {self.largest:.2g} (mean {self.mean:.2g}) of the range of an output "
            f"on {self.frames}; {largest:g} (mean {mean:g}) is allowed"
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """Inputs of N frames, the float32 answers to them, and the range of each action."""

    inputs: Arrays
    outputs: Arrays
    action_range: np.ndarray  # (A,)
    precision: str = "fp32"  # of the graph beside it
    frames: str = ""  # in words

    def compare(self, run: Run, most: int = 0) -> Parity:
        """Run the frames one by one and together; `most` is a further size of batch to run them in."""
        count = len(next(iter(self.inputs.values())))
        largest, total, values = 0.0, dict.fromkeys(self.outputs, 0.0), dict.fromkeys(self.outputs, 0)
        scales = {name: scale(name, value, self.action_range) for name, value in self.outputs.items()}
        parts = [np.arange(i, i + 1) for i in range(count)] + [np.arange(count)]
        for rows in [*parts, *([np.arange(most) % count] if most else [])]:
            got = run({name: value[rows] for name, value in self.inputs.items()})
            for name, expected in self.outputs.items():
                difference = np.abs(np.asarray(got[name]) - expected[rows]) / scales[name]
                difference = np.nan_to_num(difference, nan=np.inf)
                largest = max(largest, float(difference.max()))
                total[name] += float(difference.sum())
                values[name] += difference.size
        return Parity(largest, max(total[name] / values[name] for name in total), self.frames, self.precision)

    def save(self, folder: Path) -> None:
        """Write it beside a graph."""
        arrays = {f"in_{name}": value for name, value in self.inputs.items()}
        arrays |= {f"out_{name}": value for name, value in self.outputs.items()}
        arrays |= {"action_range": self.action_range, "precision": np.array(self.precision)}
        np.savez_compressed(folder / FILE, **arrays)  # type: ignore[arg-type]  # no other keywords


def scale(name: str, expected: np.ndarray, action_range: np.ndarray) -> np.ndarray:
    """What a difference of an output is a share of: the range of each action, 1 for probabilities.

    Of memory it is the range of what is expected of it (N, ...).
    """
    if name == "actions":
        return action_range
    return np.array(max(np.ptp(expected), SMALLEST_RANGE) if name.startswith("state_") else 1.0)


def load(folder: Path, spec: Spec, advice: str) -> Reference | None:
    """What is saved in a model folder, None where nothing is; `InputError` for what does not fit its spec."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path) as arrays:
            inputs = {name: arrays[f"in_{name}"] for name in spec.inputs()}
            outputs = {name: arrays[f"out_{name}"] for name in spec.outputs()}
            action_range, precision = arrays["action_range"], str(arrays["precision"])
    except Exception as error:  # zipfile, zlib and numpy raise many unrelated types
        raise InputError(f"{path} cannot be read ({type(error).__name__}: {error}); {advice}") from None
    count = max([1, *outputs["actions"].shape[:1]])
    for name, (dtype, shape) in {**spec.inputs(), **spec.outputs()}.items():
        value = inputs[name] if name in inputs else outputs[name]
        if (str(value.dtype), value.shape) != (dtype, (count, *shape)):
            raise InputError(
                f"{path}: {name} is {value.dtype} {value.shape}, the spec says {dtype} {(count, *shape)}; {advice}"
            )
    if precision not in TOLERANCE or not _usable(action_range, len(spec.action)):
        raise InputError(
            f"{path}: got precision {precision!r} and action range {np.array2string(action_range, threshold=99)}, "
            f"expected one of {', '.join(TOLERANCE)} and {len(spec.action)} positive numbers; {advice}"
        )
    return Reference(inputs, outputs, action_range, precision, f"{count} saved frames")


def _usable(action_range: np.ndarray, actions: int) -> bool:
    """Whether it is the range of so many actions: by one that is infinite, every answer would do."""
    numbers = action_range.dtype.kind == "f" and action_range.shape == (actions,)
    return numbers and bool((np.isfinite(action_range) & (action_range > 0)).all())


def made_up(spec: Spec, run: Run) -> Reference:
    """Frames of random numbers with a fixed seed, where none are saved, and what `run` answers to them."""
    rng = np.random.default_rng(MADE_UP_SEED)
    inputs = {name: _random(kind, (FRAMES, *shape), rng) for name, (kind, shape) in spec.inputs().items()}
    outputs = {name: np.asarray(value) for name, value in run(inputs).items()}
    actions = outputs["actions"].reshape(-1, len(spec.action))
    action_range = np.maximum(actions.max(0) - actions.min(0), SMALLEST_RANGE)
    return Reference(inputs, outputs, action_range, frames=f"{FRAMES} frames of random numbers, as none are saved")


def _random(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if kind == "uint8":
        return rng.integers(0, 256, shape, np.uint8)
    if kind == "float32":
        return 0.1 * rng.standard_normal(shape, np.float32)
    return np.ones(shape, kind)  # there is one, or one step
