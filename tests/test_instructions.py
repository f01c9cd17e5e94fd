"""The instructions that hold the arm and that resume the unfinished one."""

import time

import pytest

from policy.robot.instructions import continues, stops


@pytest.mark.parametrize(
    "text", ["continue", "Continue", " continue. ", "CONTINUE...", "\tcontinue\n", "please go on", "carry on, robot"]
)
def test_continue_is_recognised_in_any_case_and_punctuation(text: str) -> None:
    assert continues(text) and not stops(text)


@pytest.mark.parametrize(
    "text", ["", ".", "continue to the drawer", "discontinue", "open the drawer", "don't continue"]
)
def test_an_instruction_that_names_a_task_is_not_continue(text: str) -> None:
    assert not continues(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "no, stop!",
            "wait, stop!",
            "stop, wait",
            "hold on, stop",
            "stop, hold still",
            "stop right away",
            "no. Halt.",
        ),
        *(
            "stop the motion",
            "do not move anymore",
            "don\u00b4t move",
            "stop and wait",
            "stop - stop",
            "No, no, please stop",
        ),
        *("stop", "Stop!", "STOP STOP STOP", "stop, please", "stop right there", "stop moving", "could you stop"),
        *("wait", "wait a moment", "wait for a second", "hold", "hold on", "Hold it!", "hold still", "halt", "pause"),
        *(
            "don't move",
            "don\u2019t move",
            "stay where you are",
            "freeze",
            "that's enough now",
            "stop what you're doing",
        ),
    ],
)
def test_stop_is_recognised_in_its_plain_variants(text: str) -> None:
    assert stops(text) and not continues(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "!", "the", "you", "it", "open the drawer", "get the lamp to stop shining", "hold the red block"),
        *(
            "stop the lamp",
            "do not stop",
            "don't wait",
            "put the block on the bus stop",
            "no light",
            "wait, open it up",
        ),
    ],
)
def test_an_instruction_that_names_more_is_not_stop(text: str) -> None:
    assert not stops(text)


def test_what_is_too_long_for_an_instruction_is_neither_and_read_in_no_time() -> None:
    """While it is read, nobody watches the sensors of a robot."""
    began = time.process_time()
    for text in ("stop " * 20_000, "now " * 250 + "stop", "continue " * 20_000):
        assert not stops(text) and not continues(text)
    assert time.process_time() - began < 0.05
