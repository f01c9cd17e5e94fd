import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.errors import InputError
from policy.running.loop import NOTHING, Pilot
from policy.running.session import Session
from policy.spec import Frame
from tests.tiny import TAUGHT, tell, write_model

LONG = 30.0
FIRST, SECOND, *_ = TAUGHT


class Rig:
    """A pilot on a clock under the test's hand; frames are `dt` apart."""

    def __init__(self, folder: Path) -> None:
        self.session = Session(folder, threads=1, provider="cpu")
        self.spec, self.now = self.session.spec, 10**12
        self.published: list[tuple[np.ndarray, np.ndarray]] = []
        self.state = np.zeros(len(self.spec.state), np.float32)
        self.shade = 0
        self.told: dict[str, Any] = {}  # what a switching model tells from now on
        self.pilot = Pilot(
            self.session, lambda: self.now, lambda t, a: self.published.append((t, a)), replan=4, stale=LONG
        )

    def see(self) -> None:
        """The next frame."""
        self.now += self.spec.dt_ns
        self.shade += 1
        images = {n: np.full((h, w, 3), 200 + self.shade % 50, np.uint8) for n, (h, w) in self.spec.cameras.items()}
        if self.spec.switches:
            last = list(images)[-1]
            images[last] = tell(images[last], **self.told)
        self.pilot.observe(Frame(self.now, images, self.state))

    def see_and_wait(self) -> tuple[np.ndarray, np.ndarray]:
        """The next frame, and what was published on it."""
        before = len(self.published)
        self.see()
        until(lambda: len(self.published) > before)
        return self.published[-1]

    def infer(self, **told: Any) -> tuple[np.ndarray, np.ndarray]:
        """Frames until one is inferred from, with a switching model that tells this."""
        self.told, before = told, self.pilot.inferences
        while self.pilot.inferences == before:
            published = self.see_and_wait()
        return published


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def switching(tmp_path: Path) -> Iterator[Rig]:
    write_model(tmp_path / "model", switches=True)
    made = Rig(tmp_path / "model")
    yield made
    made.pilot.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    write_model(tmp_path / "model")
    made = Rig(tmp_path / "model")
    yield made
    made.pilot.close()


def test_every_frame_is_answered_and_every_fourth_is_inferred_from(rig: Rig) -> None:
    rig.pilot.instruct("open the drawer")
    until(lambda: rig.pilot.text)
    for i in range(12):
        times, actions = rig.see_and_wait()
        assert (times > 0).all() and len(times) == len(actions) == rig.spec.horizon - i % 4
    until(lambda: rig.pilot.inferences == 3)
    assert rig.pilot.reason == "" and rig.pilot.served == "open the drawer"


def test_an_instruction_is_served_from_the_frame_at_hand(rig: Rig) -> None:
    rig.see()
    assert rig.pilot.reason == NOTHING and not rig.published
    rig.pilot.instruct("open the drawer")
    until(lambda: rig.published)
    rig.pilot.instruct("close the drawer")
    until(lambda: rig.pilot.served == "close the drawer")
    assert rig.pilot.switches == 1 and rig.pilot.unfinished == "open the drawer" and len(rig.pilot.reacting) == 2


def test_what_was_being_inferred_under_the_former_instruction_is_dropped(rig: Rig) -> None:
    rig.pilot.instruct("open the drawer")
    until(lambda: rig.pilot.text)
    rig.see_and_wait()
    begun, go, infer = threading.Event(), threading.Event(), rig.session.infer

    def slow(frame: Frame) -> Any:
        chunk = infer(frame)
        begun.set()
        assert go.wait(LONG)
        return chunk

    rig.session.infer = slow  # type: ignore[method-assign]
    for _ in range(4):
        rig.see()
    assert begun.wait(LONG)
    rig.pilot.instruct("close the drawer")
    # meanwhile the old chunk goes on, no further than what cannot be taken back
    rig.see()
    times, _ = rig.published[-1]
    assert 0 < len(times) <= 2
    for _ in range(3):
        rig.see()
    assert rig.published[-1][0] is not None and rig.pilot.served == "open the drawer"
    count = len(rig.published)
    rig.see()
    assert len(rig.published) == count, "nothing of the former instruction is left"
    rig.session.infer = infer  # type: ignore[method-assign]
    go.set()
    until(lambda: rig.pilot.served == "close the drawer")
    assert rig.pilot.outdated == 1


def test_a_fault_brings_the_arm_to_rest_and_the_next_frame_goes_on(rig: Rig) -> None:
    rig.pilot.instruct("open the drawer")
    until(lambda: rig.pilot.text)
    _, actions = rig.see_and_wait()
    rig.pilot.fault("camera front is silent")
    times, rest = rig.published[-1]
    assert len(times) == 1 and times[0] > 0
    np.testing.assert_allclose(rest[0], actions[0], atol=1e-6)
    assert rig.pilot.reason == "camera front is silent"
    count = len(rig.published)
    rig.pilot.fault("camera front is silent")
    assert len(rig.published) == count, "once is enough"
    rig.see_and_wait()
    assert rig.pilot.reason == ""


def test_an_inference_that_throws_is_said_and_tried_again(rig: Rig) -> None:
    infer = rig.session.infer

    def broken(frame: Frame) -> Any:
        raise RuntimeError("no memory")

    rig.session.infer = broken  # type: ignore[method-assign]
    rig.pilot.instruct("open the drawer")
    rig.see()
    until(lambda: rig.pilot.reason == "inference failed: no memory")
    rig.session.infer = infer  # type: ignore[method-assign]
    rig.see_and_wait()
    assert rig.pilot.reason == ""


def test_a_camera_that_repeats_its_picture_while_joints_move_is_not_trusted(rig: Rig) -> None:
    rig.pilot.instruct("open the drawer")
    until(lambda: rig.pilot.text)
    rig.see_and_wait()
    rig.shade -= 1
    rig.state = rig.state + np.float32(0.05)
    rig.see_and_wait()
    assert rig.pilot.reason == ""  # a still scene, or a small motion
    rig.shade -= 1
    rig.state = rig.state + np.float32(0.06)
    rig.see()
    assert "frozen" in rig.pilot.reason
    rig.see_and_wait()
    assert rig.pilot.reason == ""


def test_a_clock_set_back_begins_anew(rig: Rig) -> None:
    rig.pilot.instruct("open the drawer")
    until(lambda: rig.pilot.text)
    rig.see_and_wait()
    rig.now -= 10**11
    times, _ = rig.see_and_wait()
    assert list(times) == [rig.spec.dt_ns * i for i in range(1, rig.spec.horizon + 1)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("a" * 100_000, "100000 characters"),
        ("\ufffd\ufffd", "UTF-8"),
        ("open\x00it", "control"),
    ],
)
def test_an_instruction_that_is_none_is_refused_and_the_former_goes_on(rig: Rig, text: str, words: str) -> None:
    rig.pilot.instruct("open the drawer")
    until(lambda: rig.pilot.text)
    with pytest.raises(InputError, match=words):
        rig.pilot.instruct(text)
    rig.see_and_wait()
    assert rig.pilot.served == "open the drawer"


def test_the_same_instruction_again_and_a_reset(rig: Rig) -> None:
    rig.pilot.instruct("open the drawer")
    until(lambda: rig.pilot.text)
    rig.see_and_wait()
    number = rig.session.instruction
    for _ in range(3):
        rig.pilot.instruct("open the drawer ")
    rig.see_and_wait()
    assert rig.session.instruction == number
    rig.pilot.reset()
    assert rig.pilot.reason == NOTHING and len(rig.published[-1][0]) == 1
    count = len(rig.published)
    rig.see()
    assert len(rig.published) == count
    rig.pilot.instruct("open the drawer")
    until(lambda: len(rig.published) > count)


def test_it_says_what_a_switching_policy_tells(switching: Rig) -> None:
    pilot = switching.pilot
    assert pilot.execution_estimate is None
    pilot.instruct(FIRST)
    switching.infer(contact=0.9)
    assert pilot.execution_estimate is not None and pilot.execution_estimate.mode == "forward" and pilot.touching
    pilot.instruct(SECOND)
    until(lambda: pilot.served == SECOND)
    switching.infer(contact=0.5, mode="rollback")
    assert pilot.execution_estimate.mode == "rollback" and pilot.touching, "hysteresis"
    switching.infer(contact=0.2)
    assert not pilot.touching
    pilot.reset()
    assert pilot.execution_estimate is None and not pilot.touching and not pilot.unfinished


def test_done_it_holds_one_set_point_and_takes_the_same_instruction_again(switching: Rig) -> None:
    pilot = switching.pilot
    pilot.instruct(FIRST)
    until(lambda: pilot.text)
    for _ in range(2):
        _, actions = switching.infer(done=1)
        assert np.ptp(actions[:, 0]) > 0 and not pilot.finished
    switching.infer(done=1)
    assert pilot.finished and pilot.reason == ""
    for _ in range(8):  # past what of the chunk before stays
        times, actions = switching.see_and_wait()
    assert len(times) and np.ptp(actions, axis=0).max() == 0
    number = switching.session.instruction
    pilot.instruct(FIRST)
    until(lambda: switching.session.instruction == number + 1)
    switching.infer()
    assert not pilot.finished and pilot.switches == 0
    pilot.instruct(FIRST)
    switching.infer()
    assert switching.session.instruction == number + 1, "under way, the same one changes nothing"


def test_continue_takes_up_what_was_left_and_else_disturbs_nothing(switching: Rig) -> None:
    pilot = switching.pilot
    pilot.instruct(FIRST)
    switching.infer()
    number = switching.session.instruction
    with pytest.raises(InputError, match="no instruction was left unfinished"):
        pilot.instruct("Continue.")
    times, _ = switching.see_and_wait()
    assert len(times) > 2 and pilot.text == FIRST and switching.session.instruction == number
    pilot.instruct(SECOND)
    switching.infer()
    for _ in range(2):  # the word again does not go back and forth
        pilot.instruct("continue")
        until(lambda: pilot.served == FIRST)
        switching.infer()
    assert pilot.text == FIRST and pilot.unfinished == SECOND and pilot.switches == 2


def test_an_unknown_instruction_brings_the_arm_to_rest_and_continue_goes_on(switching: Rig) -> None:
    pilot = switching.pilot
    pilot.instruct(FIRST)
    _, actions = switching.infer()
    pilot.instruct("make coffee")
    until(lambda: not pilot.text)
    assert pilot.reason.startswith("unknown instruction 'make coffee'")
    times, rest = switching.published[-1]
    assert len(times) == 1
    np.testing.assert_allclose(rest[0], actions[0], atol=1e-6)
    count = len(switching.published)
    switching.see()
    pilot.fault("camera front is silent")
    assert len(switching.published) == count and "make coffee" in pilot.reason
    pilot.instruct("continue")
    until(lambda: pilot.text == FIRST)
    switching.infer()
    assert pilot.served == FIRST and pilot.reason == ""


def test_a_clock_set_back_begins_the_instruction_anew(switching: Rig) -> None:
    pilot = switching.pilot
    pilot.instruct(FIRST)
    until(lambda: pilot.text)
    for _ in range(3):
        switching.infer(done=1)
    assert pilot.finished
    switching.now -= 10**11
    switching.infer()
    assert not pilot.finished and pilot.served == FIRST and pilot.switches == 0


def test_a_new_pilot_knows_nothing_of_the_one_before(switching: Rig) -> None:
    switching.pilot.instruct(FIRST)
    switching.infer()
    switching.pilot.close()
    other = Pilot(switching.session, lambda: switching.now, lambda t, a: None)
    assert (other.text, other.unfinished, switching.session.text) == ("", "", "")
    other.close()
