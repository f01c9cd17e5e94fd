"""Imports run one way, and what a robot runs imports no torch: read from the source, held by a test."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {"policy": {"policy"}, "sim": {"sim", "policy"}, "ros_nodes": {"ros_nodes", "sim", "policy"}}
LIGHT = (
    "policy.spec",
    "policy.robot.contract",
    "policy.robot.streams",
    "policy.running.text",
    "policy.running.session",
    "policy.running.schedule",
    "policy.running.safety",
    "policy.errors",
    "sim.evaluate",
    "sim.report",
    "sim.demo",
)
HEAVY = ("torch", "matplotlib", "accelerate", "onnx", "rclpy", "cv2")


def imports(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize(
    "path", sorted(p for top in ALLOWED for p in (ROOT / top).rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_imports_run_one_way(path: Path) -> None:
    top = path.relative_to(ROOT).parts[0]
    ours = imports(path) & {*ALLOWED, "tests", "benchmarks"}
    assert ours <= ALLOWED[top], f"{path} imports {ours - ALLOWED[top]}"
    if top != "ros_nodes":
        assert "rclpy" not in imports(path), "only ros_nodes imports rclpy"
    if top == "policy":
        assert not imports(path) & {"mujoco", "gymnasium"}, "policy knows no simulator"


@pytest.mark.parametrize("module", LIGHT)
def test_what_a_robot_runs_loads_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
