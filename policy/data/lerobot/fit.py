"""Which features of a LeRobot data set are what a contract asks for; what does not fit is refused with both sides."""

from typing import NamedTuple

import numpy as np

from policy.data.lerobot.description import Description
from policy.data.lerobot.layout import ACTION, IMAGES, STATE
from policy.errors import InputError
from policy.robot.contract import Contract


class Fit(NamedTuple):
    """Where a contract's values are in a data set."""

    cameras: dict[str, str]  # camera -> feature
    state: np.ndarray  # int (S,): which value of observation.state
    action: np.ndarray  # int (A,): which value of action


def fit(described: Description, contract: Contract) -> Fit:
    """By names: cameras, values of the state and of the action. `InputError` for what is missing or of another size.

    The values are taken as they are, in the units of the policy: a contract's scales and offsets are of messages.
    """
    if abs(described.fps - contract.rate) > 1e-6 * contract.rate:
        raise InputError(
            f"{described.root} has {described.fps:g} frames a second, and the contract's rate is {contract.rate:g} Hz; "
            f"give `rate: {described.fps:g}` in the contract, or record at its rate"
        )
    return Fit(
        {name: _camera(described, contract, name) for name in contract.cameras},
        _places(described, STATE, contract.spec.state),
        _places(described, ACTION, contract.spec.action),
    )


def short(feature: str) -> str:
    """The name of the camera whose pictures a feature is: observation.images.front is front."""
    return feature.removeprefix(IMAGES).removeprefix("observation.")


def _camera(described: Description, contract: Contract, name: str) -> str:
    camera, pictures = contract.cameras[name], described.pictures()
    if camera.depth:
        raise InputError(
            f"the camera {name} of the contract gives depth, and pictures of LeRobot data sets are RGB of 8 bits; "
            "leave it out of the contract"
        )
    named = [feature for feature in pictures if short(feature) == name]
    if not named:
        raise InputError(
            f"{described.root} has no feature {IMAGES}{name} for the camera {name} of the contract; its pictures are "
            f"{', '.join(pictures) or 'none'}; name the camera in the contract as the data set does"
        )
    height, width, channels = described.shape(named[0])
    if (height, width, channels) != camera.shape:
        raise InputError(
            f"{named[0]} of {described.root} has pictures of {width}x{height} with {channels} channels, and the camera "
            f"{name} of the contract {camera.width}x{camera.height} with 3; correct the contract"
        )
    return named[0]


def _places(described: Description, feature: str, wanted: tuple[str, ...]) -> np.ndarray:
    """Where the values of these names are in a feature, (n,)."""
    if feature not in described.features:
        raise InputError(
            f"{described.root} has no feature {feature}; of features it has {', '.join(described.features)}; a policy "
            "needs observation.state and action"
        )
    names = described.names(feature)
    missing = [name for name in wanted if name not in names]
    if missing:
        given = "" if described.given_names(feature) else "not named one by one, so they are "
        raise InputError(
            f"{feature} of {described.root} has no {', '.join(missing)}: its values are {given}{', '.join(names)}, "
            f"and the contract's are {', '.join(wanted)}; name them in the contract as the data set does (`names`), or "
            f"in {feature}.names of its meta/info.json"
        )
    return np.array([names.index(name) for name in wanted])
