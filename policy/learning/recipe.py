"""Recipes: strict, frozen YAML that names the parts of a policy and how it is trained.

A key that is left out keeps the default written beside it in the code; an unknown key, a wrong type or an
unknown name is an error that names the nearest valid one.
"""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from torch import nn

from policy.errors import InputError, unknown
from policy.learning.encoders import ENCODERS
from policy.learning.heads import HEADS
from policy.learning.mixers import MIXERS
from policy.learning.objectives import OBJECTIVES

FOLDER = Path(__file__).parents[1] / "recipes"
WITHOUT = ("", "rollback", "advance", "mode")


@dataclass(frozen=True)
class Part:
    """A member of a registry and its settings."""

    name: str
    settings: Any


@dataclass(frozen=True)
class Training:
    """How a recipe is trained; rates are for the whole batch, however many processes share it."""

    samples: int = 2_000_000  # windows seen until the cosine ends
    batch: int = 128
    rate: float = 6e-4  # peak learning rate
    warmup: int = 1000  # steps
    weight_decay: float = 0.02
    clip: float = 1.0  # norm of the gradient
    average: float = 0.999  # decay of the moving average of the weights, which is what is exported
    shift: int = 4  # pixels of random image shift
    held_out: float = 0.02  # share of the episodes kept for validation
    without: str = ""  # for ablation: "rollback" or "advance" frames, or "mode", whose labels say forward
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "batch"):
            if not getattr(self, name):
                raise InputError(f"training.{name} is 0 in the recipe, expected at least 1")
        if self.without not in WITHOUT:
            raise unknown("training.without", self.without, WITHOUT)


@dataclass(frozen=True)
class Recipe:
    """Names one member of each registry."""

    width: int
    encoders: dict[str, Any]  # name -> settings, in the order of their tokens; the first conditions all
    mixer: Part
    head: Part
    objectives: dict[str, float] = field(default_factory=dict)  # name -> weight
    training: Training = Training()

    @property
    def switches(self) -> bool:
        """Whether the instruction may change on the way."""
        return "execution" in self.encoders


def load(path_or_name: str | Path) -> Recipe:
    """Read a recipe from a YAML file, or by the name of one in policy/recipes."""
    path = Path(path_or_name)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{path_or_name}.yaml"
        if not path.exists():
            raise unknown("recipe", str(path_or_name), [p.stem for p in FOLDER.glob("*.yaml")])
    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise InputError(f"no recipe at {path}; give a YAML file or a name in policy/recipes") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    return parse(raw, str(path))


def parse(raw: Any, where: str = "recipe") -> Recipe:
    """The recipe that a mapping describes; the inverse of `dump`. `where` names it in errors."""
    values = mapping(raw, Recipe, where)
    encoders = {
        name: part(ENCODERS, "encoder", name, settings, f"{where}: encoders.{name}")
        for name, settings in table(values.get("encoders"), f"{where}: encoders").items()
    }
    if not encoders:
        raise InputError(f"{where}: no encoders; expected at least one of {', '.join(ENCODERS)}")
    objectives = table(values.get("objectives") or {}, f"{where}: objectives")
    for name in objectives:
        if name not in OBJECTIVES:
            raise unknown(f"objective in {where}", name, OBJECTIVES)
    if ("execution" in encoders) != bool(objectives.get("execution_estimate")):
        raise InputError(
            f"{where}: the encoder execution and the objective execution_estimate go together, as one reads what the "
            "other says; name both or neither"
        )
    return Recipe(
        width=typed(values.get("width"), int, f"{where}: width"),
        encoders=encoders,
        mixer=named(MIXERS, "mixer", values.get("mixer"), where),
        head=named(HEADS, "head", values.get("head"), where),
        objectives={name: typed(weight, float, f"{where}: objectives.{name}") for name, weight in objectives.items()},
        training=build(Training, values.get("training") or {}, f"{where}: training"),
    )


def dump(recipe: Recipe) -> dict[str, Any]:
    """The mapping that `parse` reads, every default written out."""
    raw = asdict(recipe)
    for axis in ("mixer", "head"):
        raw[axis] = {"name": raw[axis]["name"], **raw[axis]["settings"]}
    return raw


def named(registry: dict[str, type[nn.Module]], kind: str, raw: Any, where: str) -> Part:
    """A part given as `{name: ..., setting: ...}`."""
    values = dict(table(raw, f"{where}: {kind}"))
    name = typed(values.pop("name", None), str, f"{where}: {kind}.name")
    return Part(name, part(registry, kind, name, values, f"{where}: {kind}"))


def part(registry: dict[str, type[nn.Module]], kind: str, name: str, raw: Any, where: str) -> Any:
    """The settings of one member of a registry."""
    if name not in registry:
        raise unknown(f"{kind} in {where}", name, registry)
    return build(registry[name].Settings, raw or {}, where)  # type: ignore[attr-defined]


def build(cls: type, raw: Any, where: str) -> Any:
    """A dataclass of plain values from a mapping."""
    hints = get_type_hints(cls)
    return cls(**{key: typed(value, hints[key], f"{where}.{key}") for key, value in mapping(raw, cls, where).items()})


def mapping(raw: Any, cls: type, where: str) -> dict[str, Any]:
    """`raw` if it is a mapping whose keys are all fields of `cls`."""
    valid = [f.name for f in fields(cls)]
    for key in table(raw, where):
        if key not in valid:
            raise unknown(f"key in {where}", key, valid)
    return raw


def table(raw: Any, where: str) -> dict[str, Any]:
    """`raw` if it is a mapping."""
    if not isinstance(raw, dict):
        raise InputError(f"{where}: got {raw!r}, expected a mapping of keys to values")
    return raw


def typed(value: Any, kind: type, where: str) -> Any:
    """`value` if it has the type and, a number, is not negative; an int may stand for a float."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        text = kind is float and isinstance(value, str)
        hint = " (write 1.0e-3, not 1e-3: YAML reads that as text)" if text else ""
        raise InputError(f"{where}: got {value!r}, expected {kind.__name__}{hint}")
    if kind in (int, float) and not 0 <= value < float("inf"):
        raise InputError(f"{where}: got {value!r}, expected a number that is not negative")
    return value
