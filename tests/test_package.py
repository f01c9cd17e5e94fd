"""What pip and colcon will find: packages, data files, names that agree."""

import ast
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the wheel and the sdist, built from a copy, so that nothing is left in the tree."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for name in ("policy", "sim", "console", "ros_nodes", "launch", "models", "resource"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "setup.py",
        "setup.cfg",
        "pyproject.toml",
        "package.xml",
        "README.md",
        "LICENSE",
        "MANIFEST.in",
        "requirements.txt",
    ):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--sdist", "--outdir", folder, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(built.glob("*.whl")))


def test_it_carries_code_types_and_data_but_no_tests(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    for wanted in (
        "policy/py.typed",
        "sim/py.typed",
        "ros_nodes/py.typed",
        "console/static/index.html",
        "console/static/uplot-LICENSE.txt",
        "policy/running/session.py",
        "policy/contracts/tabletop.yaml",
        "policy/recipes/chunk.yaml",
        "sim/worlds/tabletop/assets/tabletop.xml",
        "sim/assets/evaluation.html",
        "sim/worlds/tabletop/tasks/put.py",
    ):
        assert wanted in names
    assert not [n for n in names if n.split("/")[0] in ("tests", "models", "launch", "benchmarks")]


def shared(wheel: zipfile.ZipFile) -> set[str]:
    """Files of a wheel that pip installs below the environment's prefix."""
    return {n.split(".data/data/")[1] for n in wheel.namelist() if ".data/data/" in n}


def test_it_carries_what_a_ros_workspace_looks_for(wheel: zipfile.ZipFile) -> None:
    launch = {f"share/midstream/launch/{p.name}" for p in (ROOT / "launch").iterdir()}
    assert shared(wheel) >= launch | {
        "share/ament_index/resource_index/packages/midstream",
        "share/midstream/package.xml",
    }


def test_it_carries_the_shipped_models(wheel: zipfile.ZipFile) -> None:
    shipped = {f"share/midstream/{p.relative_to(ROOT)}" for p in (ROOT / "models").rglob("*") if p.is_file()}
    assert shipped and shared(wheel) >= shipped


def test_the_sdist_carries_all_that_the_wheel_does(wheel: zipfile.ZipFile, built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    plain = {n for n in wheel.namelist() if ".dist-info/" not in n and ".data/" not in n}
    assert names >= plain | {n.removeprefix("share/midstream/") for n in shared(wheel) if "ament_index" not in n}
    assert "resource/midstream" in names


def test_its_manifest_agrees(wheel: zipfile.ZipFile) -> None:
    manifest = ET.parse(ROOT / "package.xml").getroot()
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    assert f"Name: {manifest.findtext('name')}\n" in metadata
    assert all(f"Requires-Dist: {r}\n" in metadata for r in requirements()[""])
    assert f"Version: {manifest.findtext('version')}\n" in metadata
    assert manifest.findtext("export/build_type") == "ament_python"


def test_a_link_to_setup_py_in_another_folder_runs(tmp_path: Path) -> None:
    """As `colcon build --symlink-install` does."""
    (tmp_path / "setup.py").symlink_to(ROOT / "setup.py")
    done = subprocess.run([sys.executable, "setup.py", "--name"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "midstream"


def requirements() -> dict[str, list[str]]:
    """Requirements of setup.py: each extra's, and those of the package itself under an empty name."""
    source = ast.parse((ROOT / "setup.py").read_text())
    call = next(n.value for n in source.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call))
    keywords = {k.arg: k.value for k in call.keywords}
    extras: dict[str, list[str]] = ast.literal_eval(keywords["extras_require"])
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return extras | {"": [line for line in lines if not line.startswith("#")]}


@pytest.mark.parametrize(
    "extra, has, lacks", [("cpu", "onnxruntime", "onnxruntime-gpu"), ("gpu", "onnxruntime-gpu", "onnxruntime")]
)
def test_the_two_runtimes_are_extras_and_never_together(extra: str, has: str, lacks: str) -> None:
    needs = requirements()
    assert has in needs[extra] and lacks not in needs[extra]
    assert not [r for name, rs in needs.items() if name not in ("cpu", "gpu") for r in rs if r.startswith("onnxr")]


@pytest.mark.parametrize("heavy", ["mujoco", "mink", "gymnasium", "torch", "av", "matplotlib", "rich", "tqdm"])
def test_a_robot_installs_no_simulator_and_no_torch(heavy: str) -> None:
    needs = requirements()
    assert not [r for extra in ("", "cpu", "gpu", "ros") for r in needs[extra] if r.split("=")[0] == heavy]
