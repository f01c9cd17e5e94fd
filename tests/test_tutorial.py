"""The commands of docs/tutorial.md run as they stand there, in their order, and lead to a policy that moves the arm."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from policy.robot.contract import load

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
COMMANDS = re.findall(r"^    (python -m .*)$", PAGE, re.MULTILINE)
SIM, RECORD, LOOK, SUGGEST, CHECK, TRAIN, EXPORT, REPLAYED, REPLAY, DOCTOR, SAFETY, POLICY, EVALUATE = COMMANDS
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PATIENT = 120.0  # s for what takes a few: other work may have the machine


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the commands are given, and a ROS domain of its own."""
    pytest.importorskip("rclpy", reason="install the extra `ros`")
    from ros_nodes.domain import claim_domain

    folder, domain = tmp_path_factory.mktemp("bench"), claim_domain()
    own = {"ROS_DOMAIN_ID": str(domain.id), "ROS_HOME": str(folder / "ros"), "PYTHONPATH": str(ROOT)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (own | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}).items():
            patch.setenv(name, value)
        yield folder
    domain.release()


def words(command: str) -> list[str]:
    return [sys.executable, *shlex.split(command)[1:]]


def run(command: str | list[str], folder: Path, seconds: float | None = None) -> str:
    """Run to the end; what it printed."""
    given = words(command) if isinstance(command, str) else command
    done = subprocess.run(given, cwd=folder, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def running(*commands: str, folder: Path) -> Iterator[None]:
    """Nodes, each in its terminal, which are ended in the end; what they printed is in <number>.log."""
    with ExitStack() as stack:
        started = []
        for i, command in enumerate(commands):
            log = stack.enter_context((folder / f"{i}.log").open("w"))
            started.append(subprocess.Popen(words(command), cwd=folder, stdout=log, stderr=log))
        try:
            yield
            for i, process in enumerate(started):
                assert process.poll() is None, (folder / f"{i}.log").read_text()
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(PATIENT)


def test_the_page_has_these_commands() -> None:
    expected = ["ros_nodes.sim_node", "sim.record", *["policy.check"] * 3, "policy.train", "policy.export"]
    expected += [f"ros_nodes.{n}" for n in ("policy_node", "replay_node", "doctor", "safety_node", "policy_node")]
    assert [command.split()[2] for command in COMMANDS] == [*expected, "sim.evaluate"]
    compile(PROGRAM, "the program of the page", "exec")


def test_files_that_the_page_names_exist() -> None:
    for name in re.findall(r"`((?:launch|docker)/[\w./]+)`", PAGE):
        assert (ROOT / name).is_file(), name


@pytest.mark.heavy
def test_from_the_topics_to_a_contract(bench: Path) -> None:
    run(RECORD, bench)
    looked = run(LOOK, bench)
    assert "/follower/joint_states" in looked and "6 joints: shoulder_pan" in looked
    run(SUGGEST, bench)
    run(CHECK, bench)
    assert load(bench / "my_robot.yaml").spec.action == load("desk_arm").spec.action


@pytest.mark.heavy
def test_from_the_bags_to_a_policy(bench: Path) -> None:
    run(TRAIN, bench)
    run(EXPORT, bench)
    assert load(bench / "models" / "mine" / "contract.yaml") == load(bench / "my_robot.yaml")


@pytest.mark.heavy
def test_what_it_would_have_done(bench: Path) -> None:
    with running(REPLAYED, folder=bench):
        run(REPLAY, bench, PATIENT)
    report = json.loads((bench / "replay.json").read_text())
    assert report["points"] > 3 and max(joint["mean"] for joint in report["joints"].values()) < 0.15, report


@pytest.mark.heavy
def test_it_runs_on_the_robot(bench: Path) -> None:
    with running(SIM, folder=bench):
        assert "the policy would run" in run(DOCTOR, bench, PATIENT)
    with running(SIM, SAFETY, POLICY, folder=bench):
        said = run([sys.executable, "-c", PROGRAM], bench, PATIENT)
    assert "commanding: touch the red block" in said and said.split()[-1] == "cancelled"


@pytest.mark.heavy
def test_how_good_it_is(bench: Path) -> None:
    run(EVALUATE, bench)
    report = json.loads((bench / "out" / "eval" / "report.json").read_text())
    assert {name: task["episodes"] for name, task in report["tasks"].items()} == {"touch_red": 20, "touch_blue": 20}
    print(f"success {report['mean']:.0%}")  # what 15 minutes give depends on the machine
