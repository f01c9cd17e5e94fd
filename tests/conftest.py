"""Marks the tests of each tier, so that `make check` runs only what is fast.

live   in real time: the file imports rclpy, playwright or websockets, or a module of the tests that does
slow   by hand, in the test's file: training, rendering or whole evaluations
heavy  by hand, too: only in `make test-all`
"""

import re
from functools import cache
from pathlib import Path

import pytest

import sim.headless  # noqa: F401  it chooses how MuJoCo renders, whichever test imports MuJoCo first

TESTS = Path(__file__).parent
REAL_TIME = re.compile(
    r'^((from|import) |(rclpy = )?pytest\.importorskip\(")(rclpy|playwright|websockets)\b', re.MULTILINE
)


@cache
def in_real_time(path: Path) -> bool:
    """Whether a file waits for nodes, a browser or a socket, by itself or by what it imports of the tests."""
    text = path.read_text()
    if REAL_TIME.search(text):
        return True
    files = (TESTS / f"{name}.py" for name in re.findall(r"^from tests\.((?!test_)\w+) import", text, re.MULTILINE))
    return any(in_real_time(file) for file in files)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if in_real_time(item.path):
            item.add_marker(pytest.mark.live)
