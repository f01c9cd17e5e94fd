"""Which sentences forbid what they name."""

import pytest

from policy.running.negation import negations


@pytest.mark.parametrize(
    "text",
    [
        *(
            "don't open the drawer",
            "Do NOT open the drawer",
            "don\u2019t open it",
            "dont open the drawer",
            "never open it",
        ),
        *("leave the drawer closed", "keep the lamp off", "the drawer stays shut", "leave the red block where it is"),
        *("you shouldn't close the drawer", "the lamp mustn't be on", "I won't have the drawer open", "not the drawer"),
        *("there is no need to open the drawer", "avoid the puck", "put anything but the red block in the bowl"),
        *(
            "stop opening the drawer",
            "close it without touching the lamp",
            "forget the drawer",
            "any block but the red one",
            "never mind about opening the drawer",
            "never mind that drawer",
            "it is too late to open the drawer",
            "postpone opening the drawer",
            "delay opening the drawer",
        ),
    ],
)
def test_a_sentence_that_forbids(text: str) -> None:
    assert negations(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "open the drawer",
            "don't forget to open the drawer",
            "Why don't you open the drawer?",
            "why not open the drawer",
        ),
        *("can't you open the drawer", "if you don't mind, open the drawer", "without delay open the drawer"),
        *("don't hesitate to open the drawer", "do not stop until the drawer is open", "put the note in the knot", ""),
        *("the lamp is not on yet, turn it on", "push the button on the noisy box"),
        *("never mind the mess, open the drawer", "never mind that, open the drawer", "don't delay, open the drawer"),
    ],
)
def test_a_sentence_that_asks(text: str) -> None:
    assert not negations(text)


def test_the_word_that_negates_is_named_alike_in_its_forms() -> None:
    assert negations("don't open it") == negations("do not open it") == {("do not", "open")}
    assert negations("no more light please") == {("no", "more")}
    assert negations("leave the lamp on") == negations("leave it") == {("leave", "")}, "whatever follows"
