"""Marks the tests of each tier, so that `make check` runs only what is fast.

ros    over real DDS: the file imports rclpy, or a scaffold that does
slow   by hand, in the test's file: training, rendering or whole evaluations
"""

import re
from functools import cache
from pathlib import Path

import pytest


@cache
def over_dds(path: Path) -> bool:
    """Whether a test file runs nodes."""
    uses = r'^from tests\.(ros_tiny|faults_stand|fault_runs) import|^pytest\.importorskip\("rclpy"'
    return bool(re.search(uses, path.read_text(), re.MULTILINE))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if over_dds(item.path):
            item.add_marker(pytest.mark.ros)
