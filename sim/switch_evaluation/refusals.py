"""Whether a policy refuses sentences that mean none of its tasks; none was used to tune the refusal."""

from collections.abc import Iterable, Mapping
from typing import Any

from policy.errors import InputError
from policy.running.remote import RemoteSession
from policy.running.session import Session
from sim.success_rate import success_rate
from sim.worlds.interface import Task

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


def refusal_rates(session: Session, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """The rates at which unknown sentences and held-out phrasings of the tasks are refused, and the wrong decisions.

    None of a policy server, which is asked with a frame alone.
    """
    if isinstance(session, RemoteSession):
        return {"unknown_refused": None, "reworded_refused": None}
    reworded = [phrasing for task in tasks.values() for phrasing in task.reworded]
    unknown, known = ({text: _refuses(session, text) for text in texts} for texts in (UNKNOWN, reworded))
    return {
        "unknown_refused": _rate(unknown.values()) | {"accepted": [t for t, refused in unknown.items() if not refused]},
        "reworded_refused": _rate(known.values()) | {"refused": [t for t, refused in known.items() if refused]},
    }


def _rate(refused: Iterable[bool]) -> dict[str, Any]:
    return success_rate({"success": one} for one in refused)


def _refuses(session: Session, text: str) -> bool:
    try:
        session.embed(text)
    except InputError:
        return True
    return False
