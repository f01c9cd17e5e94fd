"""What a worker process of an evaluation holds: one world and one policy; it plays and films episodes."""

from pathlib import Path

from policy.running.session import Session
from sim.evaluation_jobs import EpisodeJob, Record, play, succeeded
from sim.video import Video
from sim.worlds import load
from sim.worlds.interface import World

FILM_SIZE = (240, 320)  # height, width

_world: World
_session: Session


def open_policy(world: str, model: str, threads: int) -> None:
    """Load world and policy, once in each process."""
    global _world, _session
    _world, _session = load(world)(), Session(model, threads, "cpu")


def play_job(job: EpisodeJob) -> Record:
    """Play a job; its record."""
    return play(job, _world, _session)


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
