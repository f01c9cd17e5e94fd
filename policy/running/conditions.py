"""What a policy may be given beside or instead of a sentence: how the end is to look, how good it is to be."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from policy.errors import InputError, unknown
from policy.running.arrived import described, numbers
from policy.spec import Spec

GOAL_IMAGE = "(as in the goal image)"  # the text of an instruction without a sentence


@dataclass(frozen=True)
class Conditions:
    """Conditions of one instruction, each absent unless given; they stay while it is in force."""

    goal_image: Mapping[str, np.ndarray] | None = None  # camera -> a picture as `Spec.picture` describes it
    return_to_go: float | None = None
    goal_state: np.ndarray | None = None  # (S,)

    @classmethod
    def named(cls, given: Mapping[str, Any]) -> Self:
        """Conditions by name; `InputError` for a name that is none."""
        valid = [field.name for field in fields(cls)]
        for name in given:
            if name not in valid:
                raise unknown("condition", name, valid)
        return cls(**given)

    def check(self, spec: Spec) -> None:
        """`InputError` for a condition that the policy does not read, or one that does not fit."""
        for name, given, read in (
            ("goal_image", self.goal_image, {f"goal_{camera}" for camera in spec.cameras}),
            ("goal_state", self.goal_state, {"goal_state"}),
            ("return_to_go", self.return_to_go, {"return_to_go"}),
        ):
            if given is not None and not read & set(spec.reads):
                raise InputError(
                    f"got {name}, which this policy does not read (it reads {', '.join(spec.reads)}); leave it out, or "
                    f"train a recipe with the encoder {name}"
                )
        both = "goal_state" in spec.reads and any(f"goal_{camera}" in spec.reads for camera in spec.cameras)
        if both and (self.goal_image is None) != (self.goal_state is None):  # they have one flag of presence
            one, other = ("goal_state", "goal_image") if self.goal_image is None else ("goal_image", "goal_state")
            raise InputError(f"got {one} and no {other}; this policy reads a goal as both: give both, or neither")
        if self.goal_image is not None:
            self._check_goal(self.goal_image, spec)
        for name, value, shape, what in (
            ("goal_state", self.goal_state, (len(spec.state),), f"{len(spec.state)} finite numbers"),
            ("return_to_go", self.return_to_go, (), "a finite number"),
        ):
            held = numbers(value)
            if value is not None and (held is None or held.shape != shape):
                raise InputError(f"{name}: got {described(value)}, expected {what}")

    def _check_goal(self, images: Mapping[str, np.ndarray], spec: Spec) -> None:
        """`InputError` unless there is a picture of each camera that fits."""
        if not isinstance(images, Mapping):
            cameras = ", ".join(spec.cameras)
            raise InputError(f"goal_image: got {described(images)}, expected one of each camera, by name ({cameras})")
        for camera in spec.cameras:
            image, (dtype, shape) = images.get(camera), spec.picture(camera)
            if not isinstance(image, np.ndarray) or image.shape != shape or image.dtype != dtype:
                raise InputError(f"goal_image of camera {camera!r}: got {described(image)}, expected {dtype} {shape}")

    def without_words(self, spec: Spec) -> bool:
        """Whether they are an instruction by themselves."""
        given = self.goal_image is not None or self.goal_state is not None
        wordless = not any(name.startswith("instruction") for name in spec.reads)
        return given and (wordless or "instruction_present" in spec.reads)

    def inputs(self, spec: Spec) -> dict[str, np.ndarray]:
        """What the graph reads of them, B = 1."""
        feed, goal, value = dict[str, np.ndarray](), self.goal_image, self.return_to_go
        if "goal_present" in spec.reads:
            feed["goal_present"] = np.array([goal is not None or self.goal_state is not None])
            state = np.zeros(len(spec.state)) if self.goal_state is None else self.goal_state
            feed["goal_state"] = np.asarray(state, np.float32)[None]
            for camera in spec.cameras:
                dtype, shape = spec.picture(camera)
                feed[f"goal_{camera}"] = (np.zeros(shape, dtype) if goal is None else goal[camera])[None]
        if "return_to_go_present" in spec.reads:
            feed["return_to_go"] = np.array([[value or 0.0]], np.float32)
            feed["return_to_go_present"] = np.array([value is not None])
        return feed


NO_CONDITIONS = Conditions()
