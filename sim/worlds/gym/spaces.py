"""The contract that an environment's spaces make: what it observes is the state, what it takes is the action.

An action whose range is as far below zero as above it is a velocity or a force: it rests at zero, and nothing need
measure where it leads. Any other one is a position that stays what it was, and is its own state.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from policy.errors import InputError
from policy.robot.message_types import ARRAY

RATE, HORIZON = 20, 16
FURTHEST = 1e3  # of an action without a limit
OBSERVATION, ACTION = "environment/observation", "environment/action"


def check(environment: gymnasium.Env[Any, Any], name: str) -> None:
    """`InputError` for spaces that no contract can hold."""
    action = environment.action_space
    if not isinstance(action, spaces.Box) or action.shape is None or len(action.shape) != 1:
        raise InputError(f"{name} takes {action}, expected a Box of one row of numbers: its actions are no set-points")
    try:
        size = spaces.flatdim(environment.observation_space)
    except NotImplementedError:
        size = 0
    if not size:
        raise InputError(f"{name} observes {environment.observation_space}, expected numbers of a fixed count")


def names(environment: gymnasium.Env[Any, Any]) -> list[str]:
    """Of each value of the flattened observation."""
    return [f"o{i}" for i in range(spaces.flatdim(environment.observation_space))]


def limits(action: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of each action (A,)."""
    return np.maximum(action.low, -FURTHEST).astype(float), np.minimum(action.high, FURTHEST).astype(float)


def contract(action: spaces.Box, state: Sequence[str], cameras: dict[str, int]) -> dict[str, Any]:
    """As YAML holds it. `state` names what is measured, `cameras` how many pixels each picture has on a side."""
    low, high = limits(action)
    joints = [f"a{i}" for i in range(len(low))]
    observed = {"topic": OBSERVATION, "type": ARRAY, "stamp": "receive"}
    command: dict[str, Any] = {"topic": ACTION, "type": ARRAY, "joints": joints}
    if np.allclose(-low, high):
        command |= {"interface": "velocity", "unbounded": True, "velocity_max": high.tolist()}
    else:
        command |= {"position_min": low.tolist(), "position_max": high.tolist()}
        command |= {"velocity_max": ((high - low) * RATE).tolist(), "initial": ((low + high) / 2).tolist()}
    return {
        "rate": RATE,
        "horizon": HORIZON,
        "cameras": {camera: _camera(camera, size) for camera, size in cameras.items()},
        "state": [observed | {"indices": list(range(len(state))), "names": list(state)}],
        "action": [command],
        "instruction": "instruction",
        "labels": {
            "task": "label/task",
            "contact": "label/contact",
            "mode": "label/mode",
            "correction": "label/correction",
        },
    }


def _camera(name: str, size: int) -> dict[str, Any]:
    topic = f"camera/{name}/image_raw"
    return {"topic": topic, "type": "sensor_msgs/msg/Image", "encoding": "rgb8", "height": size, "width": size}
