"""Plays one job of a switch evaluation: the counterfactual, then the episode with the switch, and measures it."""

from collections.abc import Callable, Set
from typing import Any

import numpy as np

from policy.running.session import Session
from sim.initial_states import start
from sim.rollout import steps_until_success
from sim.switch_evaluation import metrics
from sim.switch_evaluation.counterfactual import Counterfactual, run_counterfactual
from sim.switch_evaluation.methods import METHODS, ours
from sim.switch_evaluation.object_safety import ObjectTrack
from sim.switch_evaluation.recorded_episode import RecordedEpisode
from sim.switch_evaluation.scenario import Scenario, can_switch, draw_scenario, draw_switch_steps
from sim.switch_evaluation.switch_jobs import PHASES, SwitchJob
from sim.worlds.interface import RATE, World

LAYOUTS = 12  # layouts in which a pair is tried
STRIDE = 1_000_000  # between the seeds of these layouts
CONTINUE, PHRASING = "continue", "phrasing"  # how A is asked for again: by this word, or by its instruction
Record = dict[str, Any]
Watch = Callable[[RecordedEpisode], None]


def play(
    job: SwitchJob, world: World, session: Session, watch: Watch | None = None, left_out: Set[str] = frozenset()
) -> Record:
    """Run one job to its end and return its record, with "curves", which is the same every time.

    Layouts are drawn until one allows the switch; where none does, the record has "skipped". `left_out` are phrasings
    in which no task is asked for.
    """
    record: Record = {"method": job.method, "run": job.run, "seed": job.seed}
    successes: list[bool] = []  # of A in each counterfactual
    for drawn in range(LAYOUTS * len(job.pairs)):
        pair, seed = job.pairs[drawn // LAYOUTS], job.seed + drawn * STRIDE
        scenario = draw_scenario(job.run, pair, seed, world, job.tasks, left_out)
        if scenario is None:
            continue
        counterfactual = _counterfactual(job.run, scenario, world, session)
        successes.append(counterfactual.success_step is not None)
        steps = draw_switch_steps(job.run, scenario, counterfactual)
        measured = _measure(job, scenario, steps, counterfactual, world, session, watch) if steps else None
        if measured is not None:
            return record | {"skipped": False, "redraws": drawn, "counterfactual_successes": successes} | measured
    redraws = LAYOUTS * len(job.pairs)
    return record | {"skipped": True, "redraws": redraws, "counterfactual_successes": successes}


def _counterfactual(run: str, scenario: Scenario, world: World, session: Session) -> Counterfactual:
    """The episode without a switch, by the same policy under the same first instruction."""
    episode = RecordedEpisode(world, session, scenario.instructions[0], ours, scenario.seed)
    return run_counterfactual(episode, scenario.tasks[0], lambda: can_switch(run, scenario, world))


def _measure(
    job: SwitchJob,
    scenario: Scenario,
    steps: tuple[int, ...],
    counterfactual: Counterfactual,
    world: World,
    session: Session,
    watch: Watch | None,
) -> Record | None:
    """Play the episode with its switches and measure the last one; None where B is already done then.

    Where A is asked for again and is done by then, that is its success at once: so some methods come by it.
    """
    a, last = scenario.tasks[0], scenario.tasks[-1]
    start(world, a, scenario.seed, "home")
    episode = RecordedEpisode(world, session, scenario.instructions[0], METHODS[job.method], scenario.seed, watch)
    for step, instruction in zip(steps, scenario.instructions[1:], strict=True):
        while len(episode.setpoints) < step:
            episode.step()
        if job.run in PHASES and last.success(world):
            return None
        episode.instruct(instruction)
    track = ObjectTrack(world, a, last)

    def step_on() -> None:
        episode.step()
        track.record()

    taken = steps_until_success(last, world, step_on, last.steps + world.grace)
    setpoints, undisturbed = np.array(episode.setpoints), counterfactual.setpoints
    arm = ~session.contract.grippers
    record = {
        "layout_seed": scenario.seed,
        "tasks": [task.name for task in scenario.tasks],
        "instructions": list(scenario.instructions),
        "switch_steps": list(steps),
        "success": taken is not None,
        "counterfactual_success": counterfactual.success_step is not None,
        "time_to_b_s": None if taken is None else (taken - world.success_steps + 1) / RATE,
        "reaction_s": metrics.reaction_time(setpoints, np.array(episode.serves_newest), undisturbed, steps[-1]),
        "jerk_ratio": metrics.jerk_ratio(
            setpoints[:, arm], undisturbed[:, arm], steps[-1], np.array(episode.policy_serves)
        ),
        "mode_steps": dict(episode.mode_steps),
        "estimated_done": episode.robot.loop.tracker.finished,
        "refused": episode.robot.refused,
    }
    if job.run == "mid":
        resumed = _resume(job, scenario, episode) if record["success"] else None
        record |= {"object_safe": track.safe(), "resumed": resumed}
    setpoints, limits = np.array(episode.setpoints), session.contract.limits  # those of resuming as well
    violations = metrics.limit_violations(setpoints, episode.begun_at, limits)
    counts = {"interventions": dict(episode.interventions), "limit_violations": violations}
    return record | counts | {"steps": len(setpoints), "curves": episode.trace.curves()}


def _resume(job: SwitchJob, scenario: Scenario, episode: RecordedEpisode) -> Record | None:
    """After B ask for A again, by "continue" or its phrasing; None if A is done, "by" is "" if A is not possible."""
    a, world = scenario.tasks[0], episode.world
    if a.success(world):
        return None
    if not a.possible(world):
        return {"by": "", "success": False}
    by = CONTINUE if job.method == "ours" and bool(scenario.rng.integers(2)) else PHRASING
    episode.instruct(CONTINUE if by == CONTINUE else scenario.instructions[0])
    taken = steps_until_success(a, world, episode.step, a.steps + world.grace)
    return {"by": by, "success": taken is not None, "refused": episode.robot.refused}
