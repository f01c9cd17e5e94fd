"""Recipes: strict, frozen YAML that names the parts of a policy and how it is trained.

A key that is left out keeps the default written beside it in the code; an unknown key, a wrong type or an
unknown name is an error that names the nearest valid one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from policy import ranges, strict_yaml
from policy.errors import InputError, unknown
from policy.learning.encoders import ENCODERS
from policy.learning.heads import HEADS
from policy.learning.interfaces import Encoder, Head, Mixer, SequenceMixer
from policy.learning.mixers import MIXERS
from policy.learning.objectives import OBJECTIVES
from policy.learning.sequence_mixers import SEQUENCE_MIXERS
from policy.ranges import NOT_NEGATIVE, PART, POSITIVE, SHARE, at_least
from policy.spec import RuntimeSettings

T = TypeVar("T")
Registry = Mapping[str, type[Encoder] | type[Mixer] | type[SequenceMixer] | type[Head]]
FOLDER = Path(__file__).parents[1] / "recipes"
ABLATIONS = ("", "rollback", "advance", "mode")
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

    samples: int = 2_000_000  # frames seen until the cosine schedule ends
    batch_size: int = 128  # frames, each for itself; with memory, those of all windows together
    learning_rate: float = field(default=6e-4, metadata=POSITIVE)  # peak
    warmup_steps: int = field(default=1000, metadata=NOT_NEGATIVE)
    weight_decay: float = 0.02
    gradient_clip: float = field(default=1.0, metadata=POSITIVE)  # norm
    # of the exponential moving average of the weights, which is what is exported
    ema_decay: float = field(default=0.999, metadata=PART)
    random_shift: int = field(default=4, metadata=NOT_NEGATIVE)  # pixels by which images are shifted
    # at most so many sentences in other words are made for each task: half of what is drawn
    paraphrases: int = field(default=0, metadata=NOT_NEGATIVE)
    # probability that an instruction, a goal, a return that may be absent is
    condition_dropout: float = field(default=0.1, metadata=PART)
    action_weight: float = 1.0  # of the head's loss; 0 in pre-training
    frozen: tuple[str, ...] = ()  # parts that keep the weights they begin with: encoders, mixer, sequence_mixer
    # a goal is a frame up to this many steps ahead; 0: the last one of the episode
    goal_steps: int = field(default=0, metadata=NOT_NEGATIVE)
    held_out: float = field(default=0.02, metadata=SHARE)  # of the episodes, kept for validation
    ablate: str = ""  # "rollback" or "advance": these frames are left out; "mode": all frames are labelled forward
    seed: int = field(default=0, metadata=NOT_NEGATIVE)

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
    encoders: dict[str, Any]  # name -> settings, in the order of their tokens
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
        if not self.training.action_weight and not self.learnt:
            raise InputError(
                "training.action_weight is 0 in the recipe and no objective has a weight: nothing would be learnt; "
                "give one of them a weight"
            )

    @property
    def learnt(self) -> list[str]:
        """The objectives that have a weight."""
        return [name for name, weight in self.objectives.items() if weight > 0]

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
    objectives = strict_yaml.value(dict[str, float], _given(values.get("objectives")), f"{where}: objectives")
    for name, weight in objectives.items():
        if name not in OBJECTIVES:
            raise unknown(f"objective in {where}", name, OBJECTIVES)
        ranges.check_number(weight, f"{where}: objectives: {name}")
    width = strict_yaml.value(int, values.get("width"), f"{where}: width")
    ranges.check_number(width, f"{where}: width", at_least(2))  # of one number a norm leaves nothing
    recipe = Recipe(
        width=width,
        encoders=encoders,
        mixer=_part(MIXERS, "mixer", values.get("mixer"), where),
        head=_part(HEADS, "head", values.get("head"), where),
        memory=_memory(values.get("memory"), where),
        objectives=objectives,
        training=_build(Training, values.get("training"), f"{where}: training"),
        runtime=_build(RuntimeSettings, values.get("runtime"), f"{where}: runtime"),
    )
    _check_encoders(recipe, where)
    _check_memory(recipe, where)
    for name in recipe.learnt:
        _check_needs(name, recipe, where)
    return recipe


def dump(recipe: Recipe) -> dict[str, Any]:
    """The mapping that `parse` reads, every default written out."""
    raw = asdict(recipe)
    raw["training"]["frozen"] = list(recipe.training.frozen)
    for axis in ("mixer", "head", "memory"):
        if raw[axis] is not None:
            raw[axis] |= raw[axis].pop("settings")
    return raw


def _check_encoders(recipe: Recipe, where: str) -> None:
    """`InputError` where encoders do not go together with each other or with the training."""
    encoders = recipe.encoders
    if recipe.switches != ("execution_estimate" in recipe.learnt):
        raise InputError(
            f"{where}: the encoder execution_state and the objective execution_estimate go together, because the "
            "policy reads its own last estimate; name both or neither"
        )
    if "words" in encoders and encoders["words"].previous and not recipe.switches:
        raise InputError(
            f"{where}: encoders.words has previous: true, and only a policy that switches has a previous instruction; "
            "add the encoder execution_state and the objective execution_estimate, or leave it out"
        )
    sizes = {name: encoders[name].size for name in ("cameras", "goal_image") if name in encoders}
    if len(set(sizes.values())) > 1:  # the cache holds each picture at one size, and a goal is one of them
        raise InputError(
            f"{where}: encoders.goal_image has size {sizes['goal_image']} and encoders.cameras size "
            f"{sizes['cameras']}; give both the same one"
        )
    for name, size in sizes.items():
        if recipe.training.random_shift >= size:
            raise InputError(
                f"{where}: training.random_shift: got {recipe.training.random_shift}, expected less than the {size} "
                f"pixels of encoders.{name}.size; correct it"
            )


def _check_memory(recipe: Recipe, where: str) -> None:
    """`InputError` where a policy would learn without the past that it has while running."""
    memory, head = recipe.memory, recipe.head
    if memory is None or memory.name == "none":
        return
    if memory.frames < 2:
        raise InputError(
            f"{where}: memory.frames: got {memory.frames} with the memory {memory.name}, which would be learnt without "
            "any past; expected at least 2, or no memory"
        )
    if getattr(head.settings, "guidance", 1.0) != 1.0:
        raise InputError(  # what is remembered was seen with the conditions, in training always with or without all
            f"{where}: head.guidance is {head.settings.guidance:g} beside the memory {memory.name}, and no past is "
            "without conditions, to be led away from; give guidance 1, or no memory"
        )


def _check_needs(name: str, recipe: Recipe, where: str) -> None:
    """`InputError` where an objective lacks what it works with."""
    objective = OBJECTIVES[name]
    for axis, member in objective.needs.items():
        if member not in (recipe.encoders if axis == "encoders" else [getattr(recipe, axis).name]):
            raise InputError(
                f"{where}: the objective {name} needs {axis}: {member}; name it, or leave the objective out"
            )
    if objective.windows and (recipe.memory is None or recipe.memory.frames < 2):
        raise InputError(
            f"{where}: the objective {name} compares the frames of a window; "
            + (
                "add memory, {name: none, frames: 2, stride: 4} where the policy is to remember nothing"
                if recipe.memory is None
                else "give memory.frames at least 2"
            )
        )
    if objective.instead and recipe.training.action_weight:
        raise InputError(
            f"{where}: the objective {name} stands in place of the head's loss, and training.action_weight is "
            f"{recipe.training.action_weight:g}; give action_weight 0"
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
        ranges.check_number(number, f"{where}: memory.{key}")
    part = _part(SEQUENCE_MIXERS, "memory", values, where)
    return Memory(part.name, part.settings, **sizes)


def _settings(registry: Registry, kind: str, name: str, raw: Any, where: str) -> Any:
    """The settings of one member of a registry."""
    if name not in registry:
        raise unknown(f"{kind} in {where}", name, registry)
    return _build(registry[name].Settings, raw, where)


def _build(cls: type[T], raw: Any, where: str) -> T:
    """A dataclass of a mapping, whose numbers are in their ranges."""
    built = strict_yaml.build(cls, _given(raw), where)
    ranges.check(built, where)
    return built


def _given(raw: Any) -> Any:
    """What stands behind a key, nothing being a mapping without keys."""
    return {} if raw is None else raw


def _mapping(raw: Any, where: str) -> dict[str, Any]:
    """`raw` if it is a mapping."""
    if not isinstance(raw, dict):
        raise InputError(f"{where}: got {raw!r}, expected a mapping of names to settings")
    return raw
