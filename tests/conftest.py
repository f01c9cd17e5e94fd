"""Marks the tests of each tier, so that `make check` runs only what is fast.

live   in real time: the file imports rclpy, playwright or websockets, or a module of the tests that does
slow   by hand, in the test's file: training, rendering or whole evaluations
heavy  by hand, too: only in `make test-all`
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def classifier_once() -> Iterator[None]:
    """The same few sentences are taught to many policies: what tells them from others is learnt once a process.

    And briefly: policies of a few steps are asked for what they were taught, word for word.
    """
    from policy.learning import instruction_classifier

    learn = instruction_classifier.train

    @cache
    def once(pairs: tuple[tuple[str, str], ...], epochs: int) -> dict[str, Any]:
        return learn(list(pairs), instruction_classifier.Text())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instruction_classifier, "EPOCHS", 3)
        patch.setattr(
            instruction_classifier, "train", lambda pairs, _: once(tuple(pairs), instruction_classifier.EPOCHS)
        )
        yield
