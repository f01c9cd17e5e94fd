"""What a worker process of an evaluation holds: one world and one policy; it plays and films episodes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from policy.errors import InputError
from policy.running.policy_client import PolicyServerError
from policy.running.remote import open_session
from policy.running.session import Session
from sim import words_evaluation as words
from sim.evaluation_jobs import EpisodeJob, Record, play
from sim.video import Video
from sim.worlds import load
from sim.worlds.interface import World

FILM_SIZE = (360, 480)  # height, width
PATIENCE = 300.0  # s for an answer of a policy server, which takes no time of the simulated clock

_world: World
_session: Session


def prepare(settings: Record, threads: int) -> tuple[Callable[..., None], tuple[Any, ...]]:
    """What makes a worker ready for an evaluation."""
    return open_policy, (settings["world"], settings["policy"], threads, settings.get("mapping"))


def open_policy(world: str, model: str, threads: int, mapping: str | None = None) -> None:
    """Load world and policy, once in each process."""
    global _world, _session
    kind = load(world)
    _world, _session = kind(), open_session(model, threads, "cpu", kind.contract(), mapping, PATIENCE)


def play_job(job: EpisodeJob) -> Record:
    """Play a job; its record. `InputError` where a served policy does not answer: its episode is no failure."""
    try:
        return play(job, _world, _session)
    except PolicyServerError as error:
        raise InputError(f"{error}; what was played is kept: start the server and give the command again") from None


def play_words(job: words.WordsJob) -> Record:
    """Play one sentence; its record."""
    return words.play(job, _world, _session)


def film_job(job: EpisodeJob, path: Path) -> None:
    """Play a job again from its seed and film it."""
    with Video(path) as film:
        play(job, _world, _session, lambda loop: film.add(_world.film(*FILM_SIZE), loop.instruction))


def film_words(job: words.WordsJob, path: Path) -> None:
    """Play one sentence again and film what is done."""
    with Video(path) as film:
        words.play(job, _world, _session, lambda loop: film.add(_world.film(*FILM_SIZE), loop.instruction))
