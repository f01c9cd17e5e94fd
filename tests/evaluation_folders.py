"""Folders of evaluations as `sim.evaluate` leaves them, without playing anything."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from sim.evaluation_page.curve_files import CurveFiles
from sim.evaluation_page.page import VIDEOS
from sim.evaluation_page.written import LOG, REPORT, SETTINGS, write_json, write_page
from sim.plain_report import KIND, summarise
from sim.video import Video

TASKS = ["put_red", "lamp_on", "open_drawer"]
WORDS = {
    "put_red": "put the red block in the bowl",
    "lamp_on": "</script><b>turn on</b> the lamp",
    "open_drawer": "open",
}
STEPS = 60


def curves(task: str, seed: int) -> dict[str, Any]:
    """Of an episode that turns to another instruction half-way."""
    waves = np.sin(np.linspace(0, 3, STEPS)[:, None] * np.arange(1, 9) + seed)
    half = STEPS // 2
    return {
        "actions": waves.tolist(),
        "instruction": [[0, WORDS[task]], [half, "stop"]],
        "mode": [[0, ""], [2, "forward"], [half, "rollback"]],
        "contact": [[0, 0], [20, 1], [50, 0]],
        "estimated": [[0, 0], [22, 1], [48, 0]],
        "done": [[0, 0]],
        "refused": "unknown instruction" if task == "open_drawer" else "",
    }


def write(folder: Path, lost: set[int], films: tuple[int, ...] = (), episodes: int = 40) -> Path:
    """A plain evaluation whose episodes `lost`, by seed, are failures; those in `films` are filmed."""
    folder.mkdir()
    settings = {
        "policy": f"models/{folder.name}",
        "world": "tabletop",
        "sha256": "0123456789abcdef",
        "seed": 1_000_000,
        "episodes": episodes,
        "held_out": 1,
        "chains": 0,
        "tasks": TASKS,
    }
    records, files = [], CurveFiles(folder, 1000)
    for number, job in enumerate(KIND.jobs(settings)):
        won = job.seed not in lost and job.run != "shuffled"
        record = {"run": job.run, "task": job.task, "seed": job.seed, "start": job.start, "shift": "none"}
        record |= {"instructed_task": job.task, "instruction": WORDS[job.task], "success": won, "outcome": ""}
        record |= {"steps": 40 + number % 17, "interventions": {}}
        records.append(record)
        files.write(number, curves(job.task, job.seed))
        row = KIND.row(record)
        if job.seed in films and row is not None:
            (folder / VIDEOS).mkdir(exist_ok=True)
            with Video(folder / VIDEOS / row.film) as film:
                for i in range(STEPS):
                    film.add(np.full((96, 128, 3), 4 * i, np.uint8), str(i))
    write_json(folder / SETTINGS, settings)
    (folder / LOG).write_text("".join(json.dumps(record) + "\n" for record in records))
    write_json(folder / REPORT, summarise(settings, records) | {"command": "python -m sim.evaluate"})
    write_page(KIND, folder)
    return folder
