"""A small version of a recipe and bags to train it on, for tests of learning."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import yaml

from policy.learning import recipe
from policy.learning.objectives import OBJECTIVES
from policy.spec import Spec
from tests import demo_bag

INSTRUCTIONS = (
    ("open the drawer", "open_drawer"),
    ("pull the drawer open", "open_drawer"),
    ("press the button", "press"),
)


def bags(folder: Path, episodes: int = 3, steps: int = 8) -> Path:
    """A folder of short episodes of two tasks, one of them in two phrasings."""
    for i in range(episodes):
        text, task = INSTRUCTIONS[i % len(INSTRUCTIONS)]
        demo_bag.write(folder / f"episode_{i}", demo_bag.demonstration(steps, seed=i, text=text, task=task))
    return folder


def switches(folder: Path) -> Path:
    """Episodes, and a bag in which the instruction changes: rollback, advance, then the other task."""
    bags(folder)
    at = [demo_bag.START + k * demo_bag.STEP - demo_bag.STEP // 2 for k in (8, 10, 12)]
    labels = [
        ("instruction", INSTRUCTIONS[2][0], at[0]),
        ("label/task", INSTRUCTIONS[2][1], at[0]),
        *(("label/mode", mode, t) for mode, t in zip(("rollback", "advance", "forward"), at, strict=True)),
    ]
    items = [
        *demo_bag.demonstration(20, seed=9),
        *(demo_bag.Item(topic, demo_bag.make("String", text), t) for topic, text, t in labels),
    ]
    demo_bag.write(folder / "switch", sorted(items, key=lambda item: item.receive))
    return folder


def marked(folder: Path) -> Path:
    """The same bags, and beside them that each of them succeeded."""
    (folder / "bags.yaml").write_text(yaml.safe_dump({bag.name: {"success": True} for bag in folder.iterdir()}))
    return folder


def settings(part: type[Any], **sizes: Any) -> Any:
    """The settings of a part with those of the sizes that it has."""
    known = {f.name for f in fields(part.Settings)}
    return part.Settings(**{name: size for name, size in sizes.items() if name in known})


def shrink(name: str) -> dict[str, Any]:
    """A shipped recipe as a mapping, with all its parts and the smallest sizes."""
    raw = recipe.dump(recipe.load(name))
    raw["width"] = 16
    sizes = {"size": 16, "stem": 4, "channels": 4, "blocks": 1, "keypoints": 2, "layers": 1, "heads": 2, "hidden": 8}
    sizes |= {"frames": 2, "stride": 2, "entries": 20, "bins": 4, "steps": 2}
    for part in (*raw["encoders"].values(), raw["mixer"], raw["head"], raw["memory"] or {}):
        part |= {key: value for key, value in sizes.items() if key in part}
    raw["training"] |= {"samples": 32, "batch_size": 4, "warmup_steps": 2, "held_out": 0.34}
    return raw


def objective(name: str) -> dict[str, Any]:
    """The smallest recipe with an objective and what it needs, on windows of five frames, without cameras."""
    needs = OBJECTIVES[name].needs
    extra = {needs["encoders"]: {}} if "encoders" in needs else {}
    extra |= {"execution_state": {}} if name == "execution_estimate" else {}
    return {
        "width": 16,
        "encoders": {"instruction": {}, "proprioception": {"group_dropout": 0.0}, **extra},
        "mixer": {"name": "transformer", "layers": 1, "heads": 2},
        "head": {"name": needs.get("head", "l1"), "hidden": 8},
        "memory": {"name": "none", "frames": 5, "stride": 2},
        "objectives": {name: 1.0},
        "training": {"samples": 20, "batch_size": 10, "action_weight": 0.0 if OBJECTIVES[name].instead else 1.0},
    }


def write(path: Path, raw: dict[str, Any]) -> Path:
    """Write a recipe as a file."""
    path.write_text(yaml.safe_dump(raw))
    return path


def batch(spec: Spec, frames: int = 10) -> dict[str, torch.Tensor]:
    """Two windows, as `Policy.loss` gets them."""
    return {
        "state": torch.randn(frames, len(spec.state)),
        "instruction": torch.randn(frames, spec.text),
        "actions": torch.randn(frames, spec.horizon, len(spec.action)),
        "mask": torch.ones(frames, spec.horizon, dtype=torch.bool),
        "is_first": torch.eye(2, frames // 2, dtype=torch.bool),
    }
