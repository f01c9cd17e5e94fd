"""What a worker process of an evaluation holds: one world and one policy; it plays and films episodes."""

from pathlib import Path

from policy.errors import InputError
from policy.running.policy_client import PolicyServerError
from policy.running.remote import open_session
from policy.running.session import Session
from sim.evaluation_jobs import EpisodeJob, Record, play, succeeded
from sim.video import Video
from sim.worlds import load
from sim.worlds.interface import World

FILM_SIZE = (240, 320)  # height, width
PATIENCE = 300.0  # s for an answer of a policy server, which takes no time of the simulated clock

_world: World
_session: Session


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


def film_job(job: EpisodeJob, path: Path) -> Record:
    """Play a job again from its seed and film it."""
    instructions: list[str] = []

    def watch() -> None:
        film.add(_world.render(_world.show_camera, *FILM_SIZE), instructions[-1])

    with Video(path) as film:
        record = play(job, _world, _session, lambda task, instruction: instructions.append(instruction), watch)
    return {
        "task": job.task or "chain",
        "seed": job.seed,
        "start": job.start,
        "shift": job.shift,
        "success": succeeded(record),
        "instruction": " → ".join(instructions),
        "file": f"{path.parent.name}/{path.name}",
    }
