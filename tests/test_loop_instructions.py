"""Instructions in the control loop: done, continued, stopped, refused, and several in one sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.errors import InputError
from policy.running.live_loop import LiveLoop
from policy.running.loop import NO_INSTRUCTION, STOPPED
from policy.running.text import Sentence
from tests.loop_rig import FIRST, SECOND, THIRD, Rig, driven, until


@pytest.fixture
def switching(tmp_path: Path) -> Iterator[Rig]:
    yield from driven(tmp_path / "model", switches=True)


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
    until(lambda: loop.reason.startswith("unknown instruction 'make coffee'") and len(switching.published[-1][0]) == 1)
    assert not loop.text
    _, rest = switching.published[-1]
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


def test_between_two_tasks_of_one_sentence_not_all_is_done(switching: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks from another thread may ask at any moment of the change."""
    loop, seen, accept = switching.loop, list[bool](), switching.loop.tracker.accept

    def accepted(*what: Any) -> int:
        seen.append(loop.done)
        try:
            return accept(*what)
        finally:
            seen.append(loop.done)

    switching.live.instruct(f"{FIRST}, then {SECOND}")
    switching.infer()
    monkeypatch.setattr(loop.tracker, "accept", accepted)
    while not loop.completed:
        switching.infer(done=1)
    until(lambda: loop.text == SECOND)
    assert seen == [False, False] and not loop.done
    while not loop.done:
        switching.infer(done=1)


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
    live.instruct(f"{FIRST} and then {SECOND}")  # as before
    until(lambda: loop.following == [SECOND])
    live.instruct(f"{SECOND} and then {THIRD}")
    switching.infer()
    live.reset()
    assert loop.following == loop.completed == []


def test_what_is_continued_is_followed_by_nothing_of_what_it_was_left_for(switching: Rig) -> None:
    live, loop = switching.live, switching.loop
    live.instruct(FIRST)
    switching.infer()
    live.instruct(f"{SECOND}, then {THIRD}")
    switching.infer()
    assert (loop.served, loop.following) == (SECOND, [THIRD])
    live.instruct("continue")
    switching.infer()
    assert (loop.served, loop.following, loop.completed) == (FIRST, [], [])


def test_of_several_tasks_of_which_one_is_unknown_none_is_done(switching: Rig) -> None:
    switching.live.instruct(f"{FIRST}, then make coffee")
    until(lambda: switching.loop.reason != NO_INSTRUCTION)
    assert "of 'make coffee' none is known" in switching.loop.reason and switching.loop.text == ""
