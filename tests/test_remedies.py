"""Whatever is wrong with a message, the finding says what to do about it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from policy.data.check_episodes import remedy
from policy.data.episodes import read_episodes
from policy.errors import InputError
from policy.robot.decode import Unusable, command_decoder, image_decoder, value_decoder
from policy.robot.message_types import ARRAY, COMPRESSED, POSE, TRAJECTORY
from policy.robot.sources import Camera, Source
from tests import small_robot as robot

STATE = Source("joint_states", joints=robot.JOINTS)
TRAJECTORIES = Source("arm/joint_trajectory", TRAJECTORY, joints=robot.JOINTS)
HAND = Source("hand", POSE, fields=("pose.position.x",), orientation="pose.orientation", names=("x", "a", "b", "c"))
ZERO = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=0.0)
PICTURE = Camera("cam", COMPRESSED, "png", 48, 64)
PNG = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
DEPTH = cv2.imencode(".png", np.zeros((48, 64), np.uint16))[1].tobytes()


def packed(data: bytes, form: str = "png") -> Any:
    return SimpleNamespace(format=form, data=data)


@pytest.mark.parametrize(
    ("decode", "message", "words"),
    [
        (value_decoder(STATE), robot.joints(0, []), "fill `position`"),
        (value_decoder(STATE), robot.joints(0, [1, 2], ["j1", "j2"]), "a group for the joints of each"),
        (value_decoder(STATE), robot.joints(0, [1, 2, np.nan]), "NaN is no measurement"),
        (command_decoder(TRAJECTORIES), robot.trajectory(0), "command the position that is to be held"),
        (
            command_decoder(TRAJECTORIES),
            robot.trajectory(0, (0.2, [0, 0, 0]), (0.1, [0, 0, 0])),
            "`time_from_start` rise",
        ),
        (value_decoder(Source("a", ARRAY, indices=(5,), names=("x",))), robot.array([1]), "indices of `fields`"),
        (value_decoder(Source("a", ARRAY, fields=("date",), names=("x",))), robot.array([1]), "correct `fields`"),
        (value_decoder(Source("a", ARRAY, fields=("data",), names=("x",))), robot.array([1, 2]), "correct `fields`"),
        (
            value_decoder(HAND),
            SimpleNamespace(pose=SimpleNamespace(position=ZERO, orientation=ZERO)),
            "fill the orientation",
        ),
        (image_decoder(PICTURE), packed(PNG, "tiff"), "correct `encoding`"),
        (image_decoder(PICTURE), packed(PNG[:-30]), "a part of it was lost"),
        (image_decoder(PICTURE), packed(b"BM"), "are of the `encoding`"),
        (image_decoder(replace(PICTURE, width=32)), packed(PNG), "`height` and `width`"),
        (
            image_decoder(replace(PICTURE, encoding="32FC1")),
            packed(DEPTH, "32FC1; png"),
            "the topic of compressedDepth",
        ),
    ],
)
def test_what_is_wrong_with_a_message_has_a_remedy(decode: Callable[[Any], Any], message: Any, words: str) -> None:
    with pytest.raises(Unusable) as error:
        decode(message)
    assert words in remedy(f"action j1..grip (arm/joint_trajectory): {error.value}")


@pytest.mark.parametrize(
    ("topic", "message", "words"),
    [
        ("/joint_states", lambda ns: robot.joints(ns, []), "let its driver fill `position`"),
        ("/arm/joint_trajectory", lambda ns: robot.trajectory(ns), "command the position that is to be held"),
    ],
)
def test_a_bag_of_messages_without_values_says_what_to_do(
    tmp_path: Path, topic: str, message: Callable[[int], Any], words: str
) -> None:
    robot.record(tmp_path / "a", [(t, message(ns) if t == topic else m, ns) for t, m, ns in robot.moving(1)])
    with pytest.raises(InputError, match=words):
        read_episodes(tmp_path / "a", robot.contract())
