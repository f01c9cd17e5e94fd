"""Success under latency: jobs, rows, page and the seams of chunks."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policy.errors import InputError
from policy.robot.contract import load
from policy.running.schedule import STRATEGIES
from sim import latency_evaluation
from sim.seams import Seams
from sim.worlds.tabletop.world import Tabletop
from tests.tiny import write_model

CONTRACT = load("tabletop")
DT = CONTRACT.spec.dt_ns


class _World:
    time_ns = 0


class _Loop:
    """What the seams of a loop are measured on."""

    class session:
        contract, spec = CONTRACT, CONTRACT.spec

    class loop:
        joined = 0

    def __init__(self) -> None:
        self.world, self.command = _World(), np.zeros(len(CONTRACT.spec.action))


def test_a_leap_between_two_chunks_is_jerk_at_the_seam_and_not_inside() -> None:
    loop = _Loop()
    seams = Seams(loop)  # type: ignore[arg-type]
    for step in range(1, 41):
        loop.world.time_ns = step * DT
        loop.loop.joined = (step - (step - 1) % 10) * DT  # a chunk joins every ten steps
        loop.command = np.full(len(CONTRACT.spec.action), 0.01 * ((step - 1) // 10))
        seams.step()
    jerk = seams.jerk()
    assert jerk["seams"] == 3 and jerk["jerk_inside"] == 0 and jerk["jerk_seam"] > 1


def test_every_episode_is_played_with_each_schedule_and_latency_from_the_same_seeds() -> None:
    jobs = latency_evaluation.plan(Tabletop, ["replace", "ensemble"], [0, 200], ["a", "b"], 3, 1_000_000)
    assert len(jobs) == 2 * 2 * 2 * 3
    seeds = {(j.schedule, j.latency_ms): [j.seed for j in jobs if (j.schedule, j.latency_ms) == key] for j in jobs
             for key in [(j.schedule, j.latency_ms)]}  # fmt: skip
    assert len(seeds) == 4 and all(of == list(range(1_000_000, 1_000_006)) for of in seeds.values())


@pytest.mark.parametrize("latencies", ["fast", "-50", "0,0", "1e3", "", "0,20", "2050"])
def test_latencies_that_are_none_are_refused(latencies: str) -> None:
    with pytest.raises(InputError, match=r"--latency-ms .* multiples of 50, a control step"):
        latency_evaluation._latencies(latencies)


def test_latencies_are_in_order_so_that_a_curve_does_not_run_backwards() -> None:
    assert latency_evaluation._latencies("200,0,100") == [0, 100, 200]
    assert latency_evaluation._latencies(latency_evaluation.LATENCIES) == [0, 50, 100, 200, 400]


def test_all_schedules_are_those_that_the_policy_can_serve() -> None:
    assert latency_evaluation._schedules("all", CONTRACT.spec) == [name for name in STRATEGIES if name != "rtc"]
    with pytest.raises(InputError, match="rtc: this policy does not read"):
        latency_evaluation._schedules("replace,rtc", CONTRACT.spec)


@pytest.mark.slow
def test_the_command_writes_a_row_for_each_and_continues(tmp_path: Path) -> None:
    write_model(tmp_path / "model", switches=True)
    words = [
        "--latency-ms",
        "0,100",
        "--schedule",
        "replace,ensemble",
        "--tasks",
        "lamp_on",
        "--episodes",
        "1",
        "--films",
        "0",
    ]
    command = [sys.executable, "-m", "sim.evaluate", str(tmp_path / "model"), *words, "--processes", "1"]
    for _ in range(2):
        subprocess.run([*command, "--out", str(tmp_path / "out")], check=True, capture_output=True, timeout=300)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {name: [r["latency_ms"] for r in rows] for name, rows in report["schedules"].items()} == {
        "replace": [0, 100],
        "ensemble": [0, 100],
    }
    assert all(r["episodes"] == 1 for rows in report["schedules"].values() for r in rows)
    assert len((tmp_path / "out" / "episodes.jsonl").read_text().splitlines()) == 4
    page = (tmp_path / "out" / "index.html").read_text()
    assert "{{" not in page and page.count("<polyline") == 2
