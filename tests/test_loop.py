import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.errors import InputError
from policy.running.live_loop import LiveLoop
from policy.running.loop import NO_INSTRUCTION, STOPPED, InferenceLoop
from policy.running.session import Session
from policy.running.text import Sentence
from policy.spec import Frame
from tests.tiny import TAUGHT, tell, write_model

LONG = 30.0
FIRST, SECOND, THIRD, *_ = TAUGHT


class Rig:
    """A live loop on a clock under the test's hand; frames are `dt` apart."""

    def __init__(self, folder: Path) -> None:
        self.session = Session(folder, threads=1, provider="cpu")
        self.spec, self.now = self.session.spec, 10**12
        self.published: list[tuple[np.ndarray, np.ndarray]] = []
        self.state = np.zeros(len(self.spec.state), np.float32)
        self.shade = 0
        self.estimate: dict[str, Any] = {}  # what a switching model tells from now on
        self.live = LiveLoop(
            self.session,
            lambda: self.now,
            lambda now, times, actions: self.published.append((times - now, actions)),
            replan_s=4 * self.spec.dt_ns * 1e-9,
            stale_s=LONG,
        )

    @property
    def loop(self) -> InferenceLoop:
        return self.live.loop

    def see(self) -> None:
        """The next frame."""
        self.now += self.spec.dt_ns
        self.shade += 1
        images = {n: np.full((h, w, 3), 200 + self.shade % 50, np.uint8) for n, (h, w) in self.spec.cameras.items()}
        if self.spec.switches:
            last = list(images)[-1]
            images[last] = tell(images[last], **self.estimate)
        self.live.observe(Frame(self.now, images, self.state))

    def settle(self) -> None:
        """Until nothing is computed any more."""

        def settled() -> bool:
            with self.live._wake:  # between two of its steps the inference thread looks idle
                return not (self.live._event or self.loop._busy or (self.loop.urgent and self.loop.text))

        until(settled)

    def see_and_wait(self) -> tuple[np.ndarray, np.ndarray]:
        """The next frame, and what was published last once it is dealt with."""
        self.see()
        self.settle()
        return self.published[-1]

    def infer(self, **estimate: Any) -> tuple[np.ndarray, np.ndarray]:
        """Frames until one is inferred from, with a switching model that tells this."""
        self.estimate, before = estimate, self.loop.inferences
        while self.loop.inferences == before:
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
    made.live.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    write_model(tmp_path / "model")
    made = Rig(tmp_path / "model")
    yield made
    made.live.close()


def test_every_frame_is_answered_and_every_fourth_is_inferred_from(rig: Rig) -> None:
    rig.live.instruct("open the drawer")
    until(lambda: rig.loop.text)
    for i in range(12):
        times, actions = rig.see_and_wait()
        assert (times > 0).all() and len(times) == len(actions) == rig.spec.horizon - i % 4
    until(lambda: rig.loop.inferences == 3)
    assert rig.loop.reason == "" and rig.loop.served == "open the drawer"


def test_an_instruction_is_served_from_the_frame_at_hand(rig: Rig) -> None:
    rig.see()
    assert rig.loop.reason == NO_INSTRUCTION and not rig.published
    rig.live.instruct("open the drawer")
    until(lambda: rig.published)
    rig.live.instruct("close the drawer")
    until(lambda: rig.loop.served == "close the drawer")
    assert rig.loop.switches == 1 and rig.loop.tracker.unfinished == "open the drawer" and len(rig.loop.reaction_s) == 2


def test_what_was_being_inferred_under_the_former_instruction_is_dropped(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.live.instruct("open the drawer")
    until(lambda: rig.loop.text)
    rig.see_and_wait()
    begun, go, run = threading.Event(), threading.Event(), rig.session.run

    def slow(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        begun.set()
        assert go.wait(LONG)
        return run(feed)

    monkeypatch.setattr(rig.session, "run", slow)
    for _ in range(4):
        rig.see()
    assert begun.wait(LONG)
    rig.live.instruct("close the drawer")
    # meanwhile the old chunk goes on, no further than what cannot be taken back
    rig.see()
    times, _ = rig.published[-1]
    assert 0 < len(times) <= 2
    for _ in range(3):
        rig.see()
    assert rig.published[-1][0] is not None and rig.loop.served == "open the drawer"
    count = len(rig.published)
    rig.see()
    assert len(rig.published) == count, "nothing of the former instruction is left"
    monkeypatch.setattr(rig.session, "run", run)
    go.set()
    until(lambda: rig.loop.served == "close the drawer")
    assert rig.loop.outdated == 1


def test_a_fault_brings_the_arm_to_rest_and_the_next_frame_goes_on(rig: Rig) -> None:
    rig.live.instruct("open the drawer")
    until(lambda: rig.loop.text)
    _, actions = rig.see_and_wait()
    rig.live.fault("camera front is silent")
    times, rest = rig.published[-1]
    assert len(times) == 1 and times[0] > 0
    np.testing.assert_allclose(rest[0], actions[0], atol=1e-6)
    assert rig.loop.reason == "camera front is silent"
    count = len(rig.published)
    rig.live.fault("camera front is silent")
    assert len(rig.published) == count, "once is enough"
    rig.see_and_wait()
    assert rig.loop.reason == ""


def test_an_inference_that_raises_is_reported_and_tried_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    run = rig.session.run

    def broken(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        raise RuntimeError("no memory")

    monkeypatch.setattr(rig.session, "run", broken)
    rig.live.instruct("open the drawer")
    rig.see()
    until(lambda: rig.loop.reason == "inference failed: no memory")
    monkeypatch.setattr(rig.session, "run", run)
    rig.see_and_wait()
    assert rig.loop.reason == ""


def test_a_camera_that_repeats_its_picture_while_joints_move_is_not_trusted(rig: Rig) -> None:
    rig.live.instruct("open the drawer")
    until(lambda: rig.loop.text)
    rig.see_and_wait()
    rig.shade -= 1
    rig.state = rig.state + np.float32(0.05)
    rig.see_and_wait()
    assert rig.loop.reason == ""  # a still scene, or a small motion
    rig.shade -= 1
    rig.state = rig.state + np.float32(0.06)
    rig.see()
    assert "frozen" in rig.loop.reason
    rig.see_and_wait()
    assert rig.loop.reason == ""


def test_a_clock_set_back_begins_anew(rig: Rig) -> None:
    rig.live.instruct("open the drawer")
    until(lambda: rig.loop.text)
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
    rig.live.instruct("open the drawer")
    until(lambda: rig.loop.text)
    with pytest.raises(InputError, match=words):
        rig.live.instruct(text)
    rig.see_and_wait()
    assert rig.loop.served == "open the drawer"


def test_the_same_instruction_again_and_a_reset(rig: Rig) -> None:
    rig.live.instruct("open the drawer")
    until(lambda: rig.loop.text)
    rig.see_and_wait()
    number = rig.loop.tracker.instruction
    for _ in range(3):
        rig.live.instruct("open the drawer ")
    rig.see_and_wait()
    assert rig.loop.tracker.instruction == number
    rig.live.reset()
    assert rig.loop.reason == NO_INSTRUCTION and len(rig.published[-1][0]) == 1
    for _ in range(2):  # the arm comes to rest
        rig.see()
    count = len(rig.published)
    rig.see()
    assert len(rig.published) == count
    rig.live.instruct("open the drawer")
    until(lambda: len(rig.published) > count)


def test_the_estimate_of_a_switching_policy_is_shown(switching: Rig) -> None:
    live, loop = switching.live, switching.loop
    assert loop.estimate is None
    live.instruct(FIRST)
    switching.infer(contact=0.9)
    assert loop.estimate is not None and loop.estimate.mode == "forward" and loop.tracker.in_contact
    live.instruct(SECOND)
    until(lambda: loop.served == SECOND)
    switching.infer(contact=0.5, mode="rollback")
    assert loop.estimate.mode == "rollback" and loop.tracker.in_contact, "hysteresis"
    switching.infer(contact=0.2)
    assert not loop.tracker.in_contact
    live.reset()
    assert loop.estimate is None and not loop.tracker.in_contact and not loop.tracker.unfinished


def test_done_it_holds_one_set_point_and_takes_the_same_instruction_again(switching: Rig) -> None:
    live, loop = switching.live, switching.loop
    live.instruct(FIRST)
    until(lambda: loop.text)
    for _ in range(4):  # inferences are 0.2 s apart: 0.6 s
        _, actions = switching.infer(done=1)
        assert np.ptp(actions[:, 0]) > 0 and not loop.tracker.finished
    switching.infer(done=1)
    assert loop.tracker.finished and loop.reason == ""
    for _ in range(8):  # past what of the chunk before stays
        times, actions = switching.see_and_wait()
    assert len(times) and np.ptp(actions, axis=0).max() == 0
    number = switching.loop.tracker.instruction
    live.instruct(FIRST)
    until(lambda: switching.loop.tracker.instruction == number + 1)
    switching.infer()
    assert not loop.tracker.finished and loop.switches == 0
    live.instruct(FIRST)
    switching.infer()
    assert switching.loop.tracker.instruction == number + 1, "under way, the same one changes nothing"


def test_continue_takes_up_what_was_left_and_else_disturbs_nothing(switching: Rig) -> None:
    live, loop = switching.live, switching.loop
    live.instruct(FIRST)
    switching.infer()
    number = switching.loop.tracker.instruction
    with pytest.raises(InputError, match="no instruction was left unfinished"):
        live.instruct("Continue.")
    times, _ = switching.see_and_wait()
    assert len(times) > 2 and loop.text == FIRST and switching.loop.tracker.instruction == number
    live.instruct(SECOND)
    switching.infer()
    for _ in range(2):  # the word again does not go back and forth
        live.instruct("continue")
        until(lambda: loop.served == FIRST)
        switching.infer()
    assert loop.text == FIRST and loop.tracker.unfinished == SECOND and loop.switches == 2


def test_an_unknown_instruction_brings_the_arm_to_rest_and_continue_goes_on(switching: Rig) -> None:
    live, loop = switching.live, switching.loop
    live.instruct(FIRST)
    _, actions = switching.infer()
    live.instruct("make coffee")
    until(lambda: not loop.text)
    assert loop.reason.startswith("unknown instruction 'make coffee'")
    times, rest = switching.published[-1]
    assert len(times) == 1
    np.testing.assert_allclose(rest[0], actions[0], atol=1e-6)
    switching.see()  # the rest is not over yet
    switching.see()
    count = len(switching.published)
    switching.see()
    live.fault("camera front is silent")
    assert len(switching.published) == count and "make coffee" in loop.reason
    live.instruct("continue")
    until(lambda: loop.text == FIRST)
    switching.infer()
    assert loop.served == FIRST and loop.reason == ""


def test_a_clock_set_back_begins_the_instruction_anew(switching: Rig) -> None:
    live, loop = switching.live, switching.loop
    live.instruct(FIRST)
    until(lambda: loop.text)
    for _ in range(5):
        switching.infer(done=1)
    assert loop.tracker.finished
    switching.now -= 10**11
    switching.infer()
    assert not loop.tracker.finished and loop.served == FIRST and loop.switches == 0


def test_a_new_loop_knows_nothing_of_the_one_before(switching: Rig) -> None:
    switching.live.instruct(FIRST)
    switching.infer()
    switching.live.close()
    other = LiveLoop(switching.session, lambda: switching.now, lambda now, times, actions: None)
    assert (other.loop.text, other.loop.tracker.unfinished) == ("", "")
    other.close()


def test_an_instruction_that_could_not_be_embedded_can_be_given_again(
    switching: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, calls = switching.session.embed, list[str]()

    def flaky(text: str) -> Sentence:
        calls.append(text)
        if len(calls) == 1:
            raise RuntimeError("no memory")
        return embed(text)

    monkeypatch.setattr(switching.session, "embed", flaky)
    switching.live.instruct(FIRST)
    until(lambda: switching.loop.reason == "the instruction could not be embedded: no memory")
    switching.live.instruct(FIRST)
    switching.infer()
    assert switching.loop.served == FIRST and len(calls) == 2


def test_a_refused_instruction_can_be_given_again_and_is_refused_again(switching: Rig) -> None:
    for _ in range(2):
        switching.live.instruct("make coffee")
        until(lambda: switching.loop.reason.startswith("unknown instruction"))
        switching.live.reset()
        assert switching.loop.reason == NO_INSTRUCTION


@pytest.mark.parametrize("words", ["stop", "Stop!", "wait a moment", "hold on"])
def test_stop_brings_the_arm_to_rest_at_once_and_continue_goes_on(switching: Rig, words: str) -> None:
    live, loop = switching.live, switching.loop
    live.instruct(FIRST)
    _, actions = switching.infer()
    live.instruct(words)
    times, rest = switching.published[-1]  # no inference and no encoder were waited for
    assert len(times) == 1 and times[0] <= 2 * switching.spec.dt_ns
    np.testing.assert_allclose(rest[0], actions[0], atol=1e-6)
    assert (loop.text, loop.reason, loop.idle) == ("", f"{STOPPED} {words!r}", True)
    count = loop.inferences
    for _ in range(6):
        switching.see_and_wait()
    assert loop.inferences == count and len(loop.set_points(switching.now)[0]) == 0
    live.instruct("continue")
    switching.infer()
    assert (loop.served, loop.reason, loop.idle) == (FIRST, "", False)


def test_stop_outdates_what_is_being_computed(switching: Rig) -> None:
    loop = switching.loop
    with switching.live._wake:  # the inference thread waits
        switching.live.instruct(FIRST)
        switching.live.instruct("stop")
    switching.see()
    switching.settle()
    assert loop.text == "" and loop.inferences == 0 and loop.reason == f"{STOPPED} 'stop'"


def test_tasks_in_one_sentence_are_done_one_after_the_other(switching: Rig) -> None:
    live, loop = switching.live, switching.loop
    live.instruct(f"{FIRST}, then {SECOND}; after that {THIRD}")
    switching.infer()
    assert (loop.served, loop.following, loop.completed) == (FIRST, [SECOND, THIRD], [])
    for done, (serves, following) in enumerate([(SECOND, [THIRD]), (THIRD, [])], 1):
        while len(loop.completed) < done:
            switching.infer(done=1)
        until(lambda serves=serves: loop.text == serves)
        switching.infer()
        assert (loop.served, loop.following, loop.completed) == (serves, following, [FIRST, SECOND][:done])
        assert not loop.tracker.finished
    while not loop.tracker.finished:
        switching.infer(done=1)
    assert loop.completed == [FIRST, SECOND, THIRD] and loop.text == THIRD


def test_stop_and_continue_keep_what_follows_and_a_new_instruction_drops_it(switching: Rig) -> None:
    live, loop = switching.live, switching.loop
    live.instruct(f"{FIRST} and then {SECOND}")
    switching.infer()
    live.instruct("stop")
    live.instruct("continue")
    switching.infer()
    assert (loop.served, loop.following) == (FIRST, [SECOND])
    live.instruct(THIRD)
    switching.infer()
    assert (loop.served, loop.following) == (THIRD, [])
    live.instruct(f"{FIRST} and then {SECOND}")
    switching.infer()
    live.instruct(FIRST)  # alone: it goes on, and nothing follows
    switching.infer()
    assert (loop.served, loop.following) == (FIRST, [])
    live.instruct(f"{SECOND} and then {THIRD}")
    switching.infer()
    live.reset()
    assert loop.following == loop.completed == []


def test_of_several_tasks_of_which_one_is_unknown_none_is_done(switching: Rig) -> None:
    switching.live.instruct(f"{FIRST}, then make coffee")
    until(lambda: switching.loop.reason != NO_INSTRUCTION)
    assert "of 'make coffee' none is known" in switching.loop.reason and switching.loop.text == ""
