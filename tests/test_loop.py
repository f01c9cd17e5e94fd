import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from policy.errors import InputError
from policy.running.loop import NO_INSTRUCTION
from policy.spec import Frame
from tests.loop_rig import LONG, Rig, driven, until


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    yield from driven(tmp_path / "model", switches=False)


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


def held_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> tuple[threading.Event, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]]:
    """An inference under an instruction that waits until the event is set, and how the session ran before."""
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
    return go, run


def test_what_was_being_inferred_under_the_former_instruction_is_dropped(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, run = held_up(rig, monkeypatch)
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


@pytest.mark.parametrize("how", ["fault", "close"])
def test_what_was_being_inferred_before_a_fault_is_not_commanded_after_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    go, _ = held_up(rig, monkeypatch)
    if how == "fault":
        rig.live.fault("camera front is silent")
        count = len(rig.published)
        go.set()
        rig.settle()
        assert rig.loop.reason == "camera front is silent"
    else:
        ends = threading.Thread(target=rig.live.close)
        ends.start()
        until(lambda: rig.loop.reason == "closed")
        count = len(rig.published)
        go.set()
        ends.join()
    assert len(rig.published) == count and rig.loop.outdated == 1


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


def test_a_picture_that_stands_for_a_lost_one_is_not_a_frozen_camera(rig: Rig) -> None:
    """A camera slower than the first one: its newest picture is in two frames."""
    rig.live.instruct("open the drawer")
    until(lambda: rig.loop.text)
    rig.see_and_wait()
    seen = rig.live._frame
    assert seen is not None
    *_, slower = seen.images
    moved = seen.state + np.float32(0.2)
    rig.now += rig.spec.dt_ns
    new = {name: image if name == slower else image - 1 for name, image in seen.images.items()}
    rig.live.observe(Frame(rig.now, new, moved))
    assert rig.loop.reason == ""
    rig.now += rig.spec.dt_ns
    again = {name: image.copy() if name == slower else image - 1 for name, image in new.items()}
    rig.live.observe(Frame(rig.now, again, moved))
    assert f"camera {slower} is frozen" in rig.loop.reason


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
