"""Questions and conditions are no orders: nothing moves because of them."""

import pytest

from policy.running.questions import asks_or_supposes
from sim.worlds import load

ORDERS = [
    text for task in load("tabletop").tasks.values() for text in (*task.phrasings, *task.reworded, *task.new_words)
]


@pytest.mark.parametrize(
    "text",
    [
        "is the drawer open?",
        "Is the drawer open",
        "are the blocks in the bowl?",
        "can you see the drawer?",
        "what is in the drawer?",
        "where is the red block?",
        "how many blocks are in the bowl?",
        "if the lamp is on, open the drawer",
        "open the drawer if the lamp is off",
        "open the drawer when the lamp is on",
        "whenever it gets dark turn on the lamp",
        "turn on the lamp in case it is dark",
        "open the drawer unless it is open",
        "should I put the red block in the bowl?",
        "have you put the red block in the bowl?",
        "has the red block been put in the bowl",
        "has the drawer been opened?",
        "how do I open the drawer?",
        "why is the drawer open?",
        "please, is the drawer open?",
        "hey robot, is the drawer open?",
        "tell me whether the drawer is open",
    ],
)
def test_a_question_and_a_condition_are_told(text: str) -> None:
    assert asks_or_supposes(text)


@pytest.mark.parametrize(
    "text",
    [
        "could you open the drawer?",
        "would you mind opening the drawer?",
        "can you open the drawer?",
        "open the drawer if you don't mind",
        "if possible, open the drawer",
        "if you would like, open the drawer",
        "open the drawer, and when that is done turn on the lamp",
        "is it possible to open the drawer?",
        "are you able to open the drawer?",
        "can you see to it that the drawer is open?",
        "have the drawer pulled out",
        "why don't you open the drawer?",
        "why not open the drawer?",
    ],
)
def test_an_order_is_none(text: str) -> None:
    assert not asks_or_supposes(text)


def test_no_sentence_of_a_task_is_taken_for_one() -> None:
    assert len(ORDERS) > 900 and not [text for text in ORDERS if asks_or_supposes(text)]
