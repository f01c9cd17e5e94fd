"""Which instruction is in force in a bag: repeated, continued and withdrawn as the live robot takes them."""

from pathlib import Path

import numpy as np
import pytest

from policy.data.cache import open_cache
from policy.data.episodes import read_episodes
from policy.data.instruction_timeline import timeline
from policy.errors import InputError
from policy.running.tracker import Memory
from policy.spec import RuntimeSettings
from tests import small_robot as robot
from tests.tiny import sentence


def meant(words: list[str], done: set[int] = frozenset()) -> list[str]:
    """What each of the words put in force; `done` are those that were carried out, by their place."""
    said = list(enumerate(words))
    return [a.text for a in timeline(said, lambda since, until: since in done)]


@pytest.mark.parametrize(
    ("words", "done", "expected"),
    [
        (["A", "A", " A "], set(), ["A"]),
        (["A", "B", "A"], set(), ["A", "B", "A"]),
        (["A", "B", "continue"], set(), ["A", "B", "A"]),
        (["A", "B", "B", "continue"], set(), ["A", "B", "A"]),
        (["A", "B", "C", "continue"], set(), ["A", "B", "C", "B"]),
        (["A", "B", "C", "continue"], {1}, ["A", "B", "C", "A"]),  # B was done: A is what is unfinished
        (["A", "B", "continue", "Continue. "], set(), ["A", "B", "A", "B"]),
        (["A", "B", "continue", "continue"], set(), ["A", "B", "A"]),  # the very same words again
        (["A", "B", "continue"], {0}, ["A", "B"]),  # nothing was left: B goes on
        (["A", "", "continue"], set(), ["A", "", "A"]),
        (["A", "", "B", "continue"], set(), ["A", "", "B", "A"]),
        (["continue"], set(), [""]),
        (["", "A"], set(), ["", "A"]),
        (["A", "stop", "continue"], set(), ["A", "", "A"]),
        (["A", "Wait a moment!", "A"], set(), ["A", "", "A"]),
        (["A", "B", "stop", "continue"], {1}, ["A", "B", "", "A"]),
    ],
)
def test_what_is_in_force(words: list[str], done: set[int], expected: list[str]) -> None:
    assert meant(words, done) == expected


def live(words: list[str], done: set[int]) -> list[str]:
    """What a tracker's memory puts in force; the loop passes on what is in force already, and what it refuses."""
    memory, texts, now = Memory(RuntimeSettings(confirm_s=0.0)), [], 0
    for place, words_said in enumerate(words):
        try:
            text = memory.resolve(words_said)
        except InputError:
            continue
        if text == memory.text:
            continue
        texts.append(text)
        memory.instruct(text, sentence(text, np.full(3, place)))
        for _ in range(4 if place in done else 0):
            now += 10**9
            memory.update(now, np.zeros(2), np.array([0, 1, 1, 0, 0.0]), np.zeros((4, 2)))
    return texts


def test_as_on_the_live_robot() -> None:
    """Random conversations, against the memory that a session keeps."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        words = ["A"]
        while len(words) < 7:
            word = str(rng.choice(["A", "B", "C", "continue"]))
            if word != words[-1]:
                words.append(word)
        done = {int(place) for place in np.flatnonzero(rng.random(7) < 0.3)}
        assert meant(words, done) == live(words, done), (words, done)


@pytest.mark.parametrize("hertz", [1, 10])
def test_an_instruction_that_is_given_again_and_again_is_one_episode(tmp_path: Path, hertz: int) -> None:
    said = [
        ("/instruction", robot.string("pick"), robot.START - 1 + k * robot.SECOND // hertz) for k in range(6 * hertz)
    ]
    robot.record(tmp_path / "a", sorted([*robot.moving(6, text=""), *said], key=lambda i: i[2]))
    cache = open_cache(tmp_path, robot.contract())
    assert cache.instructions == ["pick"] and len(cache.stamps) == 120 and not cache.incomplete.any()


def test_what_was_carried_out_before_the_next_instruction_is_not_continued(tmp_path: Path) -> None:
    """A is cut short; B comes to rest before C: to continue is to do A."""
    said = [
        ("/instruction", robot.string(t), robot.START + s * robot.SECOND)
        for t, s in (("B", 2), ("C", 5), ("continue", 7))
    ]
    for still, expected in ((4.0, "A"), (1e9, "B")):
        items = [*robot.moving(9, text="A", still_from=still, still_until=5.0 if still < 9 else 1e9), *said]
        robot.record(tmp_path / f"{still}", sorted(items, key=lambda i: i[2]))
        episodes = read_episodes(tmp_path / f"{still}", robot.contract())
        assert [e.instruction for e in episodes] == ["A", "B", "C", expected]
