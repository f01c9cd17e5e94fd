"""Contact without labels: a gripper kept from closing, efforts that motion does not explain, and neither."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy.data.bag_files import find_bags
from policy.data.episodes import read_episodes
from policy.robot.contact import departs, estimate, holds
from policy.robot.motors import Motors
from policy.robot.streams import Streams
from policy.switching.demonstration import fill_gaps
from sim.record import main as record
from tests.demo_bag import ARM, CONTRACT, START, STEP, Item, demonstration, header, make, write

RATE, FINGERS = 20.0, ("panda_finger_joint1", "panda_finger_joint2")
UNLABELLED = replace(CONTRACT, labels=replace(CONTRACT.labels, contact=None))


def closing(until: float, steps: int = 40, at: int = 10, speed: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """An open gripper, commanded at a step to close, that stops at an opening: parts of its range, (T, 1) each."""
    commanded = np.where(np.arange(steps) >= at, 0.0, 1.0)
    late = np.maximum(0, np.arange(steps) - at - 1)  # it follows a step after the command is in force
    return np.maximum(until, 1 - speed * late)[:, None], commanded[:, None]


def test_a_gripper_that_is_kept_from_closing_holds() -> None:
    opening, commanded = closing(until=0.5)
    held = holds(opening, commanded, RATE)
    assert not held[:15].any() and held[17:].all()


@pytest.mark.parametrize("speed", [0.05, 0.15, 0.5])
def test_one_that_closes_on_nothing_does_not(speed: float) -> None:
    assert not holds(*closing(until=0.0, speed=speed), RATE).any()
    assert not holds(*closing(until=0.03, speed=speed), RATE).any()  # a leader's and a follower's zero differ


def test_it_lets_go_when_it_is_commanded_to_open() -> None:
    opening, commanded = closing(until=0.5)
    commanded[30:] = 1.0
    held = holds(opening, commanded, RATE)
    assert held[30] and not held[31:].any()  # the command of a step is in force at the next


def test_a_gripper_pushed_open_against_its_command_holds() -> None:
    commanded = np.full((30, 1), 0.4)
    opening = np.where(np.arange(30) < 20, 0.4, 0.5)[:, None]
    assert np.flatnonzero(holds(opening, commanded, RATE)).tolist() == list(range(20, 30))


def moving(steps: int = 120, joints: int = 4, seed: int = 0, gravity: float = 3.0) -> np.ndarray:
    """Motion (T, J, 3) of an arm with friction, coupled inertia and weight, its sensors a little noisy."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps)[:, None] / RATE
    phase, speed = rng.uniform(0, 6, joints), rng.uniform(0.5, 2, joints)
    inertia = 0.3 * (np.eye(joints) + 0.2)
    position = 0.6 * np.sin(speed * t + phase)
    velocity = 0.6 * speed * np.cos(speed * t + phase)
    effort = 5 * velocity - (speed**2 * position) @ inertia + gravity * position + 1
    return np.stack([position, velocity, effort + rng.normal(0, 0.02, effort.shape)], 2)


@pytest.mark.parametrize("seed", range(5))
def test_a_push_is_distinguished_from_motion_by_its_efforts(seed: int) -> None:
    motion = moving(seed=seed)
    free = departs(motion)
    assert free is not None and not free.any()
    motion[60:70, :, 2] += np.array([2.0, -1.5, 1.0, 0.0])
    assert np.abs(np.flatnonzero(departs(motion))[[0, -1]] - [60, 69]).max() <= 1


def test_a_jolt_is_no_contact() -> None:
    motion = moving()
    motion[60:62, :, 2] += 5
    assert not departs(motion).any()


def test_joints_without_efforts_do_not_spoil_those_with_them() -> None:
    motion = moving()
    motion[60:70, :, 2] += 2
    expected = departs(motion)
    deaf = np.full((len(motion), 2, 3), np.nan)
    deaf[:, 1] = np.arange(3)  # a driver that fills in a constant
    assert np.array_equal(departs(np.concatenate([motion, deaf], 1)), expected)
    assert departs(deaf) is None and departs(motion[:8]) is None and departs(motion[:0]) is None


def test_none_only_without_gripper_and_efforts() -> None:
    state, actions = np.full((150, 8), 0.04), np.full((150, 8), 0.04)
    silent = np.full((150, 7, 3), np.nan)
    assert estimate(CONTRACT, state, actions, silent).tolist() == [False] * 150
    bare = replace(CONTRACT, action=tuple(replace(c, gripper=False) for c in CONTRACT.action))
    assert estimate(bare, state, actions, silent) is None
    motion = moving(150, 7)
    motion[30:40, :, 2] += 3
    pushed = estimate(bare, state, actions, motion)
    assert pushed[31:39].all() and not pushed[50:].any()
    actions[100:, 7] = 0.0
    both = estimate(CONTRACT, state, actions, motion)  # the one or the other
    assert both[31:39].all() and both[110:].all() and not both[50:100].any()


def efforts(at: int, velocity: float, effort: float) -> Item:
    names = [*ARM, *FINGERS]
    return Item(
        "joint_states",
        make("JointState", header(at), names, np.arange(9.0), np.full(9, velocity), np.full(9, effort)),
        at,
    )


def test_motors_give_the_mean_effort_of_the_step_and_the_newest_of_all_else() -> None:
    motors = Motors(CONTRACT)
    streams = Streams(CONTRACT, motors)
    for k in range(11):
        item = efforts(START + k * STEP // 5, velocity=float(k), effort=float(k))
        streams.push("/joint_states", item.message, item.receive)
    there = motors.at(START + 2 * STEP)
    assert there[:, 0].tolist() == list(range(7))  # not the fingers
    assert set(there[:, 1]) == {10.0} and set(there[:, 2]) == {8.0}  # of 6 .. 10
    assert motors.at(START + STEP)[0].tolist() == [0, 5, 3]
    assert np.isnan(motors.at(START - 1)).all() and np.isnan(motors.at(START + 10 * STEP)).all()
    streams.clear()
    assert np.isnan(motors.at(START + 2 * STEP)).all()


def test_a_driver_without_efforts_or_velocities_is_passed_over() -> None:
    for field in ("effort", "velocity"):
        motors = Motors(CONTRACT)
        streams = Streams(CONTRACT, motors)
        item = efforts(START, 1.0, 1.0)
        setattr(item.message, field, np.zeros(0))
        streams.push("joint_states", item.message, item.receive)
        assert np.isnan(motors.at(START)).all() and not streams.dropped


def test_a_bag_s_label_wins_and_without_one_the_contact_is_estimated(tmp_path: Path) -> None:
    items = list(demonstration(60))
    for item in items:
        if item.topic == "gripper_controller/joint_trajectory" and item.receive >= START + 30 * STEP:
            item.message.points[0].positions[:] = 0.0  # the fingers stay where they were
    path = write(tmp_path / "bag", items)
    (labelled,) = read_episodes(path, CONTRACT)
    assert labelled.contact.tolist() == [t >= 30 for t in range(60)]
    (guessed,) = read_episodes(path, UNLABELLED)
    assert guessed.contact.tolist() == [t >= 35 for t in range(60)]  # once a gripper would have followed


@pytest.mark.slow
@pytest.mark.parametrize(("task", "share"), [("put_red", 0.8), ("lamp_on", 0.5)])
def test_on_the_simulated_robot_it_is_near_the_label_of_physics(task: str, share: float, tmp_path: Path) -> None:
    """One grasps, one pushes with a closed gripper; the figures of all tasks: benchmarks/contact.py."""
    record(["--tasks", task, "--episodes", "1", "--out", str(tmp_path), "--processes", "1"])
    for bag in find_bags(tmp_path):
        (episode,), (blind,) = read_episodes(bag, CONTRACT), read_episodes(bag, UNLABELLED)
        truth, guess = fill_gaps(episode.contact), fill_gaps(blind.contact)
        assert (truth & guess).sum() > share * (truth | guess).sum()
        assert abs(int(np.flatnonzero(truth)[0]) - int(np.flatnonzero(guess)[0])) <= 4
