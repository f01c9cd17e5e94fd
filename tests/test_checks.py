"""What is wrong with data is found before it is learnt: units, wraps, scales, rates; and training obeys."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy.data.cache import open_cache
from policy.data.check_chunks import check_chunks
from policy.data.check_motion import check_motion
from policy.data.check_timing import LOST, check_gaps, check_rates
from policy.data.episodes import read_episodes
from policy.data.findings import Finding, errors, merge
from policy.data.runs import Part, Run
from policy.data.uncommanded import check_uncommanded
from policy.errors import InputError
from policy.robot.contract import load
from policy.train import train
from tests import small
from tests import small_robot as robot
from tests.demo_bag import CONTRACT, demonstration, write
from tests.test_clocks import ARM, GRIP, arrays

SMALL = robot.contract()
T = np.arange(200) / 20


def found(measured: np.ndarray, commanded: np.ndarray, joint: int = 0) -> list[Finding]:
    """What is found in one joint of the small robot, the others as they should be."""
    times = T[: len(measured)]
    state, actions = (robot.position(times).astype(np.float32) for _ in range(2))
    state[:, joint], actions[:, joint] = measured, commanded
    stamps = robot.START + (times * 1e9).astype(np.int64)
    return check_motion(SMALL, stamps, state, actions)


def wrapped(values: np.ndarray) -> np.ndarray:
    return (values + np.pi) % (2 * np.pi) - np.pi


def test_nothing_is_found_in_data_that_is_right() -> None:
    way = 0.5 * np.sin(T)
    assert not found(way, way + 0.02)
    assert not found(np.full(200, 0.7), np.full(200, 0.7))  # a joint that is not moved
    holds = np.where(T < 5, 0.05, 0.0)
    assert not found(np.maximum(holds, 0.03), holds, joint=2)  # a gripper that is kept from closing


@pytest.mark.parametrize("state", [True, False])
def test_a_joint_that_wraps_while_the_other_goes_on(state: bool) -> None:
    way = 2.5 + 0.1 * T
    one, other = (wrapped(way), way) if state else (way, wrapped(way))
    (finding,) = found(one, other)
    assert finding.severity == "error" and "whole turns apart" in finding.what
    assert "6.28 in" in finding.figures and "%" in finding.figures and "3.14" in finding.figures


def test_a_contract_in_degrees_has_turns_of_360() -> None:
    """6.3 degrees between state and command are no turn."""
    arm = ARM | {"velocity_max": [300, 300], "position_min": [-180] * 2, "position_max": [180] * 2}
    contract = robot.contract(action=[arm, GRIP | {"velocity_max": [1]}])
    state, actions = (robot.position(T).astype(np.float32) for _ in range(2))
    stamps = robot.START + (T * 1e9).astype(np.int64)
    state[:, 0], actions[:, 0] = 20 * np.sin(T), 20 * np.sin(T) + 2 * np.pi
    assert not check_motion(contract, stamps, state, actions)
    state[:, 0] = (170 + 3 * T + 180) % 360 - 180
    actions[:, 0] = 170 + 3 * T
    (finding,) = check_motion(contract, stamps, state, actions)
    assert finding.severity == "error" and "360.00 in" in finding.figures


def test_a_joint_whose_state_and_command_both_wrap() -> None:
    way = 2.5 + 0.1 * T
    findings = found(wrapped(way), wrapped(way))
    assert findings and all(f.severity == "error" and "wraps" in f.what for f in findings)
    assert "1 jumps of a whole turn" in findings[0].figures


@pytest.mark.parametrize(("state", "command"), [(True, True), (True, False), (False, True)])
def test_degrees_under_a_contract_of_radians(state: bool, command: bool) -> None:
    way = 1.2 * np.sin(T)
    findings = found(np.rad2deg(way) if state else way, np.rad2deg(way) if command else way)
    assert len(findings) == state + command and all(f.severity == "error" for f in findings)
    assert "degrees?" in findings[0].what and "68." in findings[0].figures and "0.017453" in findings[0].do


@pytest.mark.parametrize(("factor", "words"), [(57.3, "57.3"), (0.0175, "0.0175"), (-1.0, "-1 times")])
def test_a_state_on_another_scale_than_its_command_within_the_limits(factor: float, words: str) -> None:
    """Small motions: no value is beyond a limit."""
    way = 0.05 * np.sin(3 * T) if factor > 1 else 0.9 * np.sin(3 * T)
    (finding,) = found(factor * way, way)
    assert finding.severity == "error" and "different scales" in finding.what and words in finding.figures


def test_a_short_recording_does_not_show_the_scale() -> None:
    """In one that `policy.synthesise` reverses, the arm still comes back while its command goes on."""
    command = 0.9 * np.sin(3 * T)
    assert len(found(-command, command)) == 1
    assert not found(-command[:30], command[:30])


def test_a_gripper_that_is_not_marked_is_only_reported() -> None:
    """It stops half way at what it holds: the state moves less than the command."""
    command = np.where(np.sin(3 * T) > 0, 1.0, 0.0)
    (finding,) = found(0.6 + 0.4 * command, command)
    assert finding.severity == "warning" and "0.4 times" in finding.figures and "mark a gripper" in finding.do


def test_state_and_command_of_other_joints_are_far_apart() -> None:
    way = 0.5 * np.sin(3 * T)
    (finding,) = found(way + 1.9, way)
    assert finding.severity == "warning" and "far apart" in finding.what and "1.9" in finding.figures


def test_a_camera_that_is_slower_than_a_chunk_is_refused_with_the_figures(tmp_path: Path) -> None:
    robot.record(tmp_path / "a", robot.moving(8, camera=2))
    (finding,) = errors(open_cache(tmp_path, SMALL).findings)
    assert "every 0.5 s" in finding.figures and "8 actions at 20 Hz lasts 0.4 s" in finding.figures


def test_a_policy_of_single_actions_may_have_a_camera_of_its_own_rate() -> None:
    single = robot.contract(horizon=1)

    def of(hertz: float) -> list[Finding]:
        stamps = (np.arange(20) / hertz * 1e9).astype(np.int64)
        none = np.zeros((20, 3), np.float32)
        part = Part("pick", None, 0, 20, 0, False)
        return check_chunks(single, [Run(np.arange(20), stamps, none, none, None, None, None, [], [part])])

    assert not of(19.8) and of(10.0)


def uncommanded(state: np.ndarray, names: tuple[str, ...] = robot.JOINTS, **changed: object) -> list[str]:
    """Which joints are found to move without a command, where the action is j1 and j2 alone."""
    source, arm = {"topic": "joint_states", "joints": list(names)} | changed, ARM | {"velocity_max": [3, 3]}
    stamps = robot.START + (T * 1e9).astype(np.int64)
    findings = check_uncommanded(robot.contract(state=[source], action=[arm]), stamps, state, robot.START)
    assert all(f.severity == "warning" and "docs/commands.md" in f.do for f in findings)
    return [figures.split()[0] for f in findings for figures in f.figures.split(";")[0].split(", ")]


def test_a_joint_that_moves_and_that_no_action_names() -> None:
    """One that rests, a force, or one that the action names by its joint is none."""
    state = robot.position(T).astype(np.float32)
    assert not uncommanded(state)
    state[:, 2] = 0.02 + 0.02 * np.sin(T)
    assert uncommanded(state) == ["grip"]
    assert not uncommanded(state + np.array([0, 0, 1]))  # 1.00 to 1.04 are no opening
    state[:, 2] = 0.001 * np.sin(T)
    assert not uncommanded(state)
    state[:, 2] = np.sin(T)
    assert uncommanded(state) == ["grip"] and uncommanded(state, ("j1", "j2", "j3")) == ["j3"]
    assert not uncommanded(state, ("j1", "j2", "j3"), field="effort")
    assert not check_uncommanded(SMALL, robot.START + (T * 1e9).astype(np.int64), state, robot.START)


def test_of_a_hand_that_is_commanded_only_the_gripper_has_to_be() -> None:
    """Inverse kinematics moves the joints; and a finger that goes with the one that is commanded follows it."""
    stamps = robot.START + (T * 1e9).astype(np.int64)
    pose = load("tabletop_ee")
    joints = replace(pose.state[1], joints=("j1", "finger_1", "finger_2"), names=(), reduce="none", scale=1.0, offset=0)
    grip = replace(pose.action[1], names=(), joints=("finger_1",), demonstration=None)
    contract = replace(pose, state=(pose.state[0], joints), action=(pose.action[0], grip))
    way = 0.02 + 0.02 * np.sin(T)
    state = np.concatenate([np.zeros((200, 6)), np.stack([np.sin(T), way, way], 1)], 1)
    assert not check_uncommanded(contract, stamps, state, robot.START)
    alone = replace(contract, action=(pose.action[0],))
    (finding,) = check_uncommanded(alone, stamps, state, robot.START)
    assert "finger_1" in finding.figures and "j1" not in finding.figures


@pytest.mark.parametrize("whole", [True, False])
def test_what_a_bag_has_lost_is_no_fault_of_the_disk_or_the_driver_that_recorded_it(whole: bool) -> None:
    at = np.delete(np.arange(100), np.arange(40, 60)) * 50_000_000
    sent = np.arange(100) * 50_000_000
    times = {"cam/image_raw": at, "joint_states": at, "arm/joint_trajectory": sent}
    camera, state = check_gaps(SMALL, times, 0, whole)
    assert "has gaps" in camera.what and "has gaps" in state.what
    assert ("faster disk" in camera.do, "driver" in state.do) == (whole, whole)
    assert (camera.do == LOST, state.do == LOST) == (not whole, not whole)


@pytest.mark.parametrize("whole", [True, False])
def test_what_all_topics_lack_at_once_is_reported_once(whole: bool) -> None:
    """A clock that was set ahead, or a recorder that paused; the gaps of one topic are reported all the same."""
    at = np.arange(100) * 50_000_000
    at[40:] += 30_000_000_000
    camera = np.delete(at, [60, 61, 62])
    times = {"cam/image_raw": camera, "joint_states": at, "arm/joint_trajectory": at + 1}
    silence, gaps = check_gaps(SMALL, times, 0, whole)
    assert silence.what == "nothing at all was recorded for a while" and silence.figures == "for 30.05 s"
    assert round(silence.at, 3) == 1.95 and ("the clock was set ahead" in silence.do, silence.do == LOST) == (
        whole,
        not whole,
    )
    assert (
        gaps.what == "camera front has gaps" and "longest gap is 0.20 s" in gaps.figures and round(gaps.at, 3) == 32.95
    )
    times["joint_states"] = np.arange(1000) * 50_000_000  # one of them goes on
    assert [f.what for f in check_gaps(SMALL, times, 0, whole)] == ["camera front has gaps"]


def test_rare_commands_that_are_held_are_reported() -> None:
    (finding,) = check_rates(arrays(), {"cam/image_raw": 20.0, "joint_states": 100.0, "arm/commands": 2.0})
    assert finding.severity == "warning" and "2 Hz for a policy of 20 Hz" in finding.figures
    assert not check_rates(arrays(), {"cam/image_raw": 20.0, "joint_states": 100.0, "arm/commands": 10.0})


def test_findings_of_many_bags_are_one_that_names_some() -> None:
    one = Finding("warning", "what", "3 of it", "mend it")
    worse = Finding("error", "worse", "4", "stop")
    merged = merge([*((f"bag{i}", one) for i in range(5)), ("b", worse)])
    assert [str(f) for f in merged] == [
        "worse: b: 4; stop",
        "what: bag0: 3 of it; bag1: 3 of it; bag2: 3 of it; and 2 more bags; mend it",
    ]


def edited(items: list[robot.Message], change: Callable[[float], np.ndarray]) -> list[robot.Message]:
    """The joint states replaced by `change(seconds)`."""
    return [
        (t, robot.joints(ns, change((ns - robot.START) * 1e-9)) if t == "/joint_states" else m, ns)
        for t, m, ns in items
    ]


@pytest.mark.slow
def test_training_refuses_what_would_be_learnt_wrongly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Joints in degrees: reported with the figures before a step is made, and nothing is written."""
    items = list(demonstration(30))
    for item in items:
        if item.topic == "joint_states":
            item.message.position[:7] = np.rad2deg(item.message.position[:7] + 1.0)
    write(tmp_path / "bags" / "a", items)
    recipe = small.write(tmp_path / "small.yaml", small.shrink("chunk"))
    with pytest.raises(
        InputError, match=r"are errors, and would be learn\w+: state of panda_joint\d is in another unit"
    ):
        train(str(recipe), tmp_path / "bags", tmp_path / "run", samples=4)
    assert "error: state of panda_joint1 is in another unit" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    write(tmp_path / "bags" / "b", demonstration(30))
    train(str(recipe), tmp_path / "bags", tmp_path / "run", samples=4, skip_bad=True)
    assert "bags are left out: a: state of panda_joint1 is in another unit" in capsys.readouterr().err
    assert (tmp_path / "run").exists()
    assert load("tabletop") == CONTRACT


@pytest.mark.parametrize("names", [["left_j1", "left_j2", "left_grip"], []])
def test_joints_that_the_contract_does_not_name_are_named(tmp_path: Path, names: list[str]) -> None:
    items = [
        (t, robot.joints(ns, m.position, names) if t == "/joint_states" else m, ns) for t, m, ns in robot.moving(1)
    ]
    robot.record(tmp_path / "a", items)
    arrived = f"the joints {', '.join(names)}" if names else "joints without names"
    with pytest.raises(InputError, match=rf"20 x frame without state .* got {arrived}, expected j1, j2, grip"):
        read_episodes(tmp_path / "a", SMALL)


def test_commands_that_the_contract_does_not_name_are_named(tmp_path: Path) -> None:
    robot.record(tmp_path / "a", robot.moving(1))
    arm = {"topic": "arm/joint_trajectory", "joints": ["arm_j1", "arm_j2"], "names": ["j1", "j2"]}
    arm |= {"position_min": [-3, -3], "position_max": [3, 3], "velocity_max": [3, 3]}
    contract = robot.contract(action=[arm])
    with pytest.raises(
        InputError, match=r"without a command: action j1\.\.j2 .* got the joints j1, j2, grip, expected arm_j1"
    ):
        read_episodes(tmp_path / "a", contract)
