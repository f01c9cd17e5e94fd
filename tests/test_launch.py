"""What a launch file names must exist: read from the files, as `ros2 launch` is not needed for it."""

import ast
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from policy.robot import contract as contracts

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "launch").glob("*.launch.xml"))
EVERYWHERE = {"use_sim_time"}  # rclpy declares it in each node


def scripts() -> dict[str, str]:
    """Executable -> module, from the list in setup.py and its pattern."""
    source = (ROOT / "setup.py").read_text()
    assert 'f"{node} = ros_nodes.{node}:main"' in source
    names = re.search(r"for node in\s*\(([^)]*)\)", source)
    assert names
    return {name: f"ros_nodes/{name}.py" for name in re.findall(r'"(\w+)"', names[1])}


def parameters(module: str) -> dict[str, object]:
    """Parameter -> default of all `declare("name", default, "description", ...)` of a node."""
    found: dict[str, object] = {}
    for call in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "declare":
            assert len(ast.unparse(call.args[2])) > 10, "describe every parameter"
            found[ast.literal_eval(call.args[0])] = ast.literal_eval(call.args[1])
    return found


def test_there_is_one_for_each_use() -> None:
    assert [f.name.split(".")[0] for f in FILES] == ["live", "record", "replay", "sim"]


@pytest.mark.parametrize("module", sorted(scripts().values()))
def test_every_executable_has_a_main(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text())
    assert "main" in [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_what_it_names_exists(path: Path) -> None:
    tree = ET.parse(path)
    arguments = {a.attrib["name"]: a.attrib for a in tree.iter("arg")}
    assert all(len(a.get("description", "")) > 10 for a in arguments.values()), "describe every argument"
    used = set(re.findall(r"\$\(var (\w+)\)", path.read_text()))
    assert used == set(arguments), "every argument is used and every one used is declared"
    for file in re.findall(r"\$\(find-pkg-share midstream\)/([\w./]+)", path.read_text()):
        assert (ROOT / file).is_file()
    nodes = list(tree.iter("node"))
    assert nodes
    for node in nodes:
        assert node.attrib["pkg"] == "midstream"
        known = parameters(scripts()[node.attrib["exec"]])
        for param in node.iter("param"):
            if "name" in param.attrib:
                assert param.attrib["name"] in known.keys() | EVERYWHERE
        source = (ROOT / scripts()[node.attrib["exec"]]).read_text()
        for remap in node.iter("remap"):
            assert f'"{remap.attrib["from"]}"' in source


def test_the_parameter_file_fits_the_nodes() -> None:
    for name, section in yaml.safe_load((ROOT / "launch" / "params.yaml").read_text()).items():
        known = parameters(scripts()[name.rsplit("/", 1)[1]])
        for key, value in section["ros__parameters"].items():
            assert key in known and type(value) is type(known[key])
            assert value == known[key], "the file shows the defaults"


def test_every_package_that_the_nodes_import_is_in_the_manifest() -> None:
    manifest = {e.text for e in ET.parse(ROOT / "package.xml").getroot().iter("exec_depend")}
    imported = set()
    for path in (ROOT / "ros_nodes").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    assert {p for p in imported if p.endswith(("_msgs", "_srvs", "_interfaces"))} | {"rclpy"} <= manifest


def test_the_layout_for_foxglove_shows_topics_of_the_stack_and_none_whose_listeners_are_counted() -> None:
    layout = json.loads((ROOT / "launch" / "foxglove.json").read_text())
    placed: list[str] = []

    def walk(part: str | dict[str, Any]) -> None:
        if isinstance(part, str):
            placed.append(part)
        else:
            walk(part["first"])
            walk(part["second"])

    walk(layout["layout"])
    assert sorted(placed) == sorted(layout["configById"])
    asked = set(re.findall(r'"(/[^". ]+)', json.dumps(layout["configById"])))
    contract = contracts.load("tabletop")
    sensors = {f"/{one.topic}" for one in (*contract.cameras.values(), *contract.state)}
    assert asked == sensors | {"/policy_node/status", "/safety_node/status", "/diagnostics", "/planned_path"}
    joints = contract.state[0].joints
    labels = [path["label"] for path in layout["configById"]["Plot!joints"]["paths"]]
    assert labels == list(joints[: len(labels)])
