"""`python -m policy.check`: every kind of fault of a bag is found, with its place and what to do."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy import check
from policy.data.cache import open_cache
from policy.data.findings import errors
from policy.errors import InputError
from policy.robot.contract import Contract
from policy.running.text import Text
from tests import small_robot as robot
from tests.test_clocks import arrays, received

S, START = robot.SECOND, robot.START
SMALL = robot.contract()
Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def encoder() -> Text:
    return Text()


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch: pytest.MonkeyPatch, encoder: Text) -> None:
    """Each command loads the encoder anew, which takes a second."""
    monkeypatch.setattr(check, "Text", lambda: encoder)


def found(capsys: Printed, bags: Path, contract: Contract = SMALL, refused: str = "") -> str:
    """What the command prints; `refused` is what its error names, "" where it finds the bags good enough."""
    capsys.readouterr()
    if refused:
        with pytest.raises(InputError, match=refused):
            check.check(bags, contract)
    else:
        check.check(bags, contract)
    return capsys.readouterr().out


def edited(topic: str, change: Callable[[Any, float], Any], items: Iterable[robot.Message]) -> list[robot.Message]:
    """Messages of a topic replaced by `change(message, seconds)`; None takes one away."""
    changed = [(t, change(m, (ns - START) / S) if t == topic else m, ns) for t, m, ns in items]
    return [item for item in changed if item[1] is not None]


def stated(values: Callable[[float], Any], items: Iterable[robot.Message]) -> list[robot.Message]:
    """Other joint states."""
    return edited("/joint_states", lambda _, t: robot.joints(START + round(t * S), values(t)), items)


def commanded(values: Callable[[float], Any], items: Iterable[robot.Message]) -> list[robot.Message]:
    """Other commands: of the time of their point."""
    return edited(
        "/arm/joint_trajectory",
        lambda _, t: robot.trajectory(START + round(t * S), (0.05, values(t + 0.05))),
        items,
    )


# -- what can be wrong with a bag


def test_nothing_is_found_in_a_bag_that_is_right(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "a", robot.moving(4))
    printed = found(capsys, tmp_path)
    assert "a: 80 frames, 1 episode; nothing found" in printed and "0 errors, 0 warnings" in printed


@pytest.mark.parametrize("by", [-30, 1, 1e7])
def test_headers_on_another_clock(tmp_path: Path, capsys: Printed, by: float) -> None:
    """The recorder's clock is behind, ahead, or the simulation's is."""
    robot.record(tmp_path / "a", received(robot.moving(4), by))
    printed = found(capsys, tmp_path)
    assert "warning: header stamps are on another clock" in printed and f"cam/image_raw {-by:+.3f} s" in printed
    assert "-> synchronise the clocks" in printed and "stamp: receive" in printed


def test_commands_without_a_header_on_another_clock(tmp_path: Path, capsys: Printed) -> None:
    items = [item for item in robot.moving(4) if "traj" not in item[0]]
    items += [("/arm/commands", robot.array(robot.position(np.array(k / 20))), START + k * S // 20) for k in range(80)]
    robot.record(tmp_path / "a", received(sorted(items, key=lambda item: item[2]), 0.5))
    assert "header stamps are on another clock" in found(capsys, tmp_path, arrays())


def test_clocks_that_drift_apart(tmp_path: Path, capsys: Printed) -> None:
    items = [(t, m, ns + (ns - START) // 40) for t, m, ns in robot.moving(20)]
    robot.record(tmp_path / "a", items)
    assert "drift apart" in found(capsys, tmp_path, refused="1 of 1 bags would be learned wrongly")


@pytest.mark.parametrize("state", [True, False])
def test_a_joint_that_wraps(tmp_path: Path, capsys: Printed, state: bool) -> None:
    def way(t: float) -> list[float]:
        return [2.5 + 0.3 * t, 0, 0.02]

    def wrapped(t: float) -> list[float]:
        return [(2.5 + 0.3 * t + np.pi) % (2 * np.pi) - np.pi, 0, 0.02]

    items = commanded(way if state else wrapped, stated(wrapped if state else way, robot.moving(6)))
    robot.record(tmp_path / "a", items)
    printed = found(capsys, tmp_path, refused="would be learned wrongly")
    assert "error: state and command of j1 are whole turns apart" in printed and "a at 2." in printed
    assert "-> " in printed and "continuous: true" in printed


@pytest.mark.parametrize("names", [["left_j1", "left_j2", "left_grip"], ["j1", "j_2", "grip"]])
def test_joints_that_are_named_otherwise(tmp_path: Path, capsys: Printed, names: list[str]) -> None:
    """A prefix that was forgotten, and one wrong name: what arrived and what was expected."""
    robot.record(tmp_path / "a", robot.moving(1))
    contract = robot.contract(state=[{"topic": "joint_states", "joints": names, "names": list(robot.JOINTS)}])
    printed = found(capsys, tmp_path, contract, refused="would be learned wrongly")
    assert "j1, j2, grip" in printed and names[1] in printed


def test_commands_of_other_joints(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "a", robot.moving(1))
    arm = {"topic": "arm/joint_trajectory", "joints": ["arm_j1", "arm_j2"], "names": ["j1", "j2"]}
    contract = robot.contract(
        action=[arm | {"position_min": [-3] * 2, "position_max": [3] * 2, "velocity_max": [3] * 2}]
    )
    assert "got the joints j1, j2, grip, expected arm_j1" in found(capsys, tmp_path, contract, refused="wrongly")


@pytest.mark.parametrize("hertz", [1, 10])
def test_an_instruction_that_is_repeated(tmp_path: Path, capsys: Printed, hertz: int) -> None:
    said = [("/instruction", robot.string("pick the cup"), START - 1 + k * S // hertz) for k in range(6 * hertz)]
    robot.record(tmp_path / "a", sorted([*robot.moving(6, text=""), *said], key=lambda item: item[2]))
    printed = found(capsys, tmp_path)
    assert f"an instruction is repeated\n    a at 0.0 s: the same one {6 * hertz} times" in printed
    assert "ros2 topic pub -1" in printed


def test_no_instruction(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "a", robot.moving(1, text=""))
    assert "no message on instruction" in found(capsys, tmp_path, refused="would be learned wrongly")


def test_an_instruction_that_comes_late(tmp_path: Path, capsys: Printed) -> None:
    said = [("/instruction", robot.string("pick the cup"), START + 2 * S)]
    robot.record(tmp_path / "a", sorted([*robot.moving(4, text=""), *said], key=lambda item: item[2]))
    printed = found(capsys, tmp_path)
    assert "before the first instruction: 40 of 80 (50%)" in printed and "before the robot moves" in printed


@pytest.mark.parametrize("text", ["把红色方块放进碗里", "เปิดลิ้นชัก", "🟥 ➡️ 🥣"])
def test_an_instruction_that_the_encoder_cannot_read(tmp_path: Path, capsys: Printed, encoder: Text, text: str) -> None:
    robot.record(tmp_path / "a", robot.moving(1, text=text))
    robot.record(tmp_path / "b", robot.moving(1))
    printed = found(capsys, tmp_path, refused=r"1 of 2 bags .*\(a\)")
    assert "an instruction cannot be read" in printed and "expected English" in printed
    (finding,) = errors(open_cache(tmp_path, SMALL, read=encoder.read).findings)  # as training does
    assert "expected English" in finding.figures
    assert set(open_cache(tmp_path, SMALL, skip_bad=True, read=encoder.read).bags) == {"b"}


def test_a_camera_of_half_the_rate(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "a", robot.moving(6, camera=15, commands=30))
    printed = found(capsys, tmp_path, robot.contract(rate=30))
    assert "camera front is slower than the policy\n    a: 15 Hz, and the contract's rate is 30 Hz" in printed


def test_states_slower_than_the_policy(tmp_path: Path, capsys: Printed) -> None:
    kept = edited("/joint_states", lambda m, t: m if round(t * 100) % 10 == 0 else None, robot.moving(4))
    robot.record(tmp_path / "a", kept)
    assert "the state on joint_states is slower than the policy\n    a: 10 Hz" in found(capsys, tmp_path)


def test_a_trajectory_whose_goal_is_far_ahead(tmp_path: Path, capsys: Printed) -> None:
    items = [item for item in robot.moving(4) if "traj" not in item[0]]
    goal = robot.trajectory(0, (0, [0, 0, 0.02]), (2, [1.0, 0, 0.02]))
    items.append(("/arm/joint_trajectory", goal, START))
    robot.record(tmp_path / "a", sorted(stated(lambda t: [min(t / 2, 1), 0, 0.02], items), key=lambda item: item[2]))
    printed = found(capsys, tmp_path)
    assert "trajectories on arm/joint_trajectory have few points" in printed and "up to 2 s from one point" in printed


def test_set_points_beyond_a_limit(tmp_path: Path, capsys: Printed) -> None:
    def way(t: float) -> list[float]:
        return [3.0 + 0.1 * t, 0, 0.02]

    robot.record(tmp_path / "a", commanded(way, stated(way, robot.moving(4))))
    printed = found(capsys, tmp_path)
    assert "warning: set-points of j1 are beyond its limits\n    a at 2." in printed and "beyond -3.2 to 3.2" in printed


def test_steps_that_are_faster_than_the_limit(tmp_path: Path, capsys: Printed) -> None:
    def way(t: float) -> list[float]:
        return [min(t, 0.5) * 4 if t < 1 else 2.0, 0, 0.02]

    robot.record(tmp_path / "a", commanded(way, stated(way, robot.moving(4))))
    printed = found(capsys, tmp_path)
    assert "command of j1 is faster than the contract allows\n    a at 0.0 s: up to 4 per second" in printed
    assert "velocity_max = 3" in printed


def test_a_state_that_stands_while_its_command_moves(tmp_path: Path, capsys: Printed) -> None:
    items = stated(lambda t: [0, 0, 0.02], robot.moving(4))
    robot.record(tmp_path / "a", commanded(lambda t: [2 * np.sin(t), 0, 0.02], items))
    printed = found(capsys, tmp_path, refused="would be learned wrongly")
    assert "error: state of j1 does not follow its command" in printed and "the state 0" in printed


def test_a_command_that_is_not_reached(tmp_path: Path, capsys: Printed) -> None:
    """A blocked joint: two seconds at 1 rad from where it shall be."""

    def measured(t: float) -> list[float]:
        return [0.5 if 1 < t < 3 else 1.5 * np.sin(np.pi * t / 4), 0, 0.02]

    items = stated(measured, robot.moving(4))
    robot.record(tmp_path / "a", commanded(lambda t: [1.5 * np.sin(np.pi * t / 4), 0, 0.02], items))
    contract = robot.contract(action=_actions(tracking_max=[0.3, 0.3]))
    printed = found(capsys, tmp_path, contract)
    assert "j1 does not reach its command\n    a at 1." in printed and "up to 1" in printed


def _actions(**more: Any) -> list[dict[str, Any]]:
    """The groups of the small robot, the arm with more keys."""
    arm = {"topic": "arm/joint_trajectory", "joints": ["j1", "j2"], "velocity_max": [3, 3]}
    grip = {"topic": "arm/joint_trajectory", "joints": ["grip"], "velocity_max": [1], "gripper": True}
    return [
        arm | {"position_min": [-3.2, -3.2], "position_max": [3.2, 3.2]} | more,
        grip | {"position_min": [0], "position_max": [0.05]},
    ]


def test_a_robot_that_mostly_stands(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "a", robot.moving(10, still_from=2, still_until=9))
    printed = found(capsys, tmp_path)
    assert "the robot mostly stands still\n    a at 2." in printed and "at a stretch for 6." in printed


def test_images_that_are_missing(tmp_path: Path, capsys: Printed) -> None:
    items = edited("/cam/image_raw", lambda m, t: None if 1 < t < 1.7 or round(t * 20) % 7 == 0 else m, robot.moving(6))
    robot.record(tmp_path / "a", items)
    printed = found(capsys, tmp_path)
    assert "camera front has gaps\n    a at 1.0 s" in printed and "the longest gap is 0.70 s" in printed


def test_states_that_pause(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "a", edited("/joint_states", lambda m, t: None if 1 < t < 2 else m, robot.moving(4)))
    printed = found(capsys, tmp_path)
    assert "the state on joint_states has gaps\n    a at 1.0 s" in printed
    assert "frames are not used" in printed and "older than 0.2 s" in printed


def two_cameras() -> Contract:
    camera = {"type": "sensor_msgs/msg/Image", "encoding": "rgb8", "height": 48, "width": 64}
    return robot.contract(
        cameras={n: camera | {"topic": t} for n, t in (("front", "cam/image_raw"), ("wrist", "wrist"))}
    )


@pytest.mark.parametrize(("burst", "warned"), [(1, False), (4, True)])
def test_cameras_out_of_step(tmp_path: Path, capsys: Printed, burst: int, warned: bool) -> None:
    """The other one gives as many images, evenly or several at once."""
    items = robot.moving(4)
    for k in range(80):
        ns = START + round((k // burst * burst / 20 + k % burst * 0.01 + 0.02) * S)
        items.append(("/wrist", robot.image(ns, np.full((48, 64, 3), k, np.uint8)), ns))
    robot.record(tmp_path / "a", sorted(items, key=lambda item: item[2]))
    assert ("cameras front and wrist are out of step" in found(capsys, tmp_path, two_cameras())) == warned


@pytest.mark.parametrize("whole", [True, False])
def test_a_camera_that_shows_one_picture(tmp_path: Path, capsys: Printed, whole: bool) -> None:
    def frozen(message: Any, t: float) -> Any:
        return robot.image(START + round(t * S), np.zeros((48, 64, 3), np.uint8)) if whole or 1 < t < 3 else message

    robot.record(tmp_path / "a", edited("/cam/image_raw", frozen, robot.moving(4)))
    printed = found(capsys, tmp_path, refused="wrongly" if whole else "")
    assert f"{'error' if whole else 'warning'}: camera front shows one picture while the robot moves" in printed


def test_headers_without_a_time(tmp_path: Path, capsys: Printed) -> None:
    def unset(message: Any, t: float) -> Any:
        return robot.image(0, message.data.reshape(48, 64, 3))

    robot.record(tmp_path / "a", edited("/cam/image_raw", unset, robot.moving(4)))
    printed = found(capsys, tmp_path)
    assert "headers of cam/image_raw have no time\n    a: 100% of 80" in printed and "stamp: receive" in printed


def test_pictures_of_another_size_now_and_then(tmp_path: Path, capsys: Printed) -> None:
    def other(message: Any, t: float) -> Any:
        small = robot.image(START + round(t * S), np.zeros((24, 32, 3), np.uint8))
        return small if 1 < t < 2 else message

    robot.record(tmp_path / "a", edited("/cam/image_raw", other, robot.moving(4)))
    printed = found(capsys, tmp_path)
    assert "messages are not used" in printed and "32x24 rgb8, expected 64x48 rgb8: 19 of 80" in printed


def test_an_episode_that_is_shorter_than_a_chunk(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "a", robot.moving(0.3))
    assert "episodes are shorter than a chunk\n    a: 1 of 1 have fewer than 8 frames" in found(capsys, tmp_path)


def test_a_clock_that_is_set_back(tmp_path: Path, capsys: Printed) -> None:
    """Between two files of one recording."""
    for i, start in enumerate((START + 100 * S, START)):
        robot.record_mcap(tmp_path / "run" / f"run_{i}.mcap", robot.moving(4, start=start))
    printed = found(capsys, tmp_path)
    assert "the clock was set back\n    run: 1 times" in printed and "gaps" not in printed
