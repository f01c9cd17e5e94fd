"""What a switch evaluation runs: every episode is a job with its own seed and can be run again alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policy.robot.instructions import CONTINUE
from policy.running.session import Session
from sim.initial_states import start
from sim.rollout import until
from sim.switch_evaluation import measures
from sim.switch_evaluation.methods import METHODS, ours
from sim.switch_evaluation.stage import AFTER, EARLIEST, Stage, Twin, alone
from sim.tasks import HOLD, TASKS, Task
from sim.world import RATE, World

PHASES = ("early", "mid", "late")  # where in A the instruction changes to B's
OTHERS = {"false_switch": 2, "three_switches": 4, "switch_back": 4}  # which part of the switches of a phase
GRACE = 5 * RATE  # control steps beyond the time of a task, for leaving the one before
TRIES = 12  # tables on which a pair is looked for
SPARE = 3  # pairs that stand in, one after the other, for one that no table allows
STRIDE = 1_000_000  # between the seeds of such tables
TOGETHER = 2 * RATE  # control steps within which three instructions come
BACK = (RATE // 4, RATE)  # control steps after which the first instruction comes again
WORDS = "words"  # how A is asked for again, beside CONTINUE
Watch = Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One switch; the same seed has the same table and words for every method."""

    method: str  # one of METHODS
    run: str  # one of PHASES or OTHERS
    seed: int
    pairs: tuple[tuple[str, str], ...]  # A and B, then what stands in for them


@dataclass(frozen=True, slots=True)
class Script:
    """What is said when on one table: `words[i]` asks for `tasks[i]`, from the second on after `steps[i - 1]`."""

    seed: int
    tasks: tuple[Task, ...]
    words: tuple[str, ...]
    steps: tuple[int, ...]  # control steps since the beginning
    twin: Twin
    rng: np.random.Generator


def plan(phases: Sequence[str], pairs: int | None, episodes: int, seed: int, methods: Sequence[str]) -> list[Job]:
    """All jobs: `episodes` switches of each phase, and their parts of the others, over `pairs` pairs (None: all)."""
    allowed = set(rounds(np.random.default_rng([seed, 2]))[:pairs])
    amounts = {phase: episodes for phase in phases} | {run: max(1, episodes // part) for run, part in OTHERS.items()}
    jobs: list[Job] = []
    for run, n in amounts.items():
        rng = np.random.default_rng([seed, 3, [*PHASES, *OTHERS].index(run)])
        order = [pair for pair in rounds(rng) if pair in allowed]
        for i in range(n):
            spare = tuple(order[k] for k in rng.integers(len(order), size=SPARE))
            jobs += [Job(method, run, seed, (order[i % len(order)], *spare)) for method in methods]
            seed += 1
    return jobs


def rounds(rng: np.random.Generator) -> list[tuple[str, str]]:
    """All ordered pairs of tasks, in rounds in each of which every task is on both sides once."""
    names = [str(name) for name in rng.permutation(list(TASKS))]
    return [
        (name, names[(i + k) % len(names)])
        for k in rng.permutation(np.arange(1, len(names)))
        for i, name in enumerate(names)
    ]


def play(job: Job, world: World, session: Session, watch: Watch | None = None) -> dict[str, Any]:
    """Run one job to its end and return its record, which is the same every time.

    Tables are drawn until one allows the switch; where none does, the record says so with "void".
    """
    record: dict[str, Any] = {"method": job.method, "run": job.run, "seed": job.seed}
    twins: list[bool] = []  # whether A alone succeeded, for every table on which it was tried
    for tried in range(TRIES * len(job.pairs)):
        pair, seed = job.pairs[tried // TRIES], job.seed + tried * STRIDE
        script = _script(job.run, pair, seed, world, session, twins)
        made = script and _perform(job, script, world, session, watch)
        if made:
            return record | {"void": False, "redraws": tried, "twins": twins} | made
    return record | {"void": True, "redraws": TRIES * len(job.pairs), "twins": twins}


def _script(
    run: str, pair: tuple[str, str], seed: int, world: World, session: Session, twins: list[bool]
) -> Script | None:
    """Draw what is said and when; None where this table does not allow it."""
    rng, a, b = np.random.default_rng([seed, 1]), TASKS[pair[0]], TASKS[pair[1]]
    start(world, a, seed, "home")
    tasks = _tasks(run, a, b, world, rng)
    if tasks is None:
        return None
    words = [_draw(rng, task.phrasings) for task in tasks]
    if run == "false_switch":
        words[1] = _draw(rng, [w for w in (*a.phrasings, *a.reworded) if w != words[0]])
    if run == "switch_back":
        words[2] = words[0]

    def may_ask() -> bool:
        """The next instruction is no news where it is true already; after A it must be possible."""
        if run == "late":
            return b.possible(world)
        return not b.success(world) and not (run == "switch_back" and a.success(world))

    twin = alone(Stage(world, session, words[0], ours), a, may_ask)
    twins.append(twin.held is not None)
    steps = _steps(run, twin, rng)
    return Script(seed, tasks, tuple(words), steps, twin, rng) if steps else None


def _tasks(run: str, a: Task, b: Task, world: World, rng: np.random.Generator) -> tuple[Task, ...] | None:
    """What is asked for one after the other; None where something of it is not possible on this table."""
    if run == "false_switch":
        return a, a
    if run != "late" and not b.possible(world):
        return None
    if run != "three_switches":
        return (a, b, a) if run == "switch_back" else (a, b)
    others = [task for task in TASKS.values() if task not in (a, b) and task.possible(world)]
    return (a, b, *(others[i] for i in rng.permutation(len(others))[:2])) if len(others) > 1 else None


def _steps(run: str, twin: Twin, rng: np.random.Generator) -> tuple[int, ...]:
    """When to speak, in control steps, uniform within what the run allows; empty where nothing does."""
    if run in ("false_switch", "three_switches"):
        moments = np.arange(EARLIEST, twin.true or len(twin.sent) - AFTER)
    else:
        moments = twin.moments("mid" if run == "switch_back" else run)
    if not len(moments):
        return ()
    first = int(rng.choice(moments))
    more = {
        "three_switches": 1 + np.sort(rng.permutation(TOGETHER)[:2]),
        "switch_back": rng.integers(BACK[0], BACK[1], 1, endpoint=True),
    }.get(run, np.empty(0, int))
    return first, *(first + int(step) for step in more)


def _perform(job: Job, script: Script, world: World, session: Session, watch: Watch | None) -> dict[str, Any] | None:
    """Say it, and measure; None where what is asked for last is true already."""
    a, last = script.tasks[0], script.tasks[-1]
    start(world, a, script.seed, "home")
    stage = Stage(world, session, script.words[0], METHODS[job.method], watch)
    for step, words in zip(script.steps, script.words[1:], strict=True):
        while len(stage.sent) < step:
            stage.step()
        if step == script.steps[-1] and last.success(world):
            return None
        stage.say(words)
    trail = _Trail(world, a, last)

    def step_on() -> None:
        stage.step()
        trail.add()

    took, at = until(last, world, step_on, last.steps + GRACE), script.steps[-1]
    sent = np.array(stage.sent)
    made = {
        "table": script.seed,
        "tasks": [task.name for task in script.tasks],
        "instructions": list(script.words),
        "at": list(script.steps),
        "success": took is not None,
        "alone": script.twin.held is not None,
        "seconds": None if took is None else (took - HOLD + 1) / RATE,
        "reaction_s": measures.reaction(sent, np.array(stage.answers), script.twin.sent, at),
        "jerk_ratio": measures.jerk_ratio(sent, script.twin.sent, at),
        "modes": dict(stage.modes),
        "told_done": session.finished,
        "refused": stage.driver.refused,
        "interventions": stage.driver.interventions,
    }
    if job.run == "mid":
        made |= {"safe": trail.safe(), "resumed": _resume(job, script, stage) if made["success"] else None}
    return made | {
        "steps": len(stage.sent),
        "beyond_limits": measures.beyond(np.array(stage.sent), stage.began, session.contract.limits),
    }


def _resume(job: Job, script: Script, stage: Stage) -> dict[str, Any] | None:
    """After B, A again where it was left unfinished; by the word, by A's own words, or by nothing if it cannot be."""
    a, world = script.tasks[0], stage.world
    if a.success(world):
        return None
    if not a.possible(world):
        return {"by": "", "success": False}
    by_word = job.method == "ours" and bool(script.rng.integers(2))
    stage.say(CONTINUE if by_word else script.words[0])
    took = until(a, world, stage.step, a.steps + GRACE)
    return {"by": CONTINUE if by_word else WORDS, "success": took is not None, "refused": stage.driver.refused}


class _Trail:
    """Where A's thing has been since the switch; nothing where A has none."""

    def __init__(self, world: World, a: Task, last: Task) -> None:
        self._world, self._body = world, measures.thing(a)
        self._wanting = [task for task in (a, last) if measures.thing(task) == self._body]
        self._places: list[np.ndarray] = []
        self._touched: list[bool] = []
        self._wanted: list[bool] = []
        self.add()

    def add(self) -> None:
        if self._body is not None:
            self._places.append(self._world.position(self._body))
            self._touched.append(self._world.touched(self._body))
            self._wanted.append(any(task.success(self._world) for task in self._wanting))

    def safe(self) -> bool | None:
        if self._body is None:
            return None
        return measures.safe(np.array(self._places), np.array(self._touched), np.array(self._wanted))


def _draw(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[rng.integers(len(words))]
