"""The Docker recipes: their lines run in order in an empty environment; all wheels but ROS exist for arm64 too.

Docker itself is not needed: the lines that `RUN` pip and Python run in a virtual environment, outside the checkout.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_package import requirements

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "docker").glob("*.Dockerfile"))
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
PLATFORMS += ("manylinux_2_34_aarch64",)
SYSTEM = {"robot": {"gcc", "g++", "libgl1", "libglib2.0-0"}}
SYSTEM["training"] = {"libegl1", "libegl-mesa0", "libgl1", "libglib2.0-0"}


def lines(recipe: Path, instruction: str) -> list[str]:
    text = recipe.read_text().replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)


def extras(recipe: Path) -> list[str]:
    (found,) = re.findall(r'"/midstream\[([\w,]+)\]"', recipe.read_text())
    return found.split(",")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.name)
def test_it_installs_what_there_is(recipe: Path) -> None:
    assert lines(recipe, "FROM") == ["python:3.11-slim-bookworm"] and lines(recipe, "COPY") == [". /midstream"]
    assert set(extras(recipe)) <= requirements().keys()
    first, *others = lines(recipe, "RUN")
    (packages,) = re.findall(r"--no-install-recommends (.*?) && rm", first)
    assert set(packages.split()) == SYSTEM[recipe.name.split(".")[0]]
    assert all(line.split()[0] in ("pip", "python") for line in others)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv*", "runs", "bags"} <= set(ignored) and "models" not in ignored


@pytest.mark.heavy
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.name)
def test_its_lines_run_in_an_empty_environment(recipe: Path, tmp_path: Path) -> None:
    """As the container has it: Python alone, and the checkout at another place; then its CMD starts."""
    environment, checkout = tmp_path / "environment", tmp_path / "midstream"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (checkout / name).write_bytes((ROOT / name).read_bytes())
    for line in lines(recipe, "RUN")[1:]:
        program, *arguments = shlex.split(line.replace("/midstream", str(checkout)))
        if "train" in extras(recipe) and program == "pip":
            arguments += ["torch==2.13.0"] * any("[" in a for a in arguments)  # as `make` pins it: no GPU here
        done = subprocess.run([environment / "bin" / program, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    work = tmp_path / "work"
    work.mkdir()
    try_it = {
        "robot": "import ros_nodes.policy_node, ros_nodes.safety_node, ros_nodes.recorder_node, midstream_msgs.action;"
        "from policy.running.session import Session; print(Session('tabletop').provider)",
        "training": "import policy.train, policy.export, sim.evaluate; from policy.running.session import Session;"
        "print(Session('tabletop').provider)",
    }[recipe.name.split(".")[0]]
    done = subprocess.run([environment / "bin" / "python", "-c", try_it], cwd=work, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip().endswith("cpu"), done.stderr


@pytest.mark.heavy
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.name)
def test_every_wheel_exists_for_arm64(recipe: Path, tmp_path: Path) -> None:
    """pip finds what the recipe asks for on another platform than this, as wheels; what those need is not followed."""
    needs = requirements()
    wanted = sorted({r for name in ("", *extras(recipe)) if name != "ros" for r in needs[name]})
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(tmp_path)]
    command += ["--python-version", "3.11", "--implementation", "cp", *platforms]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list(tmp_path.glob("*.whl"))) == len(wanted)
