"""Plays one job of a switch evaluation: the counterfactual, then the episode with the switch, and measures it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from policy.robot.instructions import CONTINUE
from policy.running.session import Session
from sim.initial_states import start
from sim.rollout import until
from sim.switch_evaluation import metrics
from sim.switch_evaluation.methods import METHODS, ours
from sim.switch_evaluation.object_safety import ObjectTrack
from sim.switch_evaluation.scenario import Scenario, can_switch, draw_scenario, draw_switch_steps
from sim.switch_evaluation.stage import Stage, Twin, alone
from sim.switch_evaluation.switch_jobs import Job
from sim.tasks import HOLD
from sim.world import RATE, World

GRACE = 5 * RATE  # control steps beyond those of a task, to leave the former one
LAYOUTS = 12  # layouts in which a pair is tried
STRIDE = 1_000_000  # between the seeds of these layouts
PHRASING = "phrasing"  # how A is asked for again, beside CONTINUE
Record = dict[str, Any]
Watch = Callable[[Stage], None]


def play(job: Job, world: World, session: Session, watch: Watch | None = None) -> Record:
    """Run one job to its end and return its record, which is the same every time.

    Layouts are drawn until one allows the switch; where none does, the record has "skipped".
    """
    record: Record = {"method": job.method, "run": job.run, "seed": job.seed}
    successes: list[bool] = []  # of A in each counterfactual
    for drawn in range(LAYOUTS * len(job.pairs)):
        pair, seed = job.pairs[drawn // LAYOUTS], job.seed + drawn * STRIDE
        scenario = draw_scenario(job.run, pair, seed, world)
        if scenario is None:
            continue
        counterfactual = _counterfactual(job.run, scenario, world, session)
        successes.append(counterfactual.held is not None)
        steps = draw_switch_steps(job.run, scenario, counterfactual)
        measured = _measure(job, scenario, steps, counterfactual, world, session, watch) if steps else None
        if measured is not None:
            return record | {"skipped": False, "redraws": drawn, "counterfactual_successes": successes} | measured
    redraws = LAYOUTS * len(job.pairs)
    return record | {"skipped": True, "redraws": redraws, "counterfactual_successes": successes}


def _counterfactual(run: str, scenario: Scenario, world: World, session: Session) -> Twin:
    """The episode without a switch, by the same policy under the same first instruction."""
    stage = Stage(world, session, scenario.instructions[0], ours)
    return alone(stage, scenario.tasks[0], lambda: can_switch(run, scenario, world))


def _measure(
    job: Job,
    scenario: Scenario,
    steps: tuple[int, ...],
    counterfactual: Twin,
    world: World,
    session: Session,
    watch: Watch | None,
) -> Record | None:
    """Play the episode with its switches and measure the last one; None where its task is already done then."""
    a, last = scenario.tasks[0], scenario.tasks[-1]
    start(world, a, scenario.seed, "home")
    stage = Stage(world, session, scenario.instructions[0], METHODS[job.method], watch)
    for step, instruction in zip(steps, scenario.instructions[1:], strict=True):
        while len(stage.sent) < step:
            stage.step()
        if step == steps[-1] and last.success(world):
            return None
        stage.say(instruction)
    track = ObjectTrack(world, a, last)

    def step_on() -> None:
        stage.step()
        track.record()

    took = until(last, world, step_on, last.steps + GRACE)
    setpoints = np.array(stage.sent)
    record = {
        "layout_seed": scenario.seed,
        "tasks": [task.name for task in scenario.tasks],
        "instructions": list(scenario.instructions),
        "switch_steps": list(steps),
        "success": took is not None,
        "counterfactual_success": counterfactual.held is not None,
        "time_to_b_s": None if took is None else (took - HOLD + 1) / RATE,
        "reaction_s": metrics.reaction_time(setpoints, np.array(stage.answers), counterfactual.sent, steps[-1]),
        "jerk_ratio": metrics.jerk_ratio(setpoints, counterfactual.sent, steps[-1]),
        "mode_steps": dict(stage.modes),
        "estimated_done": stage.driver.loop.tracker.finished,
        "refused": stage.driver.refused,
        "interventions": stage.driver.interventions,
    }
    if job.run == "mid":
        resumed = _resume(job, scenario, stage) if record["success"] else None
        record |= {"object_safe": track.safe(), "resumed": resumed}
    return record | {
        "steps": len(stage.sent),
        "limit_violations": metrics.limit_violations(np.array(stage.sent), stage.began, session.contract.limits),
    }


def _resume(job: Job, scenario: Scenario, stage: Stage) -> Record | None:
    """After B ask for A again, by "continue" or its phrasing; None if A is done, "by" is "" if A is not possible."""
    a, world = scenario.tasks[0], stage.world
    if a.success(world):
        return None
    if not a.possible(world):
        return {"by": "", "success": False}
    by = CONTINUE if job.method == "ours" and bool(scenario.rng.integers(2)) else PHRASING
    stage.say(CONTINUE if by == CONTINUE else scenario.instructions[0])
    took = until(a, world, stage.step, a.steps + GRACE)
    return {"by": by, "success": took is not None, "refused": stage.driver.refused}
