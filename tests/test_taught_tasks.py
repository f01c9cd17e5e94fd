"""Of a world's tasks a policy is asked for those that it was taught."""

from pathlib import Path

import pytest

from policy.running.session import Session
from sim.taught_tasks import asked, taught
from sim.worlds.tabletop.tasks import TASKS
from tests.tiny import write_model


def test_the_shipped_policy_is_not_asked_for_a_task_that_is_younger(capsys: pytest.CaptureFixture[str]) -> None:
    session = Session("tabletop", 1, "cpu")
    assert taught(TASKS, session) == [name for name in TASKS if name != "stack_blue_on_red"]
    assert asked(TASKS, session) == taught(TASKS, session)
    assert capsys.readouterr().err == "left out, as the policy was not taught it: stack_blue_on_red\n"


@pytest.mark.parametrize("switches", [False, True])
def test_one_that_does_not_know_or_has_other_names_is_asked_for_all(tmp_path: Path, switches: bool) -> None:
    write_model(tmp_path / "model", switches=switches)
    assert taught(TASKS, Session(tmp_path / "model", 1, "cpu")) == list(TASKS)
