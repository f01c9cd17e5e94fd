"""The simulated robot behind the console, without a browser: what is refused, what a stop holds, what is committed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from console.backend import State
from console.committed import Committed
from console.journal import Journal
from console.scene import Scene
from console.simulation import Simulation
from policy.errors import InputError
from policy.running.session import Session
from sim.worlds.tabletop.world import Tabletop
from tests.console_rig import until
from tests.tiny import write_model

CHOSEN: dict[str, Any] = {
    "world": "tabletop",
    "seed": 1_000_000,
    "task": "",
    "latency_ms": 0.0,
    "schedule": "",
    "shift": "none",
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("console") / "model"
    write_model(folder, ramp=0.002, switches=True)
    return Session(folder, threads=1)


@pytest.fixture(scope="module")
def shared(session: Session) -> Iterator[Simulation]:
    simulation = Simulation(session, Scene("tabletop", 1_000_000), "tiny")
    yield simulation
    simulation.close()


@pytest.fixture
def robot(shared: Simulation) -> Simulation:
    """At the beginning, with somebody who watches."""
    shared.feed.watched = True
    shared.commands["reset"]()
    shared.commands["scene"](**CHOSEN)
    return shared


def seen(robot: Simulation, what: Any, why: str) -> State:
    """Wait until a state is so, and return it."""
    found: list[State] = []

    def look() -> bool:
        state, _ = robot.feed.take()
        found[:] = [state] if state is not None and what(state) else []
        return bool(found)

    until(look, why)
    return found[0]


@pytest.mark.parametrize(
    "key, value, says",
    [
        ("world", "moon", "unknown world"),
        ("world", "two_arms", "unknown world"),
        ("world", "gym:this:X-v0", "unknown world"),
        ("task", "juggle", "unknown task"),
        ("seed", -1, "expected 0 to"),
        ("latency_ms", 1e6, "a multiple of 50, a control step, from 0 to 2000"),
        ("latency_ms", 120.0, "a multiple of 50"),
        ("schedule", "sometimes", "unknown schedule"),
        ("schedule", "rtc", "does not read what is committed"),
        ("shift", "all", "unknown shift"),
    ],
)
def test_what_cannot_be_simulated_is_refused_and_all_goes_on(
    robot: Simulation, key: str, value: object, says: str
) -> None:
    robot.commands["instruct"](text="open the drawer")
    before = seen(robot, lambda s: s.serves, "it works")
    with pytest.raises(InputError, match=says):
        robot.commands["scene"](**(CHOSEN | {key: value}))
    seen(robot, lambda s: s.serves and s.time > before.time + 0.1, "it goes on")


def test_only_worlds_of_this_robot_are_offered(robot: Simulation) -> None:
    choices = robot.description()["choices"]
    assert list(choices["worlds"]) == ["tabletop"]
    assert "open_drawer" in choices["worlds"]["tabletop"]["tasks"] and "rtc" not in choices["schedules"]


def test_a_scene_is_begun_as_it_is_chosen(robot: Simulation) -> None:
    before = robot._world.layout().copy()  # type: ignore[union-attr]  # it is there once the robot is
    robot.commands["scene"](**(CHOSEN | {"seed": 1_000_001}))
    assert np.abs(robot._world.layout() - before).max() > 0.01  # type: ignore[union-attr]
    robot.commands["scene"](**CHOSEN)
    np.testing.assert_allclose(robot._world.layout(), before, atol=0.02)  # type: ignore[union-attr]


def test_committed_is_what_the_controllers_will_do_and_planned_goes_further(robot: Simulation) -> None:
    robot.commands["instruct"](text="open the drawer")
    state = seen(robot, lambda s: len(s.planned.times) > 8 and len(s.committed.times) > 3, "there are curves")
    assert state.executed is not None and state.paths is not None
    assert 0 <= state.committed.times[0] <= 0.1 <= state.committed.times[-1] <= 0.3 < state.planned.times[-1]
    assert state.committed.values.shape == (len(state.committed.times), 8) and np.isfinite(state.committed.values).all()
    np.testing.assert_allclose(state.committed.values[0], state.executed, atol=0.1)
    assert state.paths["front"].shape == (len(state.planned.times), 2)
    assert set(state.figures or {}) >= {"real time", "inference", "instruction to chunk"}


def test_a_stop_is_latched_until_reset_whatever_is_asked_for(robot: Simulation) -> None:
    robot.commands["instruct"](text="open the drawer")
    seen(robot, lambda s: s.serves, "it works")
    robot.commands["emergency_stop"]()
    seen(robot, lambda s: s.stopped and not s.instruction and not s.serves, "it is stopped")
    for command, fields in (("instruct", {"text": "open the drawer"}), ("continue", {}), ("scene", CHOSEN)):
        with pytest.raises(InputError, match="reset it first"):
            robot.commands[command](**fields)
    robot.commands["reset"]()
    state = seen(robot, lambda s: not s.stopped, "the stop is over")
    later = seen(robot, lambda s: s.time > state.time + 0.3, "time goes on")
    assert not later.instruction and later.idle and not later.refused and not later.faults
    np.testing.assert_allclose(later.executed, state.executed, atol=2e-3)


def test_stop_holds_what_a_person_drives(robot: Simulation) -> None:
    robot.commands["take_over"]()
    begun = seen(robot, lambda s: s.corrected and s.executed is not None, "a person is in control")

    def driven() -> bool:
        robot.commands["move"](joint="panda_joint2", share=1.0)
        state, _ = robot.feed.take()
        return state is not None and abs(state.executed[1] - begun.executed[1]) > 0.02

    until(driven, "the person moves a joint")
    robot.commands["stop"]()
    with pytest.raises(InputError, match="take over first"):
        robot.commands["move"](joint="panda_joint2", share=1.0)
    seen(robot, lambda s: not s.corrected, "it is shown")


def test_a_push_moves_the_arm_and_not_the_command(robot: Simulation) -> None:
    rest = seen(robot, lambda s: s.time > 0.3 and s.executed is not None, "it rests")
    robot.commands["push"]()
    pushed = seen(robot, lambda s: np.abs(s.executed - rest.executed).max() > 0.01, "it is pushed")
    assert pushed.idle and not pushed.faults
    seen(robot, lambda s: np.abs(s.executed - rest.executed).max() < 0.01, "it comes back")


def test_an_injected_latency_is_that_of_the_first_chunk(robot: Simulation) -> None:
    robot.commands["scene"](**(CHOSEN | {"latency_ms": 300.0}))
    seen(robot, lambda s: s.time > 0 and s.scene["latency_ms"] == 300.0, "its clock has begun")
    robot.commands["instruct"](text="open the drawer")
    state = seen(robot, lambda s: s.serves, "it works")
    assert state.figures is not None and state.figures["instruction to chunk"] == "300 ms"


def test_a_simulation_that_fails_is_shown_and_refuses(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Simulation(session, Scene("tabletop", 1_000_000), "tiny")
    monkeypatch.setattr("threading.excepthook", lambda _: None)  # it is raised in its thread as well

    def fail(*_: object) -> None:
        raise RuntimeError("the physics explode")

    monkeypatch.setattr(Tabletop, "step", fail)
    seen(robot, lambda s: any("the physics explode" in fault for fault in s.faults), "it is shown")
    with pytest.raises(InputError, match="the physics explode"):
        robot.commands["instruct"](text="open the drawer")
    robot.close()


def test_a_world_that_another_robot_lives_in_is_an_error(session: Session) -> None:
    with pytest.raises(InputError, match="another robot"):
        Simulation(session, Scene("two_arms", 1), "tiny")


def test_committed_joins_controllers_and_forgets_what_has_passed() -> None:
    committed = Committed(3, 10)
    committed.take("arm", np.array([0, 1]), np.array([0, 20, 40]), np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]))
    committed.take("hand", np.array([2]), np.array([0, 20]), np.array([[5.0], [7.0]]))
    points = committed.ahead(10)
    np.testing.assert_allclose(points.times, [0, 10e-9, 20e-9, 30e-9])
    np.testing.assert_allclose(points.values[:, 0], [1, 2, 3, 4])
    np.testing.assert_allclose(points.values[:, 2], [6, 7, np.nan, np.nan])
    assert not len(committed.ahead(40).times)
    committed.take("arm", np.array([0, 1]), np.array([0, 20]) + 10**18, np.ones((2, 2)))  # of another clock
    assert np.isnan(committed.ahead(10).values[:, :2]).all() and len(committed.ahead(10).times) == 2


def test_what_is_said_again_is_one_line_and_a_clock_that_goes_on_loses_nothing() -> None:
    journal = Journal()
    assert [len(journal.add("warn", "stopped")) for _ in range(3)] == [1, 0, 0] and journal.add("info", "stopped")
    for time in (0.0, 0.199, 0.2014, 0.2031, 0.31):
        journal.look(State(time))
    assert [at for at, *_ in journal.all()["course"]] == [0.0, 0.2, 0.31]
    journal.look(State(0.1))
    assert len(journal.all()["course"]) == 1


def test_the_command_needs_a_token_for_other_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sys
    from unittest import mock

    from console import __main__ as command
    from policy.errors import exit_code

    write_model(tmp_path / "model")
    with mock.patch.object(sys, "argv", ["console", "--model", str(tmp_path / "model"), "--host", "0.0.0.0"]):
        assert exit_code(command.main) == 2
    assert "--token" in capsys.readouterr().err
