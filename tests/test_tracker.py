"""The memory of an execution, rule by rule, and the same through ONNX Runtime with the tiny switching model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy.errors import InputError
from policy.running.session import Session
from policy.running.text import TOKENS
from policy.running.tracker import Memory, Tracker
from policy.spec import MODES, RuntimeSettings
from tests.tiny import TAUGHT, frame, read, sentence, write_model

A, B, C = np.eye(3, dtype=np.float32)
NAMES = {"A": A, "B": B, "C": C}
HORIZON, JOINTS = 4, 2


class Story:
    """A memory and the shortest words to fill it; inferences are 0.4 s apart."""

    def __init__(self, *instructions: str) -> None:
        self.memory, self.place = Memory(RuntimeSettings()), 0.0
        for name in instructions:
            self.instruct(name)

    def instruct(self, name: str) -> None:
        resolved = self.memory.resolve(name)
        self.memory.instruct(resolved, sentence(resolved, NAMES[resolved]))

    def sees(self, contact: float = 0, mode: str = "forward", done: float = 0, times: int = 1) -> np.ndarray:
        """Some inferences, each one further on; the last one's actions."""
        for _ in range(times):
            self.place += 1.0
            estimate = np.array([contact, done, *(mode == m for m in MODES)], np.float32)
            actions = self.place + np.arange(HORIZON * JOINTS, dtype=np.float32).reshape(HORIZON, JOINTS)
            found, kept = self.memory.update(
                round(4e8 * self.place), np.full(JOINTS, self.place, np.float32), estimate, actions
            )
            assert (found.contact, found.mode, found.done) == (pytest.approx(contact), mode, pytest.approx(done))
        return kept

    @property
    def previous(self) -> str:
        fed = self.memory.inputs(np.zeros(JOINTS))["previous_instruction"][0]
        return next(name for name, embedding in NAMES.items() if np.array_equal(embedding, fed))

    @property
    def origin(self) -> float:
        """-1 stands for the present state."""
        return float(self.memory.inputs(np.full(JOINTS, -1.0))["contact_origin"][0, 0])


def test_at_first_the_previous_instruction_is_the_present_one_and_there_is_no_contact() -> None:
    story = Story("A")
    fed = story.memory.inputs(np.array([0.5, 0.25]))
    assert {k: (v.shape, v.dtype.name) for k, v in fed.items()} == {
        "previous_instruction": ((1, 3), "float32"),
        "previous_instruction_tokens": ((1, TOKENS, 3), "float32"),
        "previous_instruction_mask": ((1, TOKENS), "bool"),
        "contact": ((1, 1), "float32"),
        "contact_origin": ((1, 2), "float32"),
    }
    assert story.previous == "A" and fed["contact"] == 0 and list(fed["contact_origin"][0]) == [0.5, 0.25]


def test_without_contact_the_superseded_instruction_is_the_previous_one_until_three_calm_inferences() -> None:
    story = Story("A")
    story.sees(times=5)  # what came under A does not count for B
    story.instruct("B")
    story.sees(times=2)
    assert story.previous == "A"
    story.sees(mode="advance")
    story.sees(times=2)
    assert story.previous == "A", "three in a row"
    story.sees()
    assert story.previous == "B"


def test_of_several_instructions_without_contact_the_last_superseded_one_counts() -> None:
    assert Story("A", "B", "C").previous == "B"


def test_the_owner_of_a_contact_stays_the_previous_instruction_while_it_lasts() -> None:
    story = Story("A")
    story.sees(0.9)
    story.instruct("B")
    assert story.previous == "A"
    story.sees(0.9, "rollback", times=4)
    story.instruct("C")
    assert story.previous == "A" and story.origin == 1
    story.sees(0.9, times=4)
    assert story.previous == "A", "forward in contact lets nothing go"
    story.sees(0.1, times=3)
    assert story.previous == "C"


def test_back_to_the_owner_of_the_contact_nothing_is_left_to_undo() -> None:
    story = Story("A")
    story.sees(0.9)
    story.instruct("B")
    story.sees(0.9, "rollback")
    story.instruct("A")
    assert story.previous == "A"


def test_back_to_the_first_instruction_while_it_is_undone_without_contact() -> None:
    story = Story("A", "B")
    story.sees(0.1, "rollback")
    story.instruct("A")
    assert story.previous == "A"
    again = Story("A", "B")
    again.sees(0.1, "advance")
    again.instruct("A")
    assert again.previous == "B", "nothing of A is undone: B is what was superseded"


def test_a_contact_under_the_present_instruction_lets_the_previous_one_go() -> None:
    story = Story("A", "B")
    story.sees(0.1, "advance")
    assert story.previous == "A"
    story.sees(0.9)
    assert story.previous == "B" and story.origin == 2
    story.instruct("C")
    assert story.previous == "B"


def test_a_contact_first_seen_with_a_new_instruction_began_under_the_former() -> None:
    story = Story("A")
    story.sees(0.1)
    story.instruct("B")
    story.sees(0.9, "rollback")  # the frame shows what the arm did under A
    assert story.previous == "A" and story.origin == 2
    story.sees(0.9, "rollback", times=5)
    assert story.previous == "A"


def test_contact_has_hysteresis_and_the_origin_is_where_it_began() -> None:
    story = Story("A")
    for contact, in_contact, origin in (
        (0.59, False, -1),
        (0.61, True, 2),
        (0.41, True, 2),
        (0.99, True, 2),
        (0.39, False, -1),
        (0.59, False, -1),
        (0.61, True, 7),
    ):
        story.sees(contact)
        assert (story.memory.in_contact, story.origin) == (in_contact, origin)
        assert story.memory.inputs(np.zeros(JOINTS))["contact"][0, 0] == np.float32(contact)


def test_done_three_times_in_a_row_is_done_and_the_arm_rests_until_a_new_instruction() -> None:
    story = Story("A")
    story.sees(done=0.9, times=2)
    story.sees(done=0.5)
    moving = story.sees(done=0.9, times=2)
    assert not story.memory.finished and len(np.unique(moving[:, 0])) == HORIZON
    resting = story.sees(done=0.9)
    assert story.memory.finished and np.array_equal(resting, np.tile([6.0, 7.0], (HORIZON, 1)))
    assert np.array_equal(story.sees(0.9, done=0.1), resting), "and stays so, whatever is told"
    assert story.memory.in_contact, "the estimates go on"
    story.instruct("B")
    assert not story.memory.finished and not np.array_equal(story.sees(done=0.9, times=2), resting)
    story.sees(done=0.9)
    story.instruct("B")
    assert not story.memory.finished, "the same one again begins anew"


def test_continue_is_one_level_deep() -> None:
    story = Story("A")
    with pytest.raises(InputError, match="no instruction was left unfinished"):
        story.instruct("continue")
    story.instruct("B")
    assert story.memory.unfinished == "A"
    story.instruct("C")
    assert story.memory.unfinished == "B"
    story.sees(done=0.9, times=3)
    for word in ("Continue", " continue. "):
        assert story.memory.resolve(word) == "B"
    story.instruct("continue")
    assert story.memory.text == "B" and story.memory.unfinished == ""


def test_what_was_done_is_not_left_unfinished() -> None:
    story = Story("A")
    story.sees(done=0.9, times=3)
    story.instruct("B")
    assert story.memory.unfinished == ""
    story.instruct("C")
    story.sees(done=0.9, times=3)
    story.instruct("A")
    assert story.memory.unfinished == "B", "until it is taken up again"
    story.instruct("B")
    assert story.memory.unfinished == "A"
    story.instruct("B")
    assert story.memory.unfinished == "A", "the same one again supersedes nothing"


def test_withdrawn_it_is_unfinished_and_its_contact_remains() -> None:
    story = Story("A")
    story.sees(0.9)
    story.memory.withdraw()
    assert (story.memory.text, story.memory.unfinished) == ("", "A")
    story.memory.withdraw()
    assert story.memory.unfinished == "A"
    story.instruct("B")
    assert (story.previous, story.memory.unfinished) == ("A", "A")


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    write_model(tmp_path / "model", switches=True)
    return Tracker(Session(tmp_path / "model", threads=1, provider="cpu"))


def test_the_graph_reads_the_execution_state_and_estimates_it(tracker: Tracker) -> None:
    first, second, *_ = TAUGHT
    tracker.instruct(first)
    seen = frame(tracker.session.spec, contact=1)
    estimate = tracker.infer(seen).execution_estimate
    assert estimate is not None and (estimate.contact, estimate.mode, estimate.done) == (1, "forward", 0)
    moved = frame(tracker.session.spec, contact=0.8, mode="rollback")
    moved.state += 0.25
    number = tracker.instruct(second)
    likeness, contact, distance = read(tracker, moved)
    assert 0.5 < likeness < 0.99 and (contact, distance) == (1, 0.25), "likeness is that of the two sentences"
    chunk = tracker.infer(moved)
    assert (
        chunk.execution_estimate is not None
        and chunk.execution_estimate.mode == "rollback"
        and chunk.instruction == number
    )
    for _ in range(3):
        tracker.infer(frame(tracker.session.spec))
    assert read(tracker, frame(tracker.session.spec)) == (1, 0, 0), "nothing is left of the previous one"


def test_done_the_arm_rests_and_continue_takes_the_unfinished_up(tracker: Tracker) -> None:
    first, second, *_ = TAUGHT
    tracker.instruct(first)
    tracker.instruct(second)
    moving = [tracker.infer(frame(tracker.session.spec, done=1)).actions for _ in range(2)]
    assert np.ptp(moving[1][:, 0]) > 0.1 and not tracker.finished
    for _ in range(2):
        resting = tracker.infer(frame(tracker.session.spec, done=1)).actions
        assert tracker.finished and np.ptp(resting, axis=0).max() == 0
    number = tracker.instruct("Continue.")
    assert (tracker.text, tracker.unfinished, tracker.finished) == (first, "", False)
    assert tracker.infer(frame(tracker.session.spec, done=1)).instruction == number
    with pytest.raises(InputError, match="unfinished"):
        tracker.instruct("continue")
    assert tracker.text == first and tracker.instruction == number


def test_done_a_velocity_rests_at_zero(tmp_path: Path) -> None:
    first = write_model(tmp_path / "model", switches=True).action[0]
    session = Session(tmp_path / "model", threads=1, provider="cpu")
    session.spec = replace(session.spec, velocities=(first,))
    tracker = Tracker(session)
    tracker.instruct(TAUGHT[0])
    for _ in range(3):
        moving, resting = tracker.finished, tracker.infer(frame(session.spec, done=1)).actions
    assert tracker.finished and not moving
    assert (resting[:, 0] == 0).all() and np.ptp(resting, axis=0).max() == 0 and resting[0, 1] != 0


def test_an_unknown_instruction_is_refused_and_what_was_in_force_can_be_continued(tracker: Tracker) -> None:
    first = TAUGHT[0]
    before = tracker.instruct(first)
    with pytest.raises(InputError, match=r"unknown instruction 'make coffee'.*the nearest are"):
        tracker.instruct("make coffee")
    assert (tracker.text, tracker.unfinished) == ("", first) and tracker.instruction == before + 1
    with pytest.raises(InputError, match="no instruction"):
        tracker.infer(frame(tracker.session.spec))
    tracker.instruct("pull the drawer open")  # another way to say what was taught
    tracker.instruct("continue")
    assert tracker.text == first


def test_a_reset_forgets_all_but_the_count(tracker: Tracker) -> None:
    before = tracker.instruct(TAUGHT[0])
    tracker.infer(frame(tracker.session.spec, contact=1))
    tracker.instruct(TAUGHT[1])
    tracker.reset()
    assert (tracker.text, tracker.unfinished, tracker.in_contact) == ("", "", False)
    with pytest.raises(InputError, match="no instruction"):
        tracker.infer(frame(tracker.session.spec))
    assert tracker.instruct(TAUGHT[1]) == before + 2
    assert read(tracker, frame(tracker.session.spec)) == (1, 0, 0)


@pytest.mark.parametrize("empty", ["", "  ", "\u200b", "\x00", "\ufeff \n"])
def test_an_instruction_of_which_nothing_can_be_seen_changes_nothing(tracker: Tracker, empty: str) -> None:
    number = tracker.instruct(TAUGHT[0])
    with pytest.raises(InputError, match="got an empty instruction"):
        tracker.instruct(empty)
    assert (tracker.text, tracker.instruction) == (TAUGHT[0], number)


def test_a_stop_withdraws_and_says_that_the_arm_is_not_a_tracker_s_to_hold(tmp_path: Path) -> None:
    """With a plain policy, too, which would take it for a task."""
    for switches in (False, True):
        write_model(tmp_path / f"model{switches}", switches=switches)
        tracker = Tracker(Session(tmp_path / f"model{switches}", threads=1, provider="cpu"))
        tracker.instruct(TAUGHT[0])
        for text in ("stop", "No, stop!", "wait a moment"):
            with pytest.raises(InputError, match=r"no instruction is in force any more, and 'continue' resumes it; to"):
                tracker.instruct(text)
            assert (tracker.text, tracker.unfinished) == ("", TAUGHT[0])
        tracker.instruct("continue")
        assert tracker.text == TAUGHT[0]


def test_several_tasks_are_named_one_by_one(tracker: Tracker) -> None:
    tracker.instruct(TAUGHT[2])
    with pytest.raises(InputError, match=r"names several tasks; .* 'open the drawer', then 'close the drawer', each"):
        tracker.instruct("open the drawer, then close the drawer")
    assert (tracker.text, tracker.unfinished) == ("", TAUGHT[2])


def test_a_frame_from_before_the_last_one_is_a_new_beginning(tracker: Tracker) -> None:
    """A simulation that is reset: what was under way there is neither done nor in contact here."""
    spec, first = tracker.session.spec, frame(tracker.session.spec, done=1)
    tracker.instruct(TAUGHT[0])
    number = tracker.instruct(TAUGHT[1])
    for contact in (0, 0, 1):
        tracker.infer(frame(spec, contact=contact, done=1))
    assert tracker.finished and tracker.in_contact
    for step in range(3):
        seen = frame(spec, done=1)
        seen.stamp = first.stamp - 10_000_000_000 + 400_000_000 * step
        seen.state += 0.25
        if not step:
            fresh = Tracker(tracker.session)
            fresh.instruct(TAUGHT[1])
            np.testing.assert_array_equal(tracker.infer(seen).actions, fresh.infer(seen).actions)
        else:
            assert tracker.infer(seen).instruction == number
        assert (tracker.finished, tracker.in_contact, tracker.unfinished) == (step == 2, False, "")
    assert tracker.text == TAUGHT[1]


@pytest.mark.parametrize("text", [None, 5, b"open the drawer"])
def test_an_instruction_that_is_no_text_is_refused(tracker: Tracker, text: object) -> None:
    with pytest.raises(InputError, match=r"instruction: got (none|5|b'open.*), expected a sentence"):
        tracker.instruct(text)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"unknown condition 'goal'.*Valid: goal_image, goal_state, return_to_go"):
        tracker.instruct(TAUGHT[0], goal=text)
