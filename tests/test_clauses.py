"""Several tasks in one sentence, in the order in which they are to be done."""

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy.errors import InputError
from policy.robot.instructions import LONGEST
from policy.running.clauses import steps
from policy.running.session import Session
from policy.running.text import Sentence
from tests.tiny import sentence, write_model

TASKS = {
    "open the drawer": "open",
    "opening the drawer": "open",
    "you have opened the drawer": "open",
    "pull it out": "open",
    "turn on the lamp": "lamp",
    "turning on the lamp": "lamp",
    "you turn on the lamp": "lamp",
    "lamp on": "lamp",
    "put the block in the bowl": "put",
    "pick up the block and put it in the bowl": "put",
    "open the drawer and pull it out": "open",
    "lamp on and off": "lamp",
    "off": "dark",
    "blue below, red on top": "stack",
    "blue below": "put",
    "red on top": "open",
    "it is dark here, lamp on": "lamp",
    "press the button": "lamp",
    "the light goes off": "dark",
    "press the button, the light goes off": "dark",
    "never mind the noise, lamp on": "dark",
    "lamp on once more": "lamp",
    "lamp on once and for all": "lamp",
    "at once, lamp on": "lamp",
    "lamp, go on": "lamp",
}
DOUBTFUL = {"never mind the noise, lamp on", "off", "blue below", "red on top"}
CERTAIN = {"press the button, the light goes off"}


def read(text: str) -> Sentence:
    known = text.lower()
    if known not in TASKS:
        raise InputError(f"unknown: {text}")
    doubt = 0.5 if known in DOUBTFUL else 0.02 if known in CERTAIN else 0.1
    return replace(sentence(text, np.zeros(3, np.float32)), task=TASKS[known], doubt=doubt)


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("open the drawer", ["open"]),
        ("open the drawer, then turn on the lamp", ["open", "lamp"]),
        ("open the drawer and then turn on the lamp", ["open", "lamp"]),
        ("Open the drawer. Turn on the lamp.", ["open", "lamp"]),
        ("open the drawer; turn on the lamp", ["open", "lamp"]),
        ("first open the drawer, after that turn on the lamp", ["open", "lamp"]),
        ("First, open the drawer and afterwards turn on the lamp", ["open", "lamp"]),
        ("open the drawer and turn on the lamp", ["open", "lamp"]),
        ("open the drawer, turn on the lamp", ["open", "lamp"]),
        ("open the drawer, and when that is done turn on the lamp", ["open", "lamp"]),
        ("open the drawer, turn on the lamp and put the block in the bowl", ["open", "lamp", "put"]),
        ("open the drawer, then turn on the lamp, then put the block in the bowl", ["open", "lamp", "put"]),
        ("turn on the lamp after opening the drawer", ["open", "lamp"]),
        ("after opening the drawer, turn on the lamp", ["open", "lamp"]),
        ("turn on the lamp once you have opened the drawer", ["open", "lamp"]),
        ("open the drawer before turning on the lamp", ["open", "lamp"]),
        ("before you turn on the lamp, open the drawer", ["open", "lamp"]),
        ("blue below, red on top", ["stack"]),
        ("turn on the lamp, but first open the drawer", ["open", "lamp"]),
        ("pick up the block and put it in the bowl", ["put"]),
        ("it is dark here, lamp on", ["lamp"]),
        ("press the button and the light goes off", ["lamp", "dark"]),
        ("open the drawer and pull it out", ["open"]),
        ("turn on the lamp, but open the drawer first", ["open", "lamp"]),
        ("turn on the lamp. First open the drawer.", ["open", "lamp"]),
        ("turn on the lamp, before that open the drawer", ["open", "lamp"]),
        ("turn on the lamp and before that open the drawer", ["open", "lamp"]),
        ("open the drawer first, then turn on the lamp", ["open", "lamp"]),
        ("first of all open the drawer, then turn on the lamp", ["open", "lamp"]),
        ("lamp on once more", ["lamp"]),
        ("lamp on once and for all", ["lamp"]),
        ("at once, lamp on", ["lamp"]),
        ("lamp on once you have opened the drawer", ["open", "lamp"]),
        ("pick up the block and put it in the bowl and lamp on as well", ["put", "lamp"]),
    ],
)
def test_what_a_text_names(text: str, tasks: list[str]) -> None:
    assert [one.task for one in steps(text, read)] == tasks


def test_a_taught_sentence_is_one_task_also_as_a_part() -> None:
    text = "lamp, go on, then open the drawer"
    assert [one.task for one in steps(text, read, lambda part: part == "lamp, go on")] == ["lamp", "open"]


@pytest.mark.parametrize(
    "text",
    [
        "lamp on and off",
        "press the button, the light goes off",
        "never mind the noise, lamp on",
        "open the drawer, then dance",
        "dance and turn on the lamp",
        "dance, then turn on the lamp",
        "dance",
        "then",
        ", and",
    ],
)
def test_what_is_not_known_as_a_whole_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        steps(text, read)


@pytest.mark.parametrize("filling", [" ", ",", " ,", "\t", ".", "-", " -", "and ", "a", "; "])
def test_no_sentence_takes_long_to_read(tmp_path: Path, filling: str) -> None:
    """A pattern that tries each way to divide a run of spaces takes a minute, in which nobody can stop the arm."""
    write_model(tmp_path / "tiny", switches=True)
    session = Session(tmp_path / "tiny", 1, "cpu")
    text = "open the drawer" + (filling * 990)[: LONGEST - 20] + "x"
    began = time.process_time()
    with suppress(InputError):
        session.steps(text)
    assert time.process_time() - began < 5
