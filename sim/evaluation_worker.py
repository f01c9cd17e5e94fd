"""What a worker of an evaluation holds: a world and a policy; it plays and films episodes.

Workers that are threads of one process share its policy: what they infer at the same time is one run of the graph.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from policy.errors import InputError
from policy.running.policy_client import PolicyServerError
from policy.running.remote import RemoteSession, open_session
from policy.running.session import Session
from sim import words_evaluation as words
from sim.evaluation_jobs import EpisodeJob, Record, Watch, play
from sim.rollout import SimulatedLoop
from sim.video import RATE, STEPS, Video
from sim.worlds import load

FILM_SIZE = (360, 480)  # height, width
PATIENCE = 300.0  # s for an answer of a policy server, which takes no time of the simulated clock

_here = threading.local()  # .world and .session of this worker
_opening = threading.Lock()


def prepare(settings: Record, threads: int) -> tuple[Callable[..., None], tuple[Any, ...]]:
    """What makes a worker ready for an evaluation."""
    provider = settings.get("provider", "cpu")
    return open_policy, (settings["world"], settings["policy"], threads, settings.get("mapping"), provider)


def open_policy(world: str, model: str, threads: int, mapping: str | None = None, provider: str = "cpu") -> None:
    """Load world and policy, once in each worker; the policy of a process is opened once."""
    with _opening:
        _here.session = _session(world, model, threads, mapping, provider)
    _here.world = load(world)()


@lru_cache(1)
def _session(world: str, model: str, threads: int, mapping: str | None, provider: str) -> Session:
    return policy_of(world, model, threads, mapping, provider)


def policy_of(world: str, model: str, threads: int, mapping: str | None, provider: str = "cpu") -> Session:
    """A policy for workers of an evaluation."""
    session = open_session(model, threads, provider, load(world).contract(), mapping, PATIENCE)
    if not isinstance(session, RemoteSession):
        session.batching.window_s = None  # robots wait for each other: meanwhile their clocks stand
    return session


@contextmanager
def answered() -> Iterator[None]:
    """`InputError` where a served policy does not answer: its episode is no failure."""
    try:
        yield
    except PolicyServerError as error:
        raise InputError(f"{error}; what was played is kept: start the server and give the command again") from None


def play_job(job: EpisodeJob) -> Record:
    """Play a job; its record."""
    with answered():
        return play(job, _here.world, _here.session)


def play_words(job: words.WordsJob) -> Record:
    """Play one sentence; its record."""
    with answered():
        return words.play(job, _here.world, _here.session)


def film_job(job: EpisodeJob, path: Path) -> None:
    """Play a job again from its seed and film it."""
    with answered(), Video(path, RATE // STEPS) as film:
        play(job, _here.world, _here.session, _filming(film))


def film_words(job: words.WordsJob, path: Path) -> None:
    """Play one sentence again and film what is done."""
    with answered(), Video(path, RATE // STEPS) as film:
        words.play(job, _here.world, _here.session, _filming(film))


def _filming(film: Video) -> Watch:
    """After each control step: a frame, where one is due."""
    steps = count()

    def watch(loop: SimulatedLoop) -> None:
        if next(steps) % STEPS == 0:
            film.add(_here.world.film(*FILM_SIZE), loop.instruction)

    return watch
