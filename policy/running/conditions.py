"""What a policy may be given beside or instead of a sentence: how the end is to look, how good it is to be."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from policy.errors import InputError
from policy.spec import Spec

GOAL_IMAGE = "(as in the goal image)"  # the text of an instruction without a sentence


@dataclass(frozen=True)
class Conditions:
    """Conditions of one instruction, each absent unless given; they stay while it is in force."""

    goal_image: Mapping[str, np.ndarray] | None = None  # camera -> a picture as `Spec.picture` describes it
    return_to_go: float | None = None
    goal_state: np.ndarray | None = None  # (S,)

    def check(self, spec: Spec) -> None:
        """`InputError` for a condition that the policy does not read, or an image that does not fit."""
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
        for camera in spec.cameras if self.goal_image is not None else ():
            image = self.goal_image.get(camera) if self.goal_image is not None else None
            dtype, shape = spec.picture(camera)
            if image is None or image.shape != shape or image.dtype != dtype:
                got = "none" if image is None else f"{image.dtype} {image.shape}"
                raise InputError(f"goal_image of camera {camera!r}: got {got}, expected {dtype} {shape}")
        if self.goal_state is not None and (
            np.shape(self.goal_state) != (len(spec.state),) or not np.isfinite(self.goal_state).all()
        ):
            raise InputError(f"goal_state: got {self.goal_state}, expected {len(spec.state)} finite numbers")
        if self.return_to_go is not None and not np.isfinite(self.return_to_go):
            raise InputError(f"return_to_go: got {self.return_to_go}, expected a finite number")

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
