"""The world libero_goal, which has an environment of its own: what happens without it, and its tests in it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policy.errors import InputError
from sim.evaluate import FIRST_SEED
from sim.evaluation_jobs import plan
from sim.worlds import ELSEWHERE, WORLDS, installed, load
from sim.worlds.libero_goal.benchmark import own_random
from sim.worlds.libero_goal.table import OFFICIAL

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-libero" / "bin" / "python"


def test_without_the_benchmark_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libero", None)
    monkeypatch.setitem(sys.modules, "robosuite", None)
    world = load("libero_goal")
    with pytest.raises(InputError, match=r"libero_goal needs the LIBERO benchmark.*`make libero`.*venv-libero"):
        world()


def test_what_it_says_of_itself_needs_no_benchmark() -> None:
    world = load("libero_goal")
    assert len(world.tasks) == 10 and world.contract().spec.state[:3] == ("x", "y", "z")
    for task in world.tasks.values():
        sentences = [*task.phrasings, *task.reworded, *task.new_words]
        assert len(set(sentences)) == len(sentences) and task.name.replace("_", " ") in task.phrasings


def test_the_benchmark_draws_by_its_seed_and_leaves_the_global_generator_as_it_was() -> None:
    before = np.random.get_state()[1].tolist()
    drawn = []
    for seed in (1, 1, 2):
        with own_random(seed):
            drawn.append(float(np.random.rand()))
    assert drawn[0] == drawn[1] != drawn[2] and np.random.get_state()[1].tolist() == before


def test_an_evaluation_begins_once_from_each_official_state_of_a_task() -> None:
    world = load("libero_goal")
    jobs = [job for job in plan(list(world.tasks), world, 50, 12, 0, FIRST_SEED) if job.run == "main"]
    assert {job.start for job in jobs} == {OFFICIAL}
    for task in world.tasks:
        assert sorted(job.seed % 50 for job in jobs if job.task == task) == list(range(50))


def test_every_world_is_tested_somewhere() -> None:
    assert set(installed()) | set(ELSEWHERE) == set(WORLDS)


@pytest.mark.heavy
def test_its_tests_pass_in_its_own_environment() -> None:
    assert PYTHON.exists(), "make libero"
    command = [PYTHON, "-m", "pytest", "-q", "-k", "libero_goal", "tests/in_libero_goal.py", "tests/test_worlds.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " skipped" not in done.stdout
