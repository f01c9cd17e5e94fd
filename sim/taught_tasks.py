"""Which tasks of a world a policy was taught: what else there is, it refuses, which says nothing of how it does."""

import sys
from collections.abc import Iterable, Sequence

from policy.errors import InputError
from policy.running.session import Session
from sim.worlds.interface import Task


def taught(names: Iterable[str], session: Session) -> list[str]:
    """Of tasks those that a policy was taught; all where it does not know, or calls them otherwise."""
    names = list(names)
    return [name for name in names if name in session.tasks] or names


def sentences(task: Task, session: Session) -> tuple[str, ...]:
    """Of a task's training phrasings those that a policy was taught; all where it does not know, or knows others."""
    known = {sentence for _, sentence in session.taught}
    return tuple(phrasing for phrasing in task.phrasings if phrasing in known) or task.phrasings


def not_taught(tasks: Iterable[Task], sessions: Sequence[Session]) -> frozenset[str]:
    """The training phrasings of tasks in which policies that are compared are not asked: all were taught the others.

    `InputError` where they have no sentence of a task in common.
    """
    left: set[str] = set()
    for task in tasks:
        known = set(task.phrasings).intersection(*(sentences(task, session) for session in sessions))
        if not known:
            raise InputError(f"no sentence of {task.name} was taught to both policies; give two that share one")
        left |= set(task.phrasings) - known
    return frozenset(left)


def asked(names: Iterable[str], session: Session) -> list[str]:
    """As `taught`; says what is left out."""
    names = list(names)
    kept = taught(names, session)
    if left := [name for name in names if name not in kept]:
        print(f"left out, as the policy was not taught it: {', '.join(left)}", file=sys.stderr)
    return kept
