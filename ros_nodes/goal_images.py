"""How the end is to look, from latched topics: `~/goal_image/<camera>`, of the type and encoding of the camera.

goal_image/front      x (once)
goal_image/wrist      x
instruction                "" or a sentence        is given with the pictures that have come since the one before
"""

from typing import Any

import numpy as np

from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.decode import image_decoder
from policy.robot.instructions import stops
from policy.running.conditions import NO_CONDITIONS, Conditions
from policy.spec import Spec


class GoalImages:
    """The newest goal of each camera; no topics where the policy reads none."""

    def __init__(self, contract: Contract, spec: Spec) -> None:
        cameras = contract.cameras if "goal_present" in spec.reads else {}
        self._decoders = {name: image_decoder(camera) for name, camera in cameras.items()}
        self.topics = {f"~/goal_image/{name}": name for name in self._decoders}
        self._images: dict[str, np.ndarray] = {}
        self._unusable = ""
        self._alone = NO_CONDITIONS  # without a picture

    def take(self, camera: str, message: Any) -> None:
        """A picture of the end, for the next instruction."""
        try:
            self._images[camera] = self._decoders[camera](message)
            self._unusable = ""
        except ValueError as error:
            self._unusable = f"goal_image of camera {camera!r}: {error}"

    def conditions(self, text: str, return_to_go: float | None) -> Conditions:
        """What goes with an instruction that is given now; its pictures are used up.

        Nothing goes with one that stops the arm. `InputError` while a picture cannot be used or one of a camera is
        missing.
        """
        if stops(text):
            return NO_CONDITIONS
        if self._unusable:
            raise InputError(self._unusable)
        if self._images and (missing := sorted(set(self._decoders) - set(self._images))):
            raise InputError(f"goal images came, but none of camera {', '.join(missing)}; publish one of each camera")
        if not self._images:
            if return_to_go != self._alone.return_to_go:
                self._alone = Conditions(return_to_go=return_to_go)
            return self._alone
        given, self._images = Conditions(self._images, return_to_go), {}
        return given
