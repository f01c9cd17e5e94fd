"""`python -m policy.check`: what a bag holds, every kind of fault with its place and remedy, and what is left out."""

import json
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mcap.writer import IndexType
from rosbags.rosbag2 import StoragePlugin

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


# -- bags that are read though they look odd, and files that are none


def test_whole_bags_of_odd_kinds_are_read_without_a_finding(tmp_path: Path, capsys: Printed) -> None:
    """No message index, a foreign channel, no profile, short type names, another QoS, no metadata."""
    items = robot.moving(4)
    bags = tmp_path / "bags"
    robot.record_mcap(bags / "no_index" / "x.mcap", items, index_types=IndexType.CHUNK)
    robot.record_mcap(bags / "foreign" / "x.mcap", items, foreign=True)
    robot.record_mcap(bags / "profile" / "x.mcap", items, profile="")
    robot.record_mcap(bags / "short" / "x.mcap", items, short=True)
    late = [items[i] for i in np.argsort(np.arange(len(items)) + np.random.default_rng(0).uniform(0, 9, len(items)))]
    robot.record_mcap(bags / "order" / "x.mcap", late, use_chunking=False)
    power = robot.record(bags / "power", items)
    (power / "metadata.yaml").write_text("")
    for plugin in (StoragePlugin.MCAP, StoragePlugin.SQLITE3):
        bag = robot.record(bags / f"qos_{plugin.name}", items, plugin, 8)
        about = yaml.safe_load((bag / "metadata.yaml").read_text())
        for topic in about["rosbag2_bagfile_information"]["topics_with_message_count"]:
            topic["topic_metadata"]["offered_qos_profiles"] = "- history: 3\n  depth: 0"
        (bag / "metadata.yaml").write_text(yaml.safe_dump(about))
    printed = found(capsys, bags)
    assert printed.count("80 frames, 1 episode; nothing found") == 8 and "0 errors, 0 warnings" in printed


def test_what_lies_beside_bags_and_is_not_read_is_named(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "bags" / "good", robot.moving(1))
    db3 = next(robot.record(tmp_path / "db", robot.moving(1), StoragePlugin.SQLITE3).glob("*.db3"))
    (tmp_path / "bags" / "killed").mkdir()
    shutil.copy(db3, tmp_path / "bags" / "killed" / "killed_0.db3")
    (tmp_path / "bags" / "linked").symlink_to(robot.record(tmp_path / "other", robot.moving(1)))
    (tmp_path / "bags" / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    (tmp_path / "bags" / "packed.mcap.gz").write_bytes(b"\x1f\x8b")
    printed = found(capsys, tmp_path / "bags")
    assert "3 bags, 60 frames" in printed
    assert "old.bag: a ROS 1 bag\n    -> convert it" in printed and "packed.mcap.gz\n    -> decompress it" in printed


def test_a_bag_that_is_cut_off(tmp_path: Path, capsys: Printed) -> None:
    bag = robot.record(tmp_path / "a", robot.moving(4))
    data = next(bag.glob("*.mcap"))
    data.write_bytes(data.read_bytes()[:-2000])
    assert "a bag is not whole" in found(capsys, tmp_path)


# -- many bags


def test_a_horizon_that_was_raised_as_told_is_judged_anew(tmp_path: Path) -> None:
    """Of bags that are decoded already."""
    robot.record(tmp_path / "a", robot.moving(8, camera=2))
    (error,) = errors(open_cache(tmp_path, SMALL).findings)
    assert "too slow" in error.what and "raise `horizon`" in error.do
    assert not errors(open_cache(tmp_path, robot.contract(horizon=12)).findings)


def test_bags_that_cannot_be_used_are_left_out_by_name(tmp_path: Path, capsys: Printed) -> None:
    """By the check and by training alike: one of another type, one in degrees."""
    bags = tmp_path / "bags"
    robot.record(bags / "good", robot.moving(4))
    robot.record(bags / "nothing", [item for item in robot.moving(1) if "cam" not in item[0]])
    degrees = commanded(lambda t: np.rad2deg(robot.position(np.array(t))), robot.moving(4))
    robot.record(bags / "degrees", degrees)
    printed = found(capsys, bags, refused=r"2 of 3 bags would be learned wrongly \(degrees, nothing\)")
    assert "nothing: 0 frames" in printed and "command of j1 is in another unit" in printed
    check.check(bags, SMALL, skip_bad=True)
    printed = capsys.readouterr().out
    assert "left out: degrees, nothing" in printed and "1 bag, 80 frames" in printed
    with pytest.raises(InputError, match="no message on cam/image_raw"):
        open_cache(bags, SMALL)
    cache = open_cache(bags, SMALL, skip_bad=True)
    assert set(cache.bags) == {"good"} and not errors(cache.findings)
    left_out = [f for f in cache.findings if "left out" in f.what]
    assert len(left_out) == 1 and "degrees" in left_out[0].figures and "nothing" in left_out[0].figures


def test_nothing_is_left_where_all_are_left_out(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "a", [item for item in robot.moving(1) if "cam" not in item[0]])
    with pytest.raises(InputError, match="1 of 1 bags"):
        check.check(tmp_path, SMALL, skip_bad=True)
    with pytest.raises(InputError, match="no message on cam/image_raw"):
        open_cache(tmp_path, SMALL, skip_bad=True)


# -- the command


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "policy.check", *map(str, words)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )


def test_exit_codes(tmp_path: Path) -> None:
    """2 where training would be wrong, 0 with warnings, 2 for what is no bag."""
    contract = tmp_path / "small.yaml"
    contract.write_text(json.dumps(_raw()))
    robot.record(tmp_path / "late" / "a", received(robot.moving(2), 30))
    done = command(tmp_path / "late", "--contract", contract)
    assert (done.returncode, done.stderr) == (0, "") and "1 warning" in done.stdout
    robot.record(tmp_path / "wrong" / "a", stated(lambda t: np.rad2deg([1, 1, 0.02]), robot.moving(2)))
    done = command(tmp_path / "wrong", "--contract", contract)
    assert done.returncode == 2 and "error: 1 of 1 bags would be learned wrongly (a)" in done.stderr
    assert command(tmp_path / "no").returncode == 2


def _raw() -> dict[str, Any]:
    camera = {"topic": "cam/image_raw", "type": "sensor_msgs/msg/Image", "encoding": "rgb8", "height": 48, "width": 64}
    return {
        "rate": 20,
        "horizon": 8,
        "cameras": {"front": camera},
        "state": [{"topic": "joint_states", "joints": list(robot.JOINTS)}],
        "action": _actions(),
        "instruction": "instruction",
    }


def test_what_a_bag_holds(tmp_path: Path) -> None:
    robot.record(tmp_path / "a", edited("/cam/image_raw", lambda m, t: None if 1 < t < 2 else m, robot.moving(4)))
    robot.record(tmp_path / "b", robot.moving(2, text="place it"))
    robot.record(tmp_path / "d", [("/robot_description", robot.string("<robot>" * 100), START)])
    (tmp_path / "c.mcap").write_bytes(b"nothing")
    done = command(tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip().startswith("/")}
    assert "sensor_msgs/msg/Image" in rows["/cam/image_raw"] and "rgb8 64x48" in rows["/cam/image_raw"]
    assert "1.00 s at 1.0 s" in rows["/cam/image_raw"] and "20.0 Hz" in rows["/cam/image_raw"]
    assert "100.0 Hz" in rows["/joint_states"] and "3 joints: j1, j2, grip" in rows["/joint_states"]
    assert "'pick the cup'" in rows["/instruction"] and "+0 ms" in rows["/joint_states"]
    assert "b: as a; 2.0 s" in done.stdout and "'place it'" in done.stdout
    assert "c.mcap: cannot be read" in done.stdout
    assert "<robot>" in rows["/robot_description"] and len(rows["/robot_description"]) < 200


def test_memory_does_not_grow_with_a_bag(tmp_path: Path, capsys: Printed) -> None:
    """Of pictures, which are most of it: two bags of one length, the one with pictures 16 times as large."""
    peaks = []
    for name, side in (("small", 1), ("large", 4)):
        camera = {"topic": "cam/image_raw", "type": "sensor_msgs/msg/Image", "encoding": "rgb8"}
        contract = robot.contract(cameras={"front": camera | {"height": 48 * side, "width": 64 * side}})

        def larger(message: Any, t: float, side: int = side) -> Any:
            pixels = np.full((48 * side, 64 * side, 3), round(t * 20) % 256, np.uint8)
            return robot.image(START + round(t * S), pixels)

        robot.record_mcap(
            tmp_path / name / "x.mcap", edited("/cam/image_raw", larger, robot.moving(20)), chunk_size=10**5
        )
        tracemalloc.start()
        check.check(tmp_path / name, contract)
        check.describe(tmp_path / name)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 20 * 48 * 64 * 16 * 3, peaks  # 20 of its 400 pictures
