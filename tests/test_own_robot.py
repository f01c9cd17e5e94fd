"""The commands of docs/own-robot.md run as they stand there, and print what it shows."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from policy.robot.contract import load
from tests import small_robot as robot
from tests.small import shrink
from tests.small import write as write_recipe

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "own-robot.md").read_text()
COMMANDS = re.findall(r"^    (python -m .*)$", PAGE, re.MULTILINE)
SHOWN = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
MS = 10**6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bag that the page shows: 0.4 s of images are missing, and everything has a delay."""
    folder = tmp_path_factory.mktemp("robot")
    items = []
    for topic, message, ns in robot.moving(4):
        if topic == "/cam/image_raw":
            if not 1 < (ns - robot.START) / robot.SECOND < 1.39:
                items.append(("/camera/front/image_raw", message, ns + 4 * MS))
        else:
            items.append((topic, message, ns + (MS if topic == "/joint_states" else 0)))
    robot.record(folder / "bags" / "first", sorted(items, key=lambda item: item[2]))
    return folder


def run(command: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *shlex.split(command)[1:], *more]
    return subprocess.run(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_the_page_has_these_commands() -> None:
    modules = [command.split()[2] for command in COMMANDS]
    assert modules == [*["policy.check"] * 3, "policy.train", "policy.export", "ros_nodes.doctor", "policy.train"]
    assert len(SHOWN) == 2


@pytest.mark.slow
def test_check_suggest_and_check_again(folder: Path) -> None:
    """In the order of the page."""
    (folder / "my_robot.yaml").unlink(missing_ok=True)
    done = [run(command, folder) for command in COMMANDS[:3]]
    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    for printed, shown in ((done[0].stdout, SHOWN[0]), (done[2].stdout, SHOWN[1])):
        assert not [line for line in lines(shown) if line not in lines(printed)], printed
    assert load(folder / "my_robot.yaml").spec.action == robot.JOINTS


@pytest.mark.slow
def test_train_and_export(folder: Path) -> None:
    if not (folder / "my_robot.yaml").exists():
        run(COMMANDS[1], folder)
    recipe = write_recipe(folder / "small.yaml", shrink("chunk"))
    trained = run(COMMANDS[3].replace("--recipe chunk", f"--recipe {recipe}"), folder, "--samples", "8")
    assert trained.returncode == 0, trained.stderr
    assert "camera front has gaps" in trained.stderr
    exported = run(COMMANDS[4], folder)
    assert exported.returncode == 0, exported.stderr
    assert load(folder / "models" / "mine" / "contract.yaml") == load(folder / "my_robot.yaml")
    shutil.copytree(folder / "bags", folder / "new", ignore=shutil.ignore_patterns(".cache"))
    more = run(COMMANDS[6].replace("--recipe chunk", f"--recipe {recipe}"), folder, "--samples", "8")
    assert more.returncode == 0 and "done: 8 samples" in more.stdout, more.stderr


@pytest.mark.slow
def test_the_doctor(folder: Path) -> None:
    pytest.importorskip("rclpy", reason="install the extra `ros`")
    from tests.ros_tiny import Robot, bench

    if not (folder / "my_robot.yaml").exists():
        run(COMMANDS[1], folder)
    with bench() as stage:
        stage.robot = stage.add(Robot(stage.context, contract=str(folder / "my_robot.yaml")))
        done = subprocess.run(
            [sys.executable, *COMMANDS[5].split()[1:]],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "ROS_DOMAIN_ID": str(stage.domain.id)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/camera/front/image_raw" in done.stdout and "the policy would run" in done.stdout


def test_the_reference_has_all_keys_of_a_contract() -> None:
    """And no others."""
    from dataclasses import fields

    from policy.robot.commands import Command
    from policy.robot.contract import Contract, Labels
    from policy.robot.sources import Camera, Source

    page = (ROOT / "docs" / "reference" / "contract.md").read_text()
    for kind in (Contract, Camera, Source, Command, Labels):
        section = page.split(f"\n## {kind.__name__}\n")[1].split("\n## ")[0]
        rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
        keys = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
        assert keys == {field.name for field in fields(kind)}, kind.__name__


def test_contracts_in_the_docs_are_yaml() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
            assert yaml.safe_load(block)
