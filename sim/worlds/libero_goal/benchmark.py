"""The benchmark itself: robot, controller, scene, success predicates and initial states are its own, untouched.

The ten tasks share one scene: one environment serves all of them, and a task is what its goal predicate says. In a
perturbed suite each task has a scene of its own, of which one at a time is there.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from policy.errors import InputError

SUITE = "libero_goal"
NEVER = 10**9  # control steps after which the benchmark ends an episode by itself
INSTALL = "make libero"


class Benchmark:
    """The environment of a suite, and what it says of its tasks."""

    def __init__(self, suite: str = SUITE) -> None:
        benchmarks, self._environment, self._bddl, folder = _packages()
        self._suite = _suite(benchmarks, suite)
        tasks = [self._suite.get_task(i) for i in range(self._suite.get_num_tasks())]
        self.names = [str(task.name) for task in tasks]
        self._files = {name: _file(folder, task) for name, task in zip(self.names, tasks, strict=True)}
        self.scene = ""
        self.enter(self.names[0])

    def enter(self, task: str) -> bool:
        """Make the environment of a task's file, unless it is there; whether it is another one than before."""
        if self.scene == task:
            return False
        with own_random(0):
            self.env = self._environment(
                bddl_file_name=str(self._files[task]),
                use_camera_obs=False,
                has_offscreen_renderer=False,
                hard_reset=False,
                horizon=NEVER,
                initialization_noise="default",  # of the joints, as in its initial states
            ).env
        self.scene = task
        return True

    @cached_property
    def _problems(self) -> dict[str, Any]:
        return {name: self._bddl.robosuite_parse_problem(str(file)) for name, file in self._files.items()}

    @cached_property
    def goals(self) -> dict[str, list[Sequence[str]]]:
        """The goal predicates of each task, all of which must hold, by the task's name in the benchmark."""
        return {name: problem["goal_state"] for name, problem in self._problems.items()}

    def initial_states(self, task: str) -> np.ndarray:
        """The benchmark's own initial states of a task (50, 79): time, qpos, qvel. For the final evaluation only."""
        return np.asarray(self._suite.get_task_init_states(self.names.index(task)))

    def reset(self, seed: int) -> None:
        """Draw a layout by the benchmark's own sampler."""
        with own_random(seed):
            self.env.reset()

    def done(self, task: str) -> bool:
        """Whether the goal of a task holds now, as the benchmark judges."""
        return all(bool(self.env._eval_predicate(predicate)) for predicate in self.goals[task])


@contextmanager
def own_random(seed: int) -> Iterator[None]:
    """The benchmark draws from numpy's global generator: seed it, and leave it as it was."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def sentences(suite: str) -> dict[str, str]:
    """What a suite says of each of its tasks, by their names; no environment is made."""
    benchmarks, _, bddl, folder = _packages()
    tasks = _suite(benchmarks, suite)
    files = {str(task.name): _file(folder, task) for task in map(tasks.get_task, range(tasks.get_num_tasks()))}
    said = {name: bddl.robosuite_parse_problem(str(file))["language_instruction"] for name, file in files.items()}
    return {name: text if isinstance(text, str) else " ".join(text) for name, text in said.items()}


def _packages() -> tuple[Any, Any, Any, Path]:
    """The suites, the environment's class, the parser of its problems, and the folder of these."""
    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)  # it warns of settings that nothing here needs
    try:
        import robosuite  # noqa: F401  only here: the benchmark has an environment of its own
        from libero.libero import benchmark, get_libero_path
        from libero.libero.envs import bddl_utils
        from libero.libero.envs.env_wrapper import ControlEnv
    except ImportError as error:
        raise InputError(
            f"the world {SUITE} needs the LIBERO benchmark, which this Python has not ({error}); install it in an "
            f"environment of its own with `{INSTALL}`, and use .venv-libero/bin/python"
        ) from None
    return benchmark, ControlEnv, bddl_utils, Path(get_libero_path("bddl_files"))


def _suite(benchmarks: Any, name: str) -> Any:
    with redirect_stdout(StringIO()):  # it prints the order of its tasks
        return benchmarks.get_benchmark(name)()


def _file(folder: Path, task: Any) -> Path:
    path: Path = folder / task.problem_folder / task.bddl_file
    if not path.is_file():
        raise InputError(f"{path}, a file of the LIBERO benchmark, is missing; install it again with `{INSTALL}`")
    return path
