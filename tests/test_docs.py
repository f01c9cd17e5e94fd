"""The site is built without warnings, links included, and loads nothing from elsewhere."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="install the extra `docs`")
ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_site_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "faq.html", "running.html"} <= {page.name for page in pages}
    loaded = r'<(?:script|img|iframe)[^>]* src="?(?:https?:)?//[^"> ]*|<link[^>]* href="?(?:https?:)?//[^"> ]*'
    assert not [found for page in pages for found in re.findall(loaded, page.read_text())]


def test_the_functions_that_the_architecture_names_exist() -> None:
    known: set[str] = set()
    for path in (p for top in ("policy", "sim", "ros_nodes") for p in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                known |= {f"{node.name}.{f.name}" for f in node.body if isinstance(f, ast.FunctionDef)} | {node.name}
            elif isinstance(node, ast.FunctionDef):
                known |= {node.name, f"{path.stem}.{node.name}"}
    page = (ROOT / "docs" / "architecture.md").read_text()
    steps = re.findall(r"^\| \d+ \| `([\w.]+)`", page, re.MULTILINE)
    named = set(re.findall(r"`([A-Z]\w+(?:\.\w+)?)(?:\(\))?`", page)) - {"JointTrajectory"}
    assert len(steps) > 20 and {*steps, *named} <= known


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_pages_beside_the_site_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text()):
        assert target.startswith("http") or (ROOT / target).exists(), f"{page} links to {target}"
