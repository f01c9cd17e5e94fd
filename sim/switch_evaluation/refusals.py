"""Sentences that no task here means, and whether a policy refuses them. None was looked at to tune the refusal."""

from collections.abc import Iterable
from typing import Any

from policy.errors import InputError
from policy.running.session import Session
from sim.report import rate
from sim.tasks import TASKS

UNKNOWN = (
    "boil two eggs for seven minutes",
    "pour me a glass of orange juice",
    "chop the onions and fry them",
    "overtake the truck and take the next exit",
    "park the car in the garage",
    "how was your weekend",
    "tell me a joke about penguins",
    "what is the capital of portugal",
    "walk up the stairs and wait for me",
    "take off and hover at ten metres",
    "vacuum the living room carpet",
    "fold the shirts and iron the trousers",
    "open the window a little",
    "close the curtains, the neighbours are watching",
    "push the wheelchair to the entrance",
    "play some jazz from the nineteen fifties",
    "weld the two steel pipes together",
    "feed the cat and clean its tray",
    "book a flight to tokyo for friday",
    "tighten the screws with a torque wrench",
)


def refusals(session: Session) -> dict[str, Any]:
    """How many unknown sentences are refused, and how many reworded ones of the tasks; and which ones wrongly."""
    reworded = [words for task in TASKS.values() for words in task.reworded]
    unknown, known = ({words: _refuses(session, words) for words in said} for said in (UNKNOWN, reworded))
    return {
        "unknown_refused": _rate(unknown.values()) | {"accepted": [w for w, no in unknown.items() if not no]},
        "reworded_refused": _rate(known.values()) | {"refused": [w for w, no in known.items() if no]},
    }


def _rate(refused: Iterable[bool]) -> dict[str, Any]:
    return rate({"success": no} for no in refused)


def _refuses(session: Session, words: str) -> bool:
    session.reset()
    try:
        session.instruct(words)
    except InputError:
        return True
    return False
