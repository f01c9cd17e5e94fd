"""The robot's control loop in the simulator, with experts in place of a network; and the jobs of an evaluation."""

import numpy as np
import pytest

from policy.robot.contract import load
from policy.spec import Frame, RuntimeSettings
from sim import words_evaluation
from sim.evaluation_jobs import CHAIN, EpisodeJob, plan, play
from sim.rollout import SimulatedLoop
from sim.switch_evaluation import switch_episode
from sim.switch_evaluation.methods import flush, keep
from sim.switch_evaluation.scenario import Scenario
from sim.switch_evaluation.switch_jobs import SwitchJob
from sim.worlds.tabletop.poses import TabletopPoses
from sim.worlds.tabletop.tasks import TASKS
from sim.worlds.tabletop.world import Tabletop
from tests.scripted import ExpertSession, LevelSession


@pytest.fixture(scope="module")
def world() -> Tabletop:
    return Tabletop()


REPLAN = 8  # control steps from one inference to the next


@pytest.fixture(autouse=True)
def without_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tabletop, "frame", lambda self: Frame(self.time_ns, {}, self.state()))


@pytest.fixture
def level(world: Tabletop) -> SimulatedLoop:
    """In control with 100 ms for an inference, after two inferences under "one"."""
    world.reset(np.random.default_rng(0))
    robot = SimulatedLoop(world, LevelSession(), 100_000_000, seed=0)
    robot.instruct("one")
    for _ in range(REPLAN + 4):
        robot.step()
    return robot


def levels(robot: SimulatedLoop, steps: int) -> list[float]:
    """The set-points of the first joint in the next steps."""
    sent = []
    for _ in range(steps):
        robot.step()
        sent.append(round(float(robot.command[0]), 3))
    return sent


@pytest.mark.parametrize("start", ["home", "other"])
def test_the_expert_s_set_points_pass_schedule_monitor_and_controller(world: Tabletop, start: str) -> None:
    record = play(EpisodeJob("main", "lamp_on", 1_000_000, start), world, ExpertSession(world))
    assert record["success"] and record["steps"] < TASKS["lamp_on"].steps
    assert record["instruction"] in TASKS["lamp_on"].phrasings


def test_poses_of_the_hand_pass_them_too() -> None:
    """Streamed set-points in place of trajectories, to where inverse kinematics puts the hand."""
    world = TabletopPoses()
    session = ExpertSession(world)
    for task, seed, start in (("put_red", 1_000_001, "home"), ("open_drawer", 1_000_002, "other")):
        record = play(EpisodeJob("main", task, seed, start), world, session)
        assert record["success"] and not any("held" in reason for reason in record["interventions"])
    assert session.contract.spec.action[:3] == ("x", "y", "z")


def test_an_episode_is_the_same_every_time_whatever_was_played_before(world: Tabletop) -> None:
    job = EpisodeJob("main", "put_red", 1_000_001, "other")
    first, end = play(job, world, ExpertSession(world)), world.data.qpos.copy()
    play(EpisodeJob("main", "open_drawer", 1_000_002, "home"), world, ExpertSession(world))
    assert play(job, world, ExpertSession(world)) == first
    np.testing.assert_array_equal(world.data.qpos, end)


def test_a_chain_does_five_tasks_in_one_scene(world: Tabletop) -> None:
    record = play(EpisodeJob("chain", "", 1_000_003, "home"), world, ExpertSession(world))
    assert record["completed"] == CHAIN and all(g["success"] for g in record["subtasks"])
    assert world.time_ns == sum(g["steps"] for g in record["subtasks"]) * load("tabletop").spec.dt_ns


def test_the_instruction_of_another_task_does_not_count_as_success(world: Tabletop) -> None:
    record = play(EpisodeJob("shuffled", "open_drawer", 1_000_000, "home"), world, ExpertSession(world))
    assert record["instructed_task"] != "open_drawer" and not record["success"]
    assert record["steps"] == TASKS["open_drawer"].steps


def test_a_frame_is_rendered_only_for_an_inference(world: Tabletop) -> None:
    world.reset(np.random.default_rng(0))
    session = ExpertSession(world, runtime=RuntimeSettings())
    robot = SimulatedLoop(world, session, seed=0)
    robot.instruct("open the drawer")
    for _ in range(REPLAN * 3):
        robot.step()
    assert session.frames == 3
    robot.instruct("turn on the lamp")  # an event: it does not wait for the next inference
    robot.step()
    robot.instruct("switch the lamp off")
    robot.step()
    assert session.frames == 5


def test_each_episode_has_noise_of_its_own_and_a_switch_that_of_its_counterfactual(
    world: Tabletop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a head that samples; played again, an episode has the same."""

    class Begun(Exception):
        pass

    def begin(*_: object, seed: int, **__: object) -> None:
        raise Begun(seed)

    monkeypatch.setattr("sim.rollout.InferenceLoop", begin)
    session, lamp, drawer = ExpertSession(world), TASKS["lamp_on"], TASKS["open_drawer"]
    switch = Scenario(3, (lamp, drawer), (lamp.phrasings[0], drawer.phrasings[0]), np.random.default_rng(0))
    job = SwitchJob("ours", "mid", 4, (("lamp_on", "open_drawer"),), ("lamp_on", "open_drawer"))
    seeds = []
    for episode in (
        lambda: play(EpisodeJob("main", "lamp_on", 1, "home"), world, session),
        lambda: play(EpisodeJob("chain", "", 2, "home"), world, session),
        lambda: switch_episode._counterfactual("mid", switch, world, session),
        lambda: switch_episode._measure(job, switch, (1,), None, world, session, None),
        lambda: words_evaluation.play(words_evaluation.WordsJob("pairs", ("lamp_on",), "", 5), world, session),
    ):
        with pytest.raises(Begun) as begun:
            episode()
        seeds += begun.value.args
    assert seeds == [1, 2, 3, 3, 5]


def test_the_old_chunk_goes_on_during_the_first_inference_of_a_new_instruction(level: SimulatedLoop) -> None:
    level.instruct("two")
    first, second, turning, arrived = levels(level, 4)
    assert first == second == 0.02 > turning > -0.02 and arrived == -0.02
    assert not level.interventions  # the arm was never held


def test_an_inference_in_flight_delays_the_next(level: SimulatedLoop) -> None:
    levels(level, REPLAN - 3)  # the last of these steps begins an inference
    level.instruct("two")
    *before, turning, arrived = levels(level, 5)
    assert before == [0.02] * 3 and 0.02 > turning > -0.02 and arrived == -0.02
    assert not level.interventions and level.loop.outdated == 1


def test_a_delay_is_whole_control_steps(world: Tabletop, level: SimulatedLoop) -> None:
    robot = SimulatedLoop(world, level.session, 60_000_000, seed=0)
    robot.instruct("one")
    levels(robot, 8)
    robot.instruct("two")
    *before, turning, arrived = levels(robot, 4)
    assert before == [0.02] * 2 and 0.02 > turning > -0.02 and arrived == -0.02


def test_a_chunk_may_be_discarded_or_kept_to_its_end(level: SimulatedLoop) -> None:
    assert list(flush(level, "two")) == []
    assert levels(level, 5)[-1] == -0.02
    levels(level, 1)  # six steps after the frame of the newest chunk
    assert list(keep(level, "one")) == [False] * (level.session.spec.horizon - 6)
    assert round(float(level.command[0]), 3) == -0.02 and not level.scheduled
    assert levels(level, 5)[-1] == 0.02


def test_a_refused_instruction_holds_the_arm(level: SimulatedLoop) -> None:
    level.instruct("make coffee")
    assert levels(level, 3) == [0.02] * 3 and level.refused == "unknown instruction" and not level.scheduled
    assert levels(level, 9) == [0.02] * 9 and level.interventions["commands are silent"] >= 7
    level.instruct("two")
    assert not level.refused and levels(level, 8)[-1] == -0.02


def test_a_refusal_that_leaves_the_instruction_in_force_changes_nothing(level: SimulatedLoop) -> None:
    level.instruct("continue")
    assert "no instruction was left unfinished" in level.refused
    assert levels(level, 12) == [0.02] * 12 and not level.interventions


def test_a_new_episode_remembers_nothing_of_the_last(world: Tabletop, level: SimulatedLoop) -> None:
    robot = SimulatedLoop(world, level.session, seed=0)
    assert robot.loop.text == ""
    robot.step()
    assert robot.interventions == {"no command yet": 1}


def test_a_plan_mixes_initial_states_and_gives_each_episode_its_own_seed() -> None:
    jobs = plan(["lamp_on", "put_red"], Tabletop, episodes=6, held_out=3, chains=2, seed=1_000_000)
    assert len({j.seed for j in jobs}) == len(jobs) == 2 * (6 + 3 * 3) + 2
    main = [j for j in jobs if j.run == "main" and j.task == "put_red"]
    assert [j.start for j in main] == ["home", "home", "other"] * 2
    assert min(j.seed for j in jobs) == 1_000_000
