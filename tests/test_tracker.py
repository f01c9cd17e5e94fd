"""The book of an execution, rule by rule, and the same through ONNX Session with the tiny switching model."""

from pathlib import Path

import numpy as np
import pytest

from policy.errors import InputError
from policy.running.session import Session
from policy.running.tracker import Execution
from policy.spec import MODES
from tests.tiny import TAUGHT, frame, read, write_model

A, B, C = np.eye(3, dtype=np.float32)
NAMES = {"A": A, "B": B, "C": C}
HORIZON, JOINTS = 4, 2


class Story:
    """A book and the shortest words to fill it."""

    def __init__(self, *instructions: str) -> None:
        self.book, self.place = Execution(), 0.0
        for name in instructions:
            self.instruct(name)

    def instruct(self, name: str) -> None:
        meant = self.book.meant(name)
        self.book.instruct(meant, NAMES[meant])

    def sees(self, contact: float = 0, mode: str = "forward", done: float = 0, times: int = 1) -> np.ndarray:
        """Some inferences, each one further on; the last one's actions."""
        for _ in range(times):
            self.place += 1.0
            told = np.array([contact, done, *(mode == m for m in MODES)], np.float32)
            actions = self.place + np.arange(HORIZON * JOINTS, dtype=np.float32).reshape(HORIZON, JOINTS)
            said, kept = self.book.enter(np.full(JOINTS, self.place, np.float32), told, actions)
            assert (said.contact, said.mode, said.done) == (pytest.approx(contact), mode, pytest.approx(done))
        return kept

    @property
    def previous(self) -> str:
        fed = self.book.inputs(np.zeros(JOINTS))["previous_instruction"][0]
        return next(name for name, embedding in NAMES.items() if np.array_equal(embedding, fed))

    @property
    def origin(self) -> float:
        """-1 stands for the present state."""
        return float(self.book.inputs(np.full(JOINTS, -1.0))["contact_origin"][0, 0])


def test_at_first_the_previous_instruction_is_the_present_one_and_there_is_no_contact() -> None:
    story = Story("A")
    fed = story.book.inputs(np.array([0.5, 0.25]))
    assert {k: (v.shape, v.dtype.name) for k, v in fed.items()} == {
        "previous_instruction": ((1, 3), "float32"),
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
    for contact, touching, origin in (
        (0.59, False, -1),
        (0.61, True, 2),
        (0.41, True, 2),
        (0.99, True, 2),
        (0.39, False, -1),
        (0.59, False, -1),
        (0.61, True, 7),
    ):
        story.sees(contact)
        assert (story.book.touching, story.origin) == (touching, origin)
        assert story.book.inputs(np.zeros(JOINTS))["contact"][0, 0] == np.float32(contact)


def test_done_three_times_in_a_row_is_done_and_the_arm_rests_until_a_new_instruction() -> None:
    story = Story("A")
    story.sees(done=0.9, times=2)
    story.sees(done=0.5)
    moving = story.sees(done=0.9, times=2)
    assert not story.book.finished and len(np.unique(moving[:, 0])) == HORIZON
    resting = story.sees(done=0.9)
    assert story.book.finished and np.array_equal(resting, np.tile([6.0, 7.0], (HORIZON, 1)))
    assert np.array_equal(story.sees(0.9, done=0.1), resting), "and stays so, whatever is told"
    assert story.book.touching, "the estimates go on"
    story.instruct("B")
    assert not story.book.finished and not np.array_equal(story.sees(done=0.9, times=2), resting)
    story.sees(done=0.9)
    story.instruct("B")
    assert not story.book.finished, "the same one again begins anew"


def test_continue_is_one_level_deep() -> None:
    story = Story("A")
    with pytest.raises(InputError, match="no instruction was left unfinished"):
        story.instruct("continue")
    story.instruct("B")
    assert story.book.unfinished == "A"
    story.instruct("C")
    assert story.book.unfinished == "B"
    story.sees(done=0.9, times=3)
    for word in ("Continue", " continue. "):
        assert story.book.meant(word) == "B"
    story.instruct("continue")
    assert story.book.text == "B" and story.book.unfinished == ""


def test_what_was_done_is_not_left_unfinished() -> None:
    story = Story("A")
    story.sees(done=0.9, times=3)
    story.instruct("B")
    assert story.book.unfinished == ""
    story.instruct("C")
    story.sees(done=0.9, times=3)
    story.instruct("A")
    assert story.book.unfinished == "B", "until it is taken up again"
    story.instruct("B")
    assert story.book.unfinished == "A"
    story.instruct("B")
    assert story.book.unfinished == "A", "the same one again supersedes nothing"


def test_withdrawn_it_is_unfinished_and_its_contact_remains() -> None:
    story = Story("A")
    story.sees(0.9)
    story.book.withdraw()
    assert (story.book.text, story.book.unfinished) == ("", "A")
    story.book.withdraw()
    assert story.book.unfinished == "A"
    story.instruct("B")
    assert (story.previous, story.book.unfinished) == ("A", "A")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    write_model(tmp_path / "model", switches=True)
    return Session(tmp_path / "model", threads=1, provider="cpu")


def test_the_graph_reads_the_book_and_the_chunk_tells(session: Session) -> None:
    first, second, *_ = TAUGHT
    session.instruct(first)
    seen = frame(session.spec, contact=1)
    told = session.infer(seen).execution_estimate
    assert told is not None and (told.contact, told.mode, told.done) == (1, "forward", 0)
    moved = frame(session.spec, contact=0.8, mode="rollback")
    moved.state += 0.25
    number = session.instruct(second)
    likeness, contact, distance = read(session, moved)
    assert 0.5 < likeness < 0.99 and (contact, distance) == (1, 0.25), "likeness is that of the two sentences"
    chunk = session.infer(moved)
    assert (
        chunk.execution_estimate is not None
        and chunk.execution_estimate.mode == "rollback"
        and chunk.instruction == number
    )
    calm = frame(session.spec)
    for _ in range(3):
        session.infer(calm)
    assert read(session, calm) == (1, 0, 0), "let go"


def test_done_the_arm_rests_and_continue_takes_the_unfinished_up(session: Session) -> None:
    first, second, *_ = TAUGHT
    session.instruct(first)
    session.instruct(second)
    done = frame(session.spec, done=1)
    moving = [session.infer(done).actions for _ in range(2)]
    assert np.ptp(moving[1][:, 0]) > 0.1 and not session.finished
    for _ in range(2):
        resting = session.infer(done).actions
        assert session.finished and np.ptp(resting, axis=0).max() == 0
    number = session.instruct("Continue.")
    assert (session.text, session.unfinished, session.finished) == (first, "", False)
    assert session.infer(done).instruction == number
    with pytest.raises(InputError, match="unfinished"):
        session.instruct("continue")
    assert session.text == first and session.instruction == number


def test_an_unknown_instruction_is_refused_and_what_was_in_force_can_be_continued(session: Session) -> None:
    first = TAUGHT[0]
    before = session.instruct(first)
    with pytest.raises(InputError, match=r"unknown instruction 'make coffee'.*expected 0\.53 or more"):
        session.instruct("make coffee")
    assert (session.text, session.unfinished) == ("", first) and session.instruction == before + 1
    with pytest.raises(InputError, match="no instruction"):
        session.infer(frame(session.spec))
    session.instruct("pull the drawer open")  # another way to say what was taught
    session.instruct("continue")
    assert session.text == first


def test_a_reset_forgets_all_but_the_count(session: Session) -> None:
    before = session.instruct(TAUGHT[0])
    session.infer(frame(session.spec, contact=1))
    session.instruct(TAUGHT[1])
    session.reset()
    assert (session.text, session.unfinished, session.touching) == ("", "", False)
    with pytest.raises(InputError, match="no instruction"):
        session.infer(frame(session.spec))
    assert session.instruct(TAUGHT[1]) == before + 2
    assert read(session, frame(session.spec)) == (1, 0, 0)
