"""Imports run one way, torch and the simulator stay where they belong, files stay small: read from the source."""

import ast
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOPS = ("policy", "sim", "console", "ros_nodes")
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for top in TOPS
    for path in sorted((ROOT / top).rglob("*.py"))
}
# What each part may import of ours, besides itself. A part is a room of `policy`, one of its files, or a top folder.
LEAVES = {"policy.errors", "policy.folders", "policy.ranges", "policy.spec", "policy.strict_yaml"}
ROOMS = {f"policy.{room}" for room in ("robot", "running", "data", "switching", "looking", "learning")}
MAY_IMPORT = {
    "policy.errors": set(),
    "policy.folders": {"policy.errors"},
    "policy.ranges": {"policy.errors"},
    "policy.spec": {"policy.errors", "policy.ranges"},
    "policy.strict_yaml": {"policy.errors"},
    "policy.robot": LEAVES,
    "policy.running": LEAVES | {"policy.robot"},
    "policy.data": LEAVES | {"policy.robot"},
    "policy.switching": LEAVES | {"policy.robot"},
    "policy.looking": LEAVES | {"policy.robot", "policy.data"},
    "policy.learning": LEAVES | ROOMS,
    "policy.train": LEAVES | ROOMS,
    "policy.export": LEAVES | ROOMS,
    "policy.quantize": LEAVES | ROOMS,
    "policy.check": LEAVES | ROOMS - {"policy.learning"},
    "policy.synthesise": LEAVES | ROOMS - {"policy.learning"},
    "policy.look": LEAVES | {"policy.robot", "policy.data", "policy.looking"},
    "policy.serve": LEAVES | {"policy.running"},
    "policy.convert": LEAVES | ROOMS - {"policy.learning"},
    "policy": set(),
    "sim": {"policy"},
    "console": {"sim", "policy"},
    "ros_nodes": {"console", "sim", "policy"},
}
WORLDS = {f"sim.worlds.{path.parent.name}" for path in (ROOT / "sim" / "worlds").glob("*/world.py")}
WITH_TORCH = ("policy.learning", "policy.train", "policy.export")
SIMULATED = ("ros_nodes.sim_node", "ros_nodes.demo", "ros_nodes.demo_stack", "ros_nodes.path_node")  # they need a world
WITH_A_PAGE = ("ros_nodes.console_node", "ros_nodes.console_robot")  # they need the extra `console`
ON_A_ROBOT = [
    name
    for name in FILES
    if name.startswith(("policy.robot", "policy.running", "ros_nodes")) and not name.startswith(SIMULATED + WITH_A_PAGE)
]
LIGHT = ["sim.evaluate", "sim.report", "sim.demo"]
INSTALLED_AS = {"cv2": "opencv-python", "yaml": "pyyaml", "backports": "backports.zstd"}


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules that a file imports anywhere, inside functions too; `from a import b` is a, and a.b if it is a file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            files = inside & FILES.keys()
            found |= files or {node.module}
    return frozenset(found)


def part(module: str) -> str:
    """The part of the house that a module of ours belongs to."""
    return max((p for p in MAY_IMPORT if module == p or module.startswith(p + ".")), key=len)


def world(module: str) -> str:
    """The world whose folder a module lies in, "" outside of all."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["sim", "worlds"] and "sim.worlds." + ".".join(parts[2:3]) in WORLDS else ""


def ours(module: str) -> bool:
    return module.split(".")[0] in (*TOPS, "tests", "benchmarks", "launch")


@pytest.mark.parametrize("module", FILES)
def test_imports_run_one_way(module: str) -> None:
    here = part(module)
    assert here != "policy" or module == "policy", f"{module}: name the part in MAY_IMPORT"
    for imported in filter(ours, imports(FILES[module])):
        assert imported.split(".")[0] in TOPS, f"{module} imports {imported}"
        there = part(imported)
        allowed = MAY_IMPORT[here] | {here}
        assert there in allowed or there.split(".")[0] in allowed, f"{module} imports {imported}"


SHARED = ("sim.worlds.interface", "sim.worlds.cameras", "sim.worlds.film")  # what worlds have in common


@pytest.mark.parametrize("module", FILES)
def test_a_world_is_reached_through_the_registry_alone(module: str) -> None:
    """Nothing outside a world's folder imports it, and it imports neither another world nor what plays it."""
    here = world(module)
    for imported in filter(ours, imports(FILES[module])):
        assert world(imported) in ("", here), f"{module} imports {imported}"
        if here:
            assert imported.startswith((f"sim.worlds.{here}", *SHARED, "policy.")), imported


@pytest.mark.parametrize("module", FILES)
def test_torch_rclpy_and_simulators_stay_in_their_rooms(module: str) -> None:
    others = {name.split(".")[0] for name in imports(FILES[module])}
    if not module.startswith(WITH_TORCH):
        assert "torch" not in others
    if not module.startswith("ros_nodes"):
        assert "rclpy" not in others
    if not module.startswith("sim"):
        assert not others & {"mujoco", "gymnasium", "mink"}


def test_what_a_robot_imports_is_in_its_requirements() -> None:
    """Followed from file to file, so that what a robot's modules need of `policy.data` counts too."""
    reached, ahead = set(), list(ON_A_ROBOT)
    while ahead:
        module = ahead.pop()
        if module in reached or module not in FILES:
            continue
        reached.add(module)
        ahead += [name for name in imports(FILES[module]) if ours(name)]
    outside = {name.split(".")[0] for module in reached for name in imports(FILES[module]) if not ours(name)}
    outside -= sys.stdlib_module_names | {"compression"}  # of the standard library from 3.14
    outside -= {"onnxruntime", "msgpack", "websockets"}  # the extras cpu and gpu, serve
    outside = {name for name in outside if not name.endswith(("_msgs", "_srvs", "_interfaces")) and name != "rclpy"}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert outside and {INSTALLED_AS.get(name, name) for name in outside} <= {line.split(";")[0] for line in lines}


@pytest.mark.parametrize(
    "modules, never",
    [
        (ON_A_ROBOT, ("torch", "mujoco", "gymnasium", "mink", "matplotlib", "accelerate", "onnx", "cv2")),
        (LIGHT, ("torch", "matplotlib", "accelerate", "onnx", "rclpy", "cv2")),
    ],
    ids=["robot", "simulation"],
)
def test_what_is_run_loads_nothing_heavy(modules: list[str], never: tuple[str, ...]) -> None:
    if "ros_nodes.bridge" in modules:
        pytest.importorskip("rclpy", reason="install the extra `ros`")
    code = f"import sys, {', '.join(modules)}; print([m for m in {never} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_files_are_small() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert statistics.median(lines.values()) <= 120
    assert not {name: count for name, count in lines.items() if count > 350}
