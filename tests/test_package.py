"""What pip and colcon will find: packages, data files, names that agree."""

import ast
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy, so that nothing is left in the tree."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for name in ("policy", "sim", "ros_nodes", "launch", "resource"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "package.xml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(folder),
            str(source),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_it_carries_code_and_data_but_neither_tests_nor_models(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    for wanted in (
        "policy/running/session.py",
        "policy/contracts/tabletop.yaml",
        "sim/assets/tabletop.xml",
        "sim/assets/report.html",
        "sim/tasks/put.py",
    ):
        assert wanted in names
    assert not [n for n in names if n.split("/")[0] in ("tests", "models", "launch", "benchmarks")]


def test_it_carries_what_a_ros_workspace_looks_for(wheel: zipfile.ZipFile) -> None:
    shared = [n.split(".data/data/")[1] for n in wheel.namelist() if ".data/data/" in n]
    assert "share/ament_index/resource_index/packages/midstream" in shared
    assert "share/midstream/package.xml" in shared


def test_its_manifest_agrees(wheel: zipfile.ZipFile) -> None:
    manifest = ET.parse(ROOT / "package.xml").getroot()
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    assert f"Name: {manifest.findtext('name')}\n" in metadata
    assert f"Version: {manifest.findtext('version')}\n" in metadata
    assert manifest.findtext("export/build_type") == "ament_python"


@pytest.mark.parametrize(
    "extra, has, lacks", [("cpu", "onnxruntime", "onnxruntime-gpu"), ("gpu", "onnxruntime-gpu", "onnxruntime")]
)
def test_the_two_runtimes_are_extras_and_never_together(extra: str, has: str, lacks: str) -> None:
    source = ast.parse((ROOT / "setup.py").read_text())
    call = next(n.value for n in source.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call))
    keywords = {k.arg: k.value for k in call.keywords}
    extras = ast.literal_eval(keywords["extras_require"])
    assert has in extras[extra] and lacks not in extras[extra]
    base = ast.literal_eval(keywords["install_requires"])
    assert not [r for r in base if r.startswith(("onnxruntime", "torch"))]
