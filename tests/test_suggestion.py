"""`python -m policy.check --suggest`: a contract from bags, which loads and reads them as a written one does."""

import errno
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from policy import check
from policy.data.episodes import read_episodes
from policy.errors import InputError
from policy.robot.contract import Contract, load
from policy.spec import Episode
from tests import small_robot as robot
from tests.demo_bag import CONTRACT, demonstration, write
from tests.test_check import edited
from tests.test_contracts_robots import aloha2, recorded, so101

S, START, JOINTS = robot.SECOND, robot.START, robot.JOINTS
COMPRESSED = robot.T["sensor_msgs/msg/CompressedImage"]


def suggested(bags: Path) -> Contract:
    """The contract, as it is written into a file and loaded."""
    out = bags.parent / "suggested.yaml"
    check._suggest(bags, out)
    return load(out)


def ns_of(message: Any) -> int:
    """The time in a header [ns]."""
    return int(message.header.stamp.sec) * S + int(message.header.stamp.nanosec)


def column(episode: Episode, contract: Contract, name: str, of: str = "state") -> np.ndarray:
    """One joint of an episode."""
    return getattr(episode, {"state": "state", "action": "actions"}[of])[:, getattr(contract.spec, of).index(name)]


def test_a_robot_of_one_arm_is_read_as_by_its_own_contract(tmp_path: Path) -> None:
    robot.record(tmp_path / "bags" / "a", robot.moving(4))
    robot.record(tmp_path / "bags" / "b", robot.moving(2))
    contract = suggested(tmp_path / "bags")
    assert contract.rate == 20 and contract.horizon == 16 and contract.instruction == "instruction"
    assert contract.spec.state == ("j1", "j2", "grip") and contract.grippers.tolist() == [False, False, True]
    (mine,) = read_episodes(tmp_path / "bags" / "a", contract)
    (theirs,) = read_episodes(tmp_path / "bags" / "a", robot.contract())
    assert np.array_equal(mine.state, theirs.state) and np.array_equal(mine.actions, theirs.actions)
    assert np.array_equal(*(next(iter(e.images.values())) for e in (mine, theirs)))
    assert (contract.limits.low < theirs.actions.min(0)).all() and (contract.limits.high > theirs.actions.max(0)).all()
    check.check(tmp_path / "bags", contract)


def test_the_shipped_table(tmp_path: Path) -> None:
    write(tmp_path / "bags" / "a", demonstration(30))
    contract = suggested(tmp_path / "bags")
    assert list(contract.cameras) == ["front", "wrist"] and contract.labels.task == "label/task"
    (mine,), (theirs,) = (read_episodes(tmp_path / "bags" / "a", c) for c in (contract, CONTRACT))
    assert np.array_equal(mine.state[:, :7], theirs.state[:, :7])
    assert np.array_equal(mine.actions[:, :7], theirs.actions[:, :7]) and mine.task == "open_drawer"


def test_an_array_of_commands_in_another_order_than_the_joint_states(tmp_path: Path) -> None:
    """The SO-101: its values are told apart by their ranges."""
    own, _, bag = recorded(tmp_path / "bags", "so101", so101)
    contract = suggested(tmp_path / "bags")
    assert {c.encoding for c in contract.cameras.values()} == {"jpeg"} and contract.rate == 30
    (mine,), (theirs,) = read_episodes(bag, contract), read_episodes(bag, own)
    for name in own.spec.action:
        for of in ("state", "action"):
            assert np.allclose(column(mine, contract, name, of), column(theirs, own, name, of)), name
    assert contract.action[0].topic == "follower/arm_controller/joint_trajectory"


def test_two_arms_whose_joints_are_named_alike(tmp_path: Path) -> None:
    own, _, bag = recorded(tmp_path / "bags", "aloha2", aloha2)
    contract = suggested(tmp_path / "bags")
    assert next(iter(contract.cameras)) == "high" and contract.rate == 30  # a camera on an arm does not lead
    (mine,), (theirs,) = read_episodes(bag, contract), read_episodes(bag, own)
    for name in (n for n in own.spec.action if "gripper" not in n):
        for of in ("state", "action"):
            assert np.allclose(column(mine, contract, name, of), column(theirs, own, name, of)), name
    assert {c.topic.split("/")[0] for c in contract.action} == {"follower_left", "follower_right"}
    assert sum(c.gripper for c in contract.action) == 2


def test_names_that_yaml_takes_for_something_else(tmp_path: Path) -> None:
    names = ("on", "y", "1e3")

    def renamed(items: Iterable[robot.Message]) -> Iterable[robot.Message]:
        for topic, message, ns in items:
            if hasattr(message, "joint_names"):
                message.joint_names[:] = names
            elif hasattr(message, "name"):
                message.name[:] = names
            yield topic, message, ns

    robot.record(tmp_path / "bags" / "a", renamed(robot.moving(2)))
    assert suggested(tmp_path / "bags").spec.action == names


def test_a_topic_that_repeats_another_is_not_used(tmp_path: Path) -> None:
    items = [("/arm/joint_states", m, ns) for t, m, ns in robot.moving(2) if t == "/joint_states"]
    robot.record(tmp_path / "bags" / "a", sorted([*robot.moving(2), *items], key=lambda item: item[2]))
    contract = suggested(tmp_path / "bags")
    assert contract.spec.state == ("j1", "j2", "grip")
    assert "is not used" in (tmp_path / "suggested.yaml").read_text()


def test_a_joint_without_a_value_is_left_out_and_the_others_are_kept(tmp_path: Path) -> None:
    """A spare joint that its driver reports as NaN, then joint states of which nothing is known."""

    def spare(message: Any, value: float, kept: int = 3) -> Any:
        return robot.joints(ns_of(message), [*message.position[:kept], value], [*JOINTS[:kept], "spare"])

    for name, kept in (("some", 3), ("none", 0)):
        items = edited("/joint_states", lambda m, t, kept=kept: spare(m, np.nan, kept), robot.moving(2))
        robot.record(tmp_path / name / "bags" / "a", items)
    assert suggested(tmp_path / "some" / "bags").spec.state == JOINTS
    with pytest.raises(InputError):
        suggested(tmp_path / "none" / "bags")


def test_a_compressed_camera_is_taken_where_its_raw_pictures_cannot_be(tmp_path: Path) -> None:
    items = []
    for topic, message, ns in robot.moving(2):
        if topic != "/cam/image_raw":
            items.append((topic, message, ns))
            continue
        pixels = message.data.reshape(48, 64, 3)
        packed = cv2.imencode(".jpg", pixels)[1].ravel()
        message.encoding = "nv12"
        items.append((topic, message, ns))
        items.append((f"{topic}/compressed", COMPRESSED(message.header, "jpeg", packed), ns))
    robot.record(tmp_path / "bags" / "a", items)
    (camera,) = suggested(tmp_path / "bags").cameras.values()
    assert camera.topic == "cam/image_raw/compressed"


@pytest.mark.parametrize(
    ("form", "kind", "bits", "words"),
    [
        ("", ".jpg", np.uint8, ""),
        ("", ".png", np.uint8, ""),
        ("16UC1; png compressed ", ".png", np.uint16, "depth (16UC1 64x48)"),
        ("", ".png", np.uint16, "depth (16UC1 64x48)"),
        ("32FC1; compressedDepth png", ".png", np.uint16, "depth (32FC1 64x48)"),
        ("16UC1; compressedDepth rvl", ".png", np.uint16, "pictures of 16UC1 as RVL"),
        ("mono16; png compressed ", ".png", np.uint16, "pictures of mono16 64x48"),
        ("png", ".png", np.uint16, "pictures of PNG of 16 bits 64x48"),
    ],
)
def test_a_compressed_camera_is_suggested_as_what_its_bytes_are(
    tmp_path: Path, form: str, kind: str, bits: Any, words: str
) -> None:
    """Depth is named, as raw depth is; a colour camera without a format is read by its bytes."""
    data = cv2.imencode(kind, np.full((48, 64), 200, bits))[1].ravel()
    data = np.concatenate([np.zeros(12, np.uint8), data]) if "compressedDepth" in form else data
    items = [(f"{t}/compressed", COMPRESSED(m.header, form, data), ns) for t, m, ns in robot.moving(2) if "cam" in t]
    robot.record(tmp_path / "bags" / "a", sorted([*robot.moving(2), *items], key=lambda item: item[2]))
    if words:
        assert list(suggested(tmp_path / "bags").cameras) == ["camera"]
        assert f"compressed is not used: {words}" in (tmp_path / "suggested.yaml").read_text()
        return
    items += [item for item in robot.moving(2) if "cam" not in item[0]]
    robot.record(tmp_path / "alone" / "bags" / "a", sorted(items, key=lambda item: item[2]))
    (episode,) = read_episodes(tmp_path / "alone" / "bags" / "a", suggested(tmp_path / "alone" / "bags"))
    assert len(episode.stamps) == 40 and abs(int(episode.images["camera"][0].max()) - 200) < 5


def test_headers_without_a_time_are_read_by_reception(tmp_path: Path) -> None:
    items = edited("/cam/image_raw", lambda m, t: robot.image(0, m.data.reshape(48, 64, 3)), robot.moving(2))
    robot.record(tmp_path / "bags" / "a", items)
    assert suggested(tmp_path / "bags").cameras["camera"].stamp == "receive"


@pytest.mark.parametrize(
    ("without", "words"),
    [("cam", "cameras: {}   # none found"), ("joint_states", "state: []   # none found")],
)
def test_what_bags_do_not_hold_is_left_for_the_user(tmp_path: Path, without: str, words: str) -> None:
    """It does not load until that is filled in: nothing is made up."""
    robot.record(tmp_path / "bags" / "a", [item for item in robot.moving(1) if without not in item[0]])
    with pytest.raises(InputError, match="empty, expected at least one"):
        suggested(tmp_path / "bags")
    assert words in (tmp_path / "suggested.yaml").read_text()


def test_joint_states_without_names_are_read_by_their_places(tmp_path: Path) -> None:
    items = [(t, robot.joints(ns, m.position, []) if t == "/joint_states" else m, ns) for t, m, ns in robot.moving(2)]
    array = [("/arm/commands", robot.array(m.points[0].positions), ns) for t, m, ns in items if "traj" in t]
    items = sorted([*(item for item in items if "traj" not in item[0]), *array], key=lambda item: item[2])
    robot.record(tmp_path / "bags" / "a", items)
    contract = suggested(tmp_path / "bags")
    assert contract.spec.state == contract.spec.action == ("joint_1", "joint_2", "joint_3")
    (mine,) = read_episodes(tmp_path / "bags" / "a", contract)
    t = (mine.stamps - START) / S
    assert np.allclose(mine.state, robot.position(t), atol=0.01)


def test_no_command_was_recorded(tmp_path: Path) -> None:
    """The action is the state one step later."""
    robot.record(tmp_path / "bags" / "a", [item for item in robot.moving(2) if "traj" not in item[0]])
    contract = suggested(tmp_path / "bags")
    (episode,) = read_episodes(tmp_path / "bags" / "a", contract)
    assert len(episode.stamps) > 30 and np.allclose(episode.actions[:-1], episode.state[1:], atol=0.01)
    assert "no command was recorded" in (tmp_path / "suggested.yaml").read_text()


def test_no_instruction_was_recorded(tmp_path: Path) -> None:
    robot.record(tmp_path / "bags" / "a", robot.moving(2, text=""))
    suggested(tmp_path / "bags")
    text = (tmp_path / "suggested.yaml").read_text().replace("# default_instruction", "default_instruction")
    (tmp_path / "edited.yaml").write_text(text)
    (episode,) = read_episodes(tmp_path / "bags" / "a", load(tmp_path / "edited.yaml"))
    assert episode.instruction == "pick up the cup"


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    robot.record(tmp_path / "bags" / "a", robot.moving(1))
    (tmp_path / "mine.yaml").write_text("rate: 20\n")
    with pytest.raises(InputError, match=r"mine.yaml exists"):
        check._suggest(tmp_path / "bags", tmp_path / "mine.yaml")
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text()) == {"rate": 20}


@pytest.mark.parametrize("disk", ["file", "full"])
def test_a_contract_that_cannot_be_written_is_one_sentence(tmp_path: Path, disk: str, monkeypatch: Any) -> None:
    """Below a file, which is told before any bag is read; on a disk that fills nothing is left."""
    robot.record(tmp_path / "bags" / "a", robot.moving(1))
    (tmp_path / "file").touch()
    out, words = tmp_path / "mine.yaml", "cannot write .*mine.yaml"
    if disk == "file":
        out, words = tmp_path / "file" / "below" / "mine.yaml", "file is a file, expected a folder"
        monkeypatch.setattr(check, "_contents", None)

    def fill(path: Path, text: str) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(InputError, match=words):
        check._suggest(tmp_path / "bags", out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bags", "file"]
