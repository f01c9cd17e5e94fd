"""`make demo-ros` with a policy of a few hundred bytes: the stack runs, records, and its recording trains."""

import subprocess
import sys
from pathlib import Path

import pytest

from policy.data.bag_files import find_bags
from policy.data.episodes import read_episodes
from policy.robot.contract import load
from tests.tiny import write_model

pytest.importorskip("rclpy", reason="install the extra `ros`")
ROOT = Path(__file__).parent.parent


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ros_nodes.demo", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_the_stack_records_what_can_be_trained_on(tmp_path: Path) -> None:
    write_model(tmp_path / "model", ramp=0.005)
    done = demo("--model", tmp_path / "model", "--out", tmp_path / "out", "--seed", 1_000_003)
    assert done.returncode == 0, done.stdout + done.stderr
    (out,) = (tmp_path / "out").iterdir()
    first, second = (read_episodes(bag, load("tabletop"))[0] for bag in find_bags(out / "bags"))
    assert first.instruction != second.instruction and second.stamps[0] > first.stamps[-1]
    assert f"{first.instruction}\n" in done.stdout and "gave up" in done.stdout  # honest about failures
    assert len(second.stamps) > 100
    # the tiny policy moves the first joint on and on, and so does the recorded action
    assert second.actions[-1, 0] > second.actions[0, 0] and second.state[-1, 0] > second.state[0, 0]
    assert list((out / "run").glob("checkpoint-*/weights.safetensors"))


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    done = demo("--model", tmp_path / "model", "--out", tmp_path / "out")
    assert done.returncode == 2 and "no model folder at" in done.stderr and not (tmp_path / "out").exists()
