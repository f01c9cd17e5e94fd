"""Recipes: strict, frozen YAML that names the parts of a policy and how it is trained.

A key that is left out keeps the default written beside it in the code; an unknown key, a wrong type or an
unknown name is an error that names the nearest valid one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from policy import strict_yaml
from policy.errors import InputError, unknown
from policy.learning.encoders import ENCODERS
from policy.learning.heads import HEADS
from policy.learning.interfaces import Encoder, Head, Mixer, SequenceMixer
from policy.learning.mixers import MIXERS
from policy.learning.objectives import OBJECTIVES
from policy.learning.sequence_mixers import SEQUENCE_MIXERS
from policy.spec import RuntimeSettings

T = TypeVar("T")
Registry = Mapping[str, type[Encoder] | type[Mixer] | type[SequenceMixer] | type[Head]]
FOLDER = Path(__file__).parents[1] / "recipes"
ABLATIONS = ("", "rollback", "advance", "mode")
# Ranges of numbers by their names, in whichever part. Other whole numbers are counts and sizes, from 1 on.
NONE_IS_POSSIBLE = ("warmup_steps", "random_shift", "paraphrases", "goal_steps", "seed", "blocks", "scalar")
SHARES = (
    *("group_dropout", "drop_words", "dropout", "condition_dropout", "held_out", "ema_decay"),
    *("likeness", "contact_on", "contact_off"),
)
POSITIVE = ("learning_rate", "gradient_clip", "temperature")
FREEZABLE = ("encoders", "mixer", "sequence_mixer")


@dataclass(frozen=True)
class Part:
    """A member of a registry and its settings."""

    name: str
    settings: Any


@dataclass(frozen=True)
class Memory(Part):
    """A sequence mixer, and the frames that it reads."""

    frames: int  # T of a window in training, the present one included
    stride: int  # steps of 1/rate from one to the next


@dataclass(frozen=True)
class Training:
    """How a recipe is trained; rates are for the whole batch, however many processes share it."""

    samples: int = 2_000_000  # windows seen until the cosine schedule ends
    batch_size: int = 128  # windows, each of one frame; with memory, frames of longer windows
    learning_rate: float = 6e-4  # peak
    warmup_steps: int = 1000
    weight_decay: float = 0.02
    gradient_clip: float = 1.0  # norm
    ema_decay: float = 0.999  # of the exponential moving average of the weights, which is what is exported
    random_shift: int = 4  # pixels by which images are shifted
    paraphrases: int = 0  # at most so many sentences in other words are made for each task: half of what is drawn
    condition_dropout: float = 0.1  # probability that an instruction, a goal, a return that may be absent is
    action_weight: float = 1.0  # of the head's loss; 0 in pre-training
    frozen: tuple[str, ...] = ()  # parts that keep the weights they begin with: encoders, mixer, sequence_mixer
    goal_steps: int = 0  # a goal is a frame up to this many steps ahead; 0: the last one of the episode
    held_out: float = 0.02  # share of the episodes kept for validation
    ablate: str = ""  # "rollback" or "advance": these frames are left out; "mode": all frames are labelled forward
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.frozen:
            if name not in FREEZABLE:
                raise unknown("training.frozen", name, FREEZABLE)
        if self.ablate not in ABLATIONS:
            raise unknown("training.ablate", self.ablate, ABLATIONS)


@dataclass(frozen=True)
class Recipe:
    """Names one member of each registry."""

    width: int
    encoders: dict[str, Any]  # name -> settings, in the order of their tokens; the first conditions all
    mixer: Part
    head: Part
    memory: Memory | None = None
    objectives: dict[str, float] = field(default_factory=dict)  # name -> weight
    training: Training = Training()
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)

    def __post_init__(self) -> None:
        if self.memory and self.training.batch_size % self.memory.frames:
            raise InputError(
                f"training.batch_size {self.training.batch_size} in the recipe does not divide into windows of "
                f"{self.memory.frames} frames (memory.frames); change one of them"
            )

    @property
    def switches(self) -> bool:
        """Whether the instruction may change mid-execution."""
        return "execution_state" in self.encoders


def names() -> list[str]:
    """The recipes that come with the package, those of published systems as systems/<name>."""
    return sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml"))


def load(path_or_name: str | Path) -> Recipe:
    """Read a recipe from a YAML file, or by the name of one in policy/recipes."""
    path = path_of(path_or_name)
    return parse(strict_yaml.read(path), str(path))


def path_of(path_or_name: str | Path) -> Path:
    """The file of a recipe; `InputError` where there is none."""
    path = Path(path_or_name)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{path_or_name}.yaml"
        if not path.exists():
            raise unknown("recipe", str(path_or_name), names())
    if not path.is_file():
        raise InputError(f"no recipe at {path}; give a YAML file or a name in policy/recipes")
    return path


def parse(raw: Any, where: str = "recipe") -> Recipe:
    """The recipe that a mapping describes; the inverse of `dump`. `where` names it in errors."""
    values = strict_yaml.mapping(Recipe, raw, where)
    encoders = {
        name: _settings(ENCODERS, "encoder", name, settings, f"{where}: encoders.{name}")
        for name, settings in _mapping(values.get("encoders"), f"{where}: encoders").items()
    }
    if not encoders:
        raise InputError(f"{where}: no encoders; expected at least one of {', '.join(ENCODERS)}")
    objectives = strict_yaml.value(dict[str, float], values.get("objectives") or {}, f"{where}: objectives")
    for name in objectives:
        if name not in OBJECTIVES:
            raise unknown(f"objective in {where}", name, OBJECTIVES)
        _check_needs(name, values, where)
    if ("execution_state" in encoders) != bool(objectives.get("execution_estimate")):
        raise InputError(
            f"{where}: the encoder execution_state and the objective execution_estimate go together, because the "
            "policy reads its own last estimate; name both or neither"
        )
    if {"cameras", "goal_image"} <= encoders.keys() and encoders["cameras"].size != encoders["goal_image"].size:
        raise InputError(  # the cache holds each picture at one size, and a goal is one of them
            f"{where}: encoders.goal_image has size {encoders['goal_image'].size} and encoders.cameras size "
            f"{encoders['cameras'].size}; give both the same one"
        )
    width = strict_yaml.value(int, values.get("width"), f"{where}: width")
    _check_numbers({"width": width}, where)
    _check_numbers(objectives, f"{where}: objectives")
    head, memory = _part(HEADS, "head", values.get("head"), where), _memory(values.get("memory"), where)
    if memory and memory.name != "none" and getattr(head.settings, "guidance", 1.0) != 1.0:
        raise InputError(  # what is remembered was seen with the conditions, in training always with or without all
            f"{where}: head.guidance is {head.settings.guidance:g} beside the memory {memory.name}, and no past is "
            "without conditions, to be led away from; give guidance 1, or no memory"
        )
    return Recipe(
        width=width,
        encoders=encoders,
        mixer=_part(MIXERS, "mixer", values.get("mixer"), where),
        head=head,
        memory=memory,
        objectives=objectives,
        training=_build(Training, values.get("training") or {}, f"{where}: training"),
        runtime=_build(RuntimeSettings, values.get("runtime") or {}, f"{where}: runtime"),
    )


def dump(recipe: Recipe) -> dict[str, Any]:
    """The mapping that `parse` reads, every default written out."""
    raw = asdict(recipe)
    raw["training"]["frozen"] = list(recipe.training.frozen)
    for axis in ("mixer", "head", "memory"):
        if raw[axis] is not None:
            raw[axis] |= raw[axis].pop("settings")
    return raw


def _check_needs(name: str, values: dict[str, Any], where: str) -> None:
    """`InputError` where an objective lacks what it works with."""
    objective = OBJECTIVES[name]
    for axis, member in objective.needs.items():
        named = values.get(axis) or {}
        if member not in (named if axis == "encoders" else [named.get("name")]):
            raise InputError(f"{where}: the objective {name} goes together with {axis}: {member}; name both or neither")
    if objective.windows and values.get("memory") is None:
        raise InputError(
            f"{where}: the objective {name} compares the frames of a window; add memory, {{name: none, frames: 2, "
            "stride: 4} where the policy is to remember nothing"
        )


def _part(registry: Registry, kind: str, raw: Any, where: str) -> Part:
    """A part given as `{name: ..., setting: ...}`."""
    values = dict(_mapping(raw, f"{where}: {kind}"))
    name = strict_yaml.value(str, values.pop("name", None), f"{where}: {kind}.name")
    return Part(name, _settings(registry, kind, name, values, f"{where}: {kind}"))


def _memory(raw: Any, where: str) -> Memory | None:
    """Memory given as `{name: ..., frames: ..., stride: ..., setting: ...}`, None where it is left out."""
    if raw is None:
        return None
    values = dict(_mapping(raw, f"{where}: memory"))
    sizes = {
        key: strict_yaml.value(int, values.pop(key, None), f"{where}: memory.{key}") for key in ("frames", "stride")
    }
    for key, number in sizes.items():
        if number < 1:
            raise InputError(f"{where}: memory.{key}: got {number}, expected at least 1")
    part = _part(SEQUENCE_MIXERS, "memory", values, where)
    return Memory(part.name, part.settings, **sizes)


def _settings(registry: Registry, kind: str, name: str, raw: Any, where: str) -> Any:
    """The settings of one member of a registry."""
    if name not in registry:
        raise unknown(f"{kind} in {where}", name, registry)
    return _build(registry[name].Settings, raw or {}, where)


def _build(cls: type[T], raw: Any, where: str) -> T:
    """A dataclass of a mapping, whose numbers are in their ranges."""
    built = strict_yaml.build(cls, raw, where)
    _check_numbers({f.name: getattr(built, f.name) for f in fields(cls)}, where)  # type: ignore[arg-type]
    return built


def _check_numbers(values: Mapping[str, Any], where: str) -> None:
    for key, number in values.items():
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        if isinstance(number, int) and number < 1 and key not in NONE_IS_POSSIBLE:
            raise InputError(f"{where}: {key}: got {number}, expected at least 1; correct it")
        if key in SHARES and not 0 <= number <= 1:
            raise InputError(f"{where}: {key}: got {number}, expected a number from 0 to 1; correct it")
        if number < 0 or (key in POSITIVE and not number):
            kind = "positive" if key in POSITIVE else "not negative"
            raise InputError(f"{where}: {key}: got {number!r}, expected a number that is {kind}; correct it")


def _mapping(raw: Any, where: str) -> dict[str, Any]:
    """`raw` if it is a mapping."""
    if not isinstance(raw, dict):
        raise InputError(f"{where}: got {raw!r}, expected a mapping of names to settings")
    return raw
