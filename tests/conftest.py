"""Tests over real DDS are tried again: processes and a network on a loaded machine may miss a second now and then.

A test that fails three times in a row fails; pytest's summary names those that were tried again.
"""

import re
from functools import cache
from pathlib import Path

import pytest


@cache
def _over_dds(path: Path) -> bool:
    uses = r'^from tests\.(ros_tiny|faults_stand) import|^pytest\.importorskip\("rclpy"'
    return bool(re.search(uses, path.read_text(), re.MULTILINE))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _over_dds(item.path):
            item.add_marker(pytest.mark.flaky(reruns=2))
