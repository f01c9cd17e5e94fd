"""The instruction that resumes the unfinished one."""

import pytest

from policy.robot.instructions import continues


@pytest.mark.parametrize("text", ["continue", "Continue", " continue. ", "CONTINUE...", "\tcontinue\n"])
def test_continue_is_recognised_in_any_case_and_punctuation(text: str) -> None:
    assert continues(text)


@pytest.mark.parametrize("text", ["", ".", "continue to the drawer", "discontinue", "open the drawer"])
def test_an_instruction_that_names_a_task_is_not_continue(text: str) -> None:
    assert not continues(text)
