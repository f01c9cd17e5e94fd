"""What LeRobot's own package does with data sets; run by its environment (`make lerobot`), not by ours.

    python lerobot_judge.py load DATA OUT.npz  write DATA image  write DATA video

    load     every frame as LeRobotDataset gives it
    write    a data set written by it, and DATA.npz with what went in

It prints its versions. Several in a row, as its import takes longest.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

FPS, EPISODES, FRAMES, SIZE = 20, 3, 25, 64
JOINTS = ("j1", "j2", "grip")


def load(root: Path, out: Path) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    data = LeRobotDataset("local/judged", root=root, video_backend="pyav")
    assert data.num_frames == len(data) and data.meta.stats is not None
    columns: dict[str, list] = {"task": []}
    for i in range(len(data)):
        item = data[i]
        columns["task"].append(item.pop("task"))
        for name, value in item.items():
            if name in data.meta.camera_keys:  # float (3, h, w) in [0, 1]
                value = (value * 255).round().byte().permute(1, 2, 0)
            columns.setdefault(name, []).append(value if isinstance(value, str) else value.numpy())
    np.savez(out, **{name: np.array(values) for name, values in columns.items()})


def write(root: Path, video: bool) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    picture = {"shape": (SIZE, SIZE, 3), "names": ["height", "width", "channels"]}
    vector = {"dtype": "float32", "shape": (len(JOINTS),), "names": list(JOINTS)}
    kind = {"dtype": "video" if video else "image"}
    data = LeRobotDataset.create(
        "local/written",
        FPS,
        {"observation.images.front": picture | kind, "observation.state": vector, "action": vector},
        root=root,
        use_videos=video,
    )
    rng = np.random.default_rng(0)
    given: dict[str, list] = {"state": [], "action": [], "task": [], "image": []}
    for episode in range(EPISODES):
        for t in range(FRAMES + episode):
            where = np.array([0.5 * np.sin(t / 9), 0.3 * np.cos(t / 9), 0.02], np.float32)
            then = np.array([0.5 * np.sin((t + 1) / 9), 0.3 * np.cos((t + 1) / 9), 0.02], np.float32)
            image = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8) if not video else moving(t)
            text = "lift it" if episode == 1 and t > 12 else "pick the cup"
            data.add_frame(
                {"observation.images.front": image, "observation.state": where, "action": then, "task": text}
            )
            for name, value in zip(given, (where, then, text, image), strict=True):
                given[name].append(value)
        data.save_episode()
    data.finalize()
    np.savez(root.with_suffix(".npz"), **{name: np.array(values) for name, values in given.items()})


def moving(t: int) -> np.ndarray:
    """A smooth picture with an edge that moves."""
    y, x = np.mgrid[:SIZE, :SIZE]
    image = np.stack([60 + x, 60 + y, np.full_like(x, 90)], -1).astype(np.uint8)
    image[20:40, 5 + t : 20 + t] = (200, 40, 40)
    return image


def main() -> None:
    arguments = iter(sys.argv[1:])
    for what in arguments:
        data, how = Path(next(arguments)), next(arguments)
        if what == "load":
            load(data, Path(how))
        else:
            write(data, video=how == "video")
    packages = ("lerobot", "torch", "torchvision", "datasets", "av", "numpy")
    print(json.dumps({"python": sys.version.split()[0]} | {name: version(name) for name in packages}))


main()
