"""What training reads: a cache of decoded frames beside the bags, and windows of it.

    <bags>/.cache/<fingerprint of the contract>/
        index.jsonl     one line a bag: name, size, time, episodes, what was lost   (written after its frames)
        <field>.bin     image_<camera>, state, actions, stamps, contact, mode: rows of all bags, one after the other

The cache only grows at its end: what the index does not name is cut away and decoded again, so that an
interrupted run goes on where it was and added bags cost only themselves. A changed or removed bag begins it
anew.
"""

import fcntl
import json
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from policy.data import workers
from policy.data.bags import find_bags, read_episodes, summary
from policy.errors import InputError
from policy.robot import streams
from policy.robot.contract import Contract
from policy.spec import Episode, Spec

UNLABELLED = 255  # in contact.bin and mode.bin

Decoded = tuple[list[Episode], Counter[str], str]  # episodes, what was lost, why the bag cannot be used


@dataclass(slots=True)
class Cache:
    """All frames of a folder of bags: N frames of E episodes, as read-only arrays on disk."""

    contract: Contract
    images: dict[str, np.ndarray]  # camera -> uint8 (N, height, width, 3)
    state: np.ndarray  # float32 (N, S)
    actions: np.ndarray  # float32 (N, A)
    stamps: np.ndarray  # int64 (N,) ns
    contact: np.ndarray | None  # bool (N,), None unless all bags tell it
    mode: np.ndarray  # uint8 (N,) into MODES, forward where there is no label
    episode: np.ndarray  # int32 (N,)
    bounds: np.ndarray  # int64 (E + 1,): episode e is bounds[e] .. bounds[e + 1]
    instructions: list[str]  # (E,)
    tasks: list[str | None]  # (E,)
    broken: np.ndarray  # bool (E,): not carried out: another instruction follows, or it ends on the way
    bags: list[str]  # (E,) where it was recorded
    lost: Counter[str]  # reason -> messages and frames that could not be used


def open_cache(bags: Path, contract: Contract, processes: int = 2) -> Cache:
    """Open the cache of a folder of bags, decoding first what it lacks.

    `InputError` if there is no bag, one does not fit the contract, or the disk fills; what is decoded stays.
    """
    found = {str(bag.relative_to(bags)): bag for bag in find_bags(bags)}
    base = bags if bags.is_dir() else bags.parent
    folder = base / ".cache" / contract.reading
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):  # of several training processes one decodes, the others wait
            lines = _valid(folder, contract.spec, found)
            todo = [name for name in found if name not in {line["bag"] for line in lines}]
            if todo:
                lines += _decode_all(folder, contract, {name: found[name] for name in todo}, lines, processes)
    except OSError as error:
        raise InputError(
            f"cannot write the cache of frames in {folder}: {error.strerror or error}; "
            "free space or give a folder that can be written; what is decoded stays"
        ) from error
    return _open(folder, contract, lines)


class Windows:
    """Training samples: a frame and the H set-points from it on, for each of N frames.

    Set-points are found by time, so that a lost frame does not shift those after it. Past its end an episode
    goes on with its last set-point: the robot holds. Where frames are missing, or the instruction changed, the mask is
    False.
    """

    def __init__(self, cache: Cache, horizon: int) -> None:
        self.cache, self.horizon = cache, horizon
        self._rows, self._mask = _rows(cache, horizon)

    def __len__(self) -> int:
        return len(self.cache.state)

    def batch(self, indices: np.ndarray, rng: np.random.Generator, shift: int) -> dict[str, np.ndarray]:
        """Samples: image_<camera> (B, h, w, 3), state (B, S), actions (B, H, A), mask (B, H), episode (B,).

        Each image moves by up to `shift` pixels in both directions, its edge repeated.
        """
        cache, indices = self.cache, np.asarray(indices)
        out = {
            f"image_{name}": _shifted(images, indices, rng.integers(-shift, shift + 1, (len(indices), 2)))
            for name, images in cache.images.items()
        }
        return out | {
            "state": cache.state[indices],
            "actions": cache.actions[self._rows[indices]],
            "mask": self._mask[indices],
            "episode": cache.episode[indices],
        }


def statistics(cache: Cache) -> dict[str, np.ndarray]:
    """Means and deviations that normalise a policy, float32.

    state_mean, state_std (S,); delta_mean, delta_std (H, A) of actions[t + i] - state[t], the state of the
    joints that actions command; action_min, action_max (A,).
    """
    spec = cache.contract.spec
    rows, mask = _rows(cache, spec.horizon)
    state = np.asarray(cache.state, np.float64)
    present = state[:, [spec.state.index(name) for name in spec.action]]
    means, deviations = [], []
    for i in range(spec.horizon):
        delta = (cache.actions[rows[:, i]] - present)[mask[:, i]]
        means.append(delta.mean(0))
        deviations.append(delta.std(0))
    values = {
        "state_mean": state.mean(0),
        "state_std": state.std(0),
        "delta_mean": means,
        "delta_std": deviations,
        "action_min": cache.actions.min(0),
        "action_max": cache.actions.max(0),
    }
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def _rows(cache: Cache, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, H) int32: the frame whose action is action i of frame t; (N, H) bool: whether there is one."""
    dt = cache.contract.spec.dt_ns
    rows = np.empty((len(cache.stamps), horizon), np.int32)
    mask = np.empty((len(cache.stamps), horizon), bool)
    for first, end, broken in zip(cache.bounds[:-1], cache.bounds[1:], cache.broken, strict=True):
        stamps = np.asarray(cache.stamps[first:end])
        wanted = stamps[:, None] + dt * np.arange(horizon)
        nearest = np.searchsorted(stamps[:-1] + np.diff(stamps) // 2, wanted)
        rows[first:end] = first + nearest
        beyond = (wanted > stamps[-1]) & ~broken
        mask[first:end] = (np.abs(stamps[nearest] - wanted) < dt * 3 // 4) | beyond
    return rows, mask


def _shifted(images: np.ndarray, indices: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Copies of images moved by (dy, dx) each, the edge repeated."""
    h, w = images.shape[1:3]
    out = np.empty((len(indices), h, w, 3), np.uint8)
    for to, index, (dy, dx) in zip(out, indices.tolist(), offsets.tolist(), strict=True):
        top, bottom, left, right = max(0, -dy), min(h, h - dy), max(0, -dx), min(w, w - dx)
        to[top:bottom, left:right] = images[index, top + dy : bottom + dy, left + dx : right + dx]
        to[top:bottom, :left] = to[top:bottom, left : left + 1]
        to[top:bottom, right:] = to[top:bottom, right - 1 : right]
        to[:top] = to[top]
        to[bottom:] = to[bottom - 1]
    return out


def _fields(spec: Spec) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """File name -> type and shape of one row."""
    images = {f"image_{name}": (np.dtype(np.uint8), (h, w, 3)) for name, (h, w) in spec.cameras.items()}
    return images | {
        "state": (np.dtype(np.float32), (len(spec.state),)),
        "actions": (np.dtype(np.float32), (len(spec.action),)),
        "stamps": (np.dtype(np.int64), ()),
        "contact": (np.dtype(np.uint8), ()),
        "mode": (np.dtype(np.uint8), ()),
    }


def _open(folder: Path, contract: Contract, lines: list[dict[str, Any]]) -> Cache:
    episodes = [e for line in lines for e in line["episodes"]]
    lost = _lost(lines)
    if not episodes:
        raise InputError(f"the bags of {folder.parent.parent} hold no whole frame: {summary(lost)}; record others")
    bounds = np.cumsum([0] + [e["frames"] for e in episodes])
    arrays = {
        name: np.memmap(folder / f"{name}.bin", dtype, "r", shape=(int(bounds[-1]), *shape))
        for name, (dtype, shape) in _fields(contract.spec).items()
    }
    contact, mode = np.asarray(arrays["contact"]), np.asarray(arrays["mode"])
    mode = np.where(mode == UNLABELLED, 0, mode)
    bags = [line["bag"] for line in lines for _ in line["episodes"]]
    followed = np.array([a == b for a, b in pairwise([*bags, ""])])
    return Cache(
        contract=contract,
        images={name: arrays[f"image_{name}"] for name in contract.cameras},
        state=np.array(arrays["state"]),
        actions=np.array(arrays["actions"]),
        stamps=np.array(arrays["stamps"]),
        contact=None if (contact == UNLABELLED).any() else contact == 1,
        mode=mode,
        episode=np.repeat(np.arange(len(episodes), dtype=np.int32), np.diff(bounds)),
        bounds=bounds,
        instructions=[e["instruction"] for e in episodes],
        tasks=[e["task"] for e in episodes],
        broken=followed | (mode[bounds[1:] - 1] != 0),
        bags=bags,
        lost=lost,
    )


def _valid(folder: Path, spec: Spec, found: dict[str, Path]) -> list[dict[str, Any]]:
    """The index's lines, if they still say the truth; otherwise the cache is emptied."""
    lines, path = [], folder / "index.jsonl"
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break  # cut off in the middle of a line
    frames = _frames(lines)
    whole = (
        all(
            (folder / f"{name}.bin").stat().st_size >= frames * _row_bytes(dtype, shape)
            for name, (dtype, shape) in _fields(spec).items()
        )
        if lines
        else True
    )
    if whole and all(line["bag"] in found and _mark(found[line["bag"]]) == line["mark"] for line in lines):
        return lines
    for file in folder.glob("*.bin"):
        file.unlink()
    path.unlink()
    return []


def _decode_all(
    folder: Path, contract: Contract, todo: dict[str, Path], done: list[dict[str, Any]], processes: int
) -> list[dict[str, Any]]:
    """Decode bags in parallel and append them in order; the new lines of the index."""
    frames, lines, refused = _frames(done), [], []
    files = {}
    for name, (dtype, shape) in _fields(contract.spec).items():
        files[name] = (folder / f"{name}.bin").open("ab")
        files[name].truncate(frames * _row_bytes(dtype, shape))
    index_text = "".join(json.dumps(line) + "\n" for line in done)  # without a line that was cut off
    (folder / "index.part").write_text(index_text)
    (folder / "index.part").replace(folder / "index.jsonl")
    try:
        with (folder / "index.jsonl").open("a") as index, tqdm(total=len(todo), unit="bag", desc="decoding") as bar:
            for name, mark, (episodes, lost, error) in _decoded(todo, contract, processes):
                if error:
                    refused.append(error)
                else:
                    for episode in episodes:
                        _append(files, episode)
                    for file in files.values():
                        file.flush()
                    told = [{"frames": len(e.stamps), "instruction": e.instruction, "task": e.task} for e in episodes]
                    lines.append({"bag": name, "mark": mark, "lost": lost, "episodes": told})
                    index.write(json.dumps(lines[-1]) + "\n")
                    index.flush()
                bar.update()
    except BrokenProcessPool:
        raise InputError(
            "a decoding process was killed, probably for want of memory; start again: it goes on where it was"
        ) from None
    finally:
        for file in files.values():
            file.close()
    if unused := _lost(lines):
        tqdm.write(f"not used: {summary(unused)}")
    if refused:
        raise InputError(f"{len(refused)} of {len(todo)} bags cannot be used (the others are decoded): {refused[0]}")
    return lines


def _decoded(todo: dict[str, Path], contract: Contract, processes: int) -> Iterator[tuple[str, list[int], Decoded]]:
    """Bags decoded ahead in other processes, in their order, few enough at once to fit in memory."""
    pool = workers.pool(max(1, min(processes, len(todo))))
    waiting: deque[tuple[str, list[int], Future[Decoded]]] = deque()
    try:
        for name, bag in todo.items():
            waiting.append((name, _mark(bag), pool.submit(_decode, bag, contract)))
            if len(waiting) > 2 * processes:
                first, mark, future = waiting.popleft()
                yield first, mark, future.result()
        for first, mark, future in waiting:
            yield first, mark, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(bag: Path, contract: Contract) -> Decoded:
    """One bag, in a process of its own."""
    streams.LOG.disabled = True  # the counts are told at the end, once for all bags
    lost: Counter[str] = Counter()
    try:
        return read_episodes(bag, contract, lost), lost, ""
    except InputError as error:
        return [], lost, str(error)


def _append(files: dict[str, Any], episode: Episode) -> None:
    contact, mode = (
        np.full(len(episode.stamps), UNLABELLED) if label is None else label
        for label in (episode.contact, episode.mode)
    )
    rows = {f"image_{name}": images for name, images in episode.images.items()}
    rows |= {
        "state": episode.state,
        "actions": episode.actions,
        "stamps": episode.stamps,
        "contact": contact.astype(np.uint8),
        "mode": mode.astype(np.uint8),
    }
    for name, values in rows.items():
        files[name].write(np.ascontiguousarray(values).data)


def _frames(lines: list[dict[str, Any]]) -> int:
    return sum(e["frames"] for line in lines for e in line["episodes"])


def _lost(lines: list[dict[str, Any]]) -> Counter[str]:
    lost: Counter[str] = Counter()
    for line in lines:
        lost.update(line["lost"])
    return lost


def _row_bytes(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    return dtype.itemsize * int(np.prod(shape))


def _mark(bag: Path) -> list[int]:
    """Size and newest time of a bag: another one is another bag."""
    stats = [f.stat() for f in ([bag] if bag.is_file() else bag.iterdir()) if f.is_file()]
    return [sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats)]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
