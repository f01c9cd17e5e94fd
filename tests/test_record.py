"""Recording of demonstrations: bags from physics, read by two libraries, and continued after a stop."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap_ros2.reader import read_ros2_messages

from benchmarks import systems_data
from policy.data.bag_files import find_bags
from policy.data.episodes import read_episodes
from policy.errors import InputError
from policy.robot import contract as contracts
from sim import record
from sim.initial_states import start
from sim.record import ATTEMPTS, SEEDS, SHARE, TRAINING, RecordingJob, main, plan
from sim.shifts import vary
from sim.worlds.tabletop.tasks import TASKS
from sim.worlds.tabletop.world import Tabletop
from tests.demo_bag import pretend


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bags")
    main(["--tasks", "lamp_on", "--episodes", "3", "--out", str(out), "--processes", "2"])
    return out


def test_a_bag_is_an_episode_as_the_contract_describes_it(recorded: Path) -> None:
    bags = find_bags(recorded)
    assert [b.name for b in bags] == ["lamp_on_0000", "lamp_on_0001", "lamp_on_0002"]
    for bag in bags:
        (episode,) = read_episodes(bag, contracts.load("tabletop"))
        assert episode.task == "lamp_on" and episode.instruction in TASKS["lamp_on"].phrasings
        assert not episode.dropped and episode.contact is not None and episode.contact.any()
        assert np.all(np.diff(episode.stamps) == 50_000_000)
        assert episode.images["front"].std() > 10 and episode.images["wrist"].std() > 10
        # the demonstrated set-point leads the arm: one step later the joints have moved towards it
        ahead = np.abs(episode.actions[:-1, :7] - episode.state[:-1, :7]).sum()
        after = np.abs(episode.actions[:-1, :7] - episode.state[1:, :7]).sum()
        assert after < ahead


def test_the_mcap_has_a_live_robot_s_topics_and_qos(recorded: Path) -> None:
    bag = recorded / "lamp_on_0000"
    rates: dict[str, int] = {}
    for message in read_ros2_messages(bag / "lamp_on_0000.mcap"):
        rates[message.channel.topic] = rates.get(message.channel.topic, 0) + 1
    frames = rates["/camera/front/image_raw"]
    assert frames == rates["/camera/wrist/image_raw"] == rates["/label/contact"]
    assert frames == rates["/arm_controller/joint_trajectory"] == rates["/gripper_controller/joint_trajectory"]
    assert 4.5 * frames < rates["/joint_states"] <= 5 * frames
    assert rates["/instruction"] == rates["/label/task"] == 1
    topics = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    offered = {
        t["topic_metadata"]["name"]: str(t["topic_metadata"]["offered_qos_profiles"])
        for t in topics["topics_with_message_count"]
    }
    assert "best_effort" in offered["/camera/front/image_raw"]
    assert "transient_local" in offered["/instruction"]


def test_existing_bags_are_not_recorded_again(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.stat().st_mtime_ns for p in recorded.rglob("*.mcap")}
    main(["--tasks", "lamp_on", "--episodes", "3", "--out", str(recorded)])
    assert "0 episodes to record, 3 exist already" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in recorded.rglob("*.mcap")}


def test_what_another_command_records_while_this_one_draws_its_layout_is_there_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands may record into one folder: each takes what the other has done, and neither ends in an error."""
    bag = tmp_path / "one"

    def late(*given: object) -> None:
        pretend(tmp_path, bag.name, seed="9")

    monkeypatch.setattr(record, "start", late)
    assert record.record(RecordingJob("lamp_on", 0, "home", False, bag, varied=False)) == 0
    shutil.rmtree(bag)
    monkeypatch.setattr(systems_data, "start", late)
    systems_data.write(systems_data.Job("noisy", 1, bag))
    assert not (bag / "one.mcap").read_bytes(), "it stays as it is"


def test_a_folder_of_another_world_is_refused_and_its_contract_stays(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(recorded, tmp_path / "bags"))
    for bag in folder.glob("lamp_on_*"):
        text = (bag / "metadata.yaml").read_text()
        assert "world: tabletop\n" in text
        (bag / "metadata.yaml").write_text(text.replace("world: tabletop\n", "world: desk_arm\n"))
    (folder / "contract.yaml").write_text("mine")
    with pytest.raises(InputError, match="with world desk_arm, and world tabletop is asked for; give another folder"):
        main(["--tasks", "lamp_on", "--episodes", "3", "--out", str(folder)])
    assert (folder / "contract.yaml").read_text() == "mine"


@pytest.mark.slow
def test_ctrl_c_leaves_complete_bags_and_says_how_to_continue(tmp_path: Path) -> None:
    arguments = ["--tasks", "lamp_on", "--episodes", "8", "--processes", "1", "--out", str(tmp_path)]
    command = subprocess.Popen(
        [sys.executable, "-m", "sim.record", *arguments],
        cwd=Path(__file__).parents[1],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # as a terminal does: the signal goes to the whole group, and nobody ignores it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 300
    while not (tmp_path / "lamp_on_0000").exists() and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(command.pid, signal.SIGINT)
    _, printed = command.communicate(timeout=300)
    assert command.returncode == 130 and "Traceback" not in printed
    assert printed.splitlines()[-1] == "stopped; the same command continues where it stopped"
    assert not (tmp_path / ".writing").exists()
    bags = find_bags(tmp_path)
    assert 1 <= len(bags) < 8
    for bag in bags:
        assert len(read_episodes(bag, contracts.load("tabletop"))) == 1


def test_a_plan_mixes_initial_states_and_keeps_to_training_seeds(tmp_path: Path) -> None:
    jobs = plan(list(TASKS), 600, tmp_path)
    assert max(j.seed for j in jobs) + (ATTEMPTS - 1) * SEEDS < TRAINING and max(j.seed for j in jobs) < SEEDS
    assert sum(j.start == "other" for j in jobs) == len(jobs) // 3
    assert sum(j.start == "near_miss" for j in jobs) == len(jobs) // 12
    assert sum(j.start == "undecided" for j in jobs) == sum(
        j.start == "near_miss" and bool(TASKS[j.task].opposite) for j in jobs
    )
    assert sum(j.pushed for j in jobs) == len(jobs) // 2
    # sim.switches takes those from home and undisturbed
    assert sum(j.start == "home" and not j.pushed for j in jobs) == len(jobs) // 3
    assert len({j.bag for j in jobs}) == len(jobs)


def test_tasks_share_layouts_in_threes_or_twos_and_every_pair_meets(tmp_path: Path) -> None:
    jobs = plan(list(TASKS), 600, tmp_path)
    shown: dict[int, list[str]] = {}
    for job in jobs:
        shown.setdefault(job.seed, []).append(job.task)
    assert {len(tasks) for tasks in shown.values()} == {SHARE, SHARE - 1}
    assert all(len(set(tasks)) == len(tasks) for tasks in shown.values())
    together = {(a, b) for tasks in shown.values() for a in tasks for b in tasks if a != b}
    assert len(together) == len(TASKS) * (len(TASKS) - 1)
    # the episodes of one task do not depend on which other tasks are recorded
    alone = plan(["lamp_on"], 600, tmp_path)
    assert alone == [job for job in jobs if job.task == "lamp_on"]


def test_an_unknown_task_names_the_nearest(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "sim.record", "--tasks", "lamp_onn", "--out", str(tmp_path / "x")],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2 and "lamp_on" in run.stderr and not (tmp_path / "x").exists()


def test_the_seed_of_a_bag_reproduces_its_first_frame_to_the_bit(recorded: Path) -> None:
    (episode,) = read_episodes(recorded / "lamp_on_0000", contracts.load("tabletop"))
    (job,) = plan(["lamp_on"], 1, recorded)
    world = Tabletop()
    start(world, TASKS["lamp_on"], job.seed, job.start)
    vary(world, np.random.default_rng([job.seed, 6, list(TASKS).index("lamp_on")]))
    np.testing.assert_array_equal(world.frame().images["front"], episode.images["front"][0])
    np.testing.assert_array_equal(world.state(), episode.state[0])
