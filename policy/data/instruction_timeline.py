"""Which instruction is in force when, of the words that were said in a bag: as the live robot takes them.

said         A       A      B          continue     ""
in force     |A---------------|B---------|A----------|(none)
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from policy.robot.instructions import continues, stops


class Active(NamedTuple):
    """An instruction and the time from which it is in force; the next one ends it."""

    since: int  # ns
    text: str  # "" where nothing is to be done
    why: str  # there is nothing to be done


def timeline(said: Sequence[tuple[int, str]], finished: Callable[[int, int], bool]) -> list[Active]:
    """What is in force, of (time, words), as `InferenceLoop.instruct` has it.

    The same words again change nothing. "continue" resumes what was superseded before it was done; where nothing
    was, what is under way goes on. "stop" ends what is under way, and so do no words, which a robot refuses.
    `finished(since, until)` is whether what was in force between two times [ns] was done by then.
    """
    active: list[Active] = []
    unfinished, last = "", None
    for time, words in said:
        text, now = words.strip(), active[-1] if active else Active(time, "", "")
        again, last = text == last, text
        meant = "" if stops(text) else unfinished if continues(text) else text
        if again or (meant and meant == now.text) or (continues(text) and not meant and now.text):
            continue
        if now.text and not finished(now.since, time):
            unfinished = now.text
        elif unfinished == meant:
            unfinished = ""
        why = "with nothing to continue" if continues(text) else "after a stop" if text else "with an empty instruction"
        active.append(Active(time, meant, "" if meant else why))
    return active
