"""Marks the tests of each tier, so that `make check` runs only what is fast.

ros    over real DDS: the file imports rclpy, or a module of the tests that does
slow   by hand, in the test's file: training, rendering or whole evaluations
heavy  by hand, too: only in `make test-all`
"""

import re
from functools import cache
from pathlib import Path

import pytest

import sim.headless  # noqa: F401  it chooses how MuJoCo renders, whichever test imports MuJoCo first

TESTS = Path(__file__).parent


@cache
def over_dds(path: Path) -> bool:
    """Whether a file runs nodes, by itself or by what it imports of the tests."""
    text = path.read_text()
    if re.search(r'^(from|import) rclpy|^(rclpy = )?pytest\.importorskip\("rclpy"', text, re.MULTILINE):
        return True
    files = (TESTS / f"{name}.py" for name in re.findall(r"^from tests\.((?!test_)\w+) import", text, re.MULTILINE))
    return any(over_dds(file) for file in files)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if over_dds(item.path):
            item.add_marker(pytest.mark.ros)
