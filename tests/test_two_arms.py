"""Two arms that do one task together: the world, its expert, its bags, and both arms behind one safety monitor."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mcap_ros2.reader import read_ros2_messages

from policy.data.episodes import read_episodes
from policy.robot.contract import load
from policy.running.session import Session
from sim.demonstration import demonstrate
from sim.evaluation_jobs import plan
from sim.initial_states import start
from sim.record import main
from sim.rollout import SimulatedLoop
from sim.worlds.interface import RATE
from sim.worlds.two_arms.kinematics import solve
from sim.worlds.two_arms.lift import RAISED
from sim.worlds.two_arms.scene import ARM, SIDES
from sim.worlds.two_arms.world import TwoArms
from tests.tiny import write_model

ROOT = Path(__file__).parent.parent
UNSEEN = 1_500_000
TASK = TwoArms.tasks["lift_bar"]
LEFT, RIGHT = slice(0, 6), slice(7, 13)


@pytest.fixture(scope="module")
def world() -> TwoArms:
    return TwoArms()


def expert_actions(world: TwoArms, seed: int) -> np.ndarray:
    """The set-points (T, 14) of one demonstration."""
    start(world, TASK, seed, "home")
    actions = []
    for action in TASK.expert(world):
        world.step(action)
        actions.append(action)
    return np.array(actions)


@pytest.mark.parametrize("seed", range(UNSEEN, UNSEEN + 5))
def test_the_expert_lifts_the_bar_with_both_arms(world: TwoArms, seed: int) -> None:
    start(world, TASK, seed, "home")
    begin = world.state()
    assert not TASK.success(world) and list(demonstrate(world, TASK))[-1]
    moved = np.abs(world.state() - begin)
    assert moved[LEFT].max() > 0.05 and moved[RIGHT].max() > 0.05 and world.contact
    assert all(world.end(side)[2] > RAISED and world.holds(side, "bar") for side in SIDES)


@pytest.mark.parametrize("idle", [LEFT, RIGHT])
def test_one_arm_alone_does_not_lift_it(world: TwoArms, idle: slice) -> None:
    actions = expert_actions(world, UNSEEN)
    actions[:, idle] = TwoArms.home[idle]
    start(world, TASK, UNSEEN, "home")
    for action in actions:
        world.step(action)
        assert not TASK.success(world)


def test_rollouts_of_one_seed_are_equal(world: TwoArms) -> None:
    first, second = expert_actions(world, UNSEEN), expert_actions(TwoArms(), UNSEEN)
    np.testing.assert_array_equal(first, second)


def test_the_expert_keeps_to_the_velocity_limits(world: TwoArms) -> None:
    start(world, TASK, UNSEEN, "home")
    steps = np.diff([world.setpoint(), *expert_actions(world, UNSEEN)], axis=0)
    assert np.all(np.abs(steps) <= TwoArms.contract().limits.velocity / RATE + 1e-6)


@pytest.mark.parametrize("side", SIDES)
def test_inverse_kinematics_is_that_of_the_model(world: TwoArms, side: str) -> None:
    import mujoco  # after sim, which chooses how it renders

    point, yaw = np.array([0.12 if side == "right" else -0.12, 0.07, 0.05]), 0.25
    data = mujoco.MjData(world.model)
    for name, value in zip(ARM, solve(side, point, yaw), strict=True):
        data.joint(f"{side}_{name}").qpos[0] = value
    mujoco.mj_forward(world.model, data)
    tip = data.site(f"{side}_tip")
    np.testing.assert_allclose(tip.xpos, point, atol=1e-6)
    along, across = tip.xmat.reshape(3, 3)[:, 0], tip.xmat.reshape(3, 3)[:, 1]
    np.testing.assert_allclose(along, [0, 0, -1], atol=1e-6)
    assert abs(across @ [-np.sin(yaw), np.cos(yaw), 0]) == pytest.approx(1)  # the line on which the fingers move


def test_it_is_the_robot_of_aloha2_at_another_rate() -> None:
    """Joints, controllers, units and limits are equal; rate, pictures and the leaders are not."""
    ours, aloha = load("two_arms"), load("aloha2")
    assert ours.state == aloha.state and list(ours.cameras) == list(aloha.cameras)
    for mine, other in zip(ours.controllers, aloha.controllers, strict=True):
        assert (mine.topic, mine.joints) == (other.topic, other.joints)
        np.testing.assert_array_equal([mine.scale, mine.offset], [other.scale, other.offset])
    for name in ("low", "high", "velocity"):
        np.testing.assert_array_equal(getattr(ours.limits, name), getattr(aloha.limits, name))


def test_held_out_phrasings_are_held_out() -> None:
    trained = {word for phrase in TASK.phrasings for word in phrase.split()}
    assert not set(TASK.phrasings) & {*TASK.reworded, *TASK.new_words}
    assert all(set(phrase.split()) <= trained for phrase in TASK.reworded)
    assert all(set(phrase.split()) - trained for phrase in TASK.new_words)


def test_each_arm_has_joint_states_of_its_own(world: TwoArms) -> None:
    start(world, TASK, UNSEEN, "home")
    world.step(world.setpoint() + np.linspace(-0.05, 0.05, 14))
    newest = {topic: dict(zip(names, q.position, strict=True)) for topic, names, q in world.joint_states()}
    found = [[*(newest[f"follower_{side}/joint_states"][j] for j in (*ARM, "left_finger"))] for side in SIDES]
    expected = world.state() / np.where(world.grippers, 2, 1)
    np.testing.assert_allclose(np.ravel(found), expected, atol=1e-6)


def test_a_world_of_one_task_is_evaluated_from_home_without_another_instruction() -> None:
    jobs = plan(["lift_bar"], TwoArms, 6, 2, 3, UNSEEN)
    assert {job.start for job in jobs} == {"home"}
    assert [job.run for job in jobs] == ["main"] * 6 + ["reworded"] * 2 + ["new_words"] * 2


@pytest.mark.parametrize(
    "command", [["sim.switches", "bags"], ["sim.demo"], ["sim.evaluate", "no_model", "--switch", "mid"]]
)
def test_what_changes_the_instruction_needs_two_tasks(tmp_path: Path, command: list[str]) -> None:
    module, *arguments = command
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--world", "two_arms", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2 and "the world two_arms has one task, lift_bar" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_recording_holds_both_arms(tmp_path: Path) -> None:
    """Read as the contract says, and compared with another reader: joints of one name on two topics."""
    main(["--world", "two_arms", "--episodes", "1", "--processes", "1", "--out", str(tmp_path)])
    (episode,) = read_episodes(tmp_path / "lift_bar_0000", load("two_arms"))
    steps = len(episode.stamps)
    assert steps > 40 and not episode.dropped and episode.task == "lift_bar" and episode.contact is not None
    assert episode.contact.any() and episode.state.shape == episode.actions.shape == (steps, 14)
    assert all(episode.images[name].std() > 10 for name in ("high", "left_wrist", "right_wrist"))
    for begin, side in ((0, "left"), (7, "right")):
        found = {}
        for message in read_ros2_messages(
            tmp_path / "lift_bar_0000" / "lift_bar_0000.mcap", topics=[f"/follower_{side}/joint_states"]
        ):
            joints = message.ros_msg
            stamp = joints.header.stamp.sec * 10**9 + joints.header.stamp.nanosec
            found[stamp] = dict(zip(joints.name, joints.position, strict=True))
        here = [found[stamp] for stamp in episode.stamps.tolist()]
        expected = [[*(q[name] for name in ARM), 2 * q["left_finger"]] for q in here]
        np.testing.assert_allclose(episode.state[:, begin : begin + 7], expected, atol=1e-6)
        assert all(q["right_finger"] == pytest.approx(-q["left_finger"], abs=2e-3) for q in here)


def test_both_arms_lift_the_bar_through_one_safety_monitor(world: TwoArms, tmp_path: Path) -> None:
    """Chunks of a demonstration go to four controllers of two arms; none is held or rejected."""
    write_model(tmp_path / "model", robot="two_arms")
    actions = expert_actions(world, UNSEEN)
    start(world, TASK, UNSEEN, "home")
    loop = SimulatedLoop(world, Session(tmp_path / "model", 1, "cpu"), seed=0)
    dt = loop.session.spec.dt_ns
    for i in range(len(actions)):
        chunk = actions[i : i + 16]
        loop.follow(world.time_ns + dt * np.arange(1, len(chunk) + 1), chunk)
    assert TASK.success(world) and not loop.monitor.reason
    # only in its first steps: the demonstration begins at full speed
    assert all(why.startswith("velocity limit") and steps <= 8 for why, steps in loop.interventions.items())
