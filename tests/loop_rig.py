"""A live loop with a policy of a few hundred bytes, driven frame by frame."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from policy.running.live_loop import LiveLoop
from policy.running.loop import InferenceLoop
from policy.running.session import Session
from policy.spec import Frame
from tests.tiny import TAUGHT, tell, write_model

LONG = 30.0
FIRST, SECOND, THIRD, *_ = TAUGHT


class Rig:
    """A live loop on a clock under the test's hand; frames are `dt` apart."""

    def __init__(self, folder: Path) -> None:
        self.session = Session(folder, threads=1, provider="cpu")
        self.spec, self.now = self.session.spec, 10**12
        self.published: list[tuple[np.ndarray, np.ndarray]] = []
        self.state = np.zeros(len(self.spec.state), np.float32)
        self.shade = 0
        self.estimate: dict[str, Any] = {}  # what a switching model tells from now on
        self.live = LiveLoop(
            self.session,
            lambda: self.now,
            lambda now, times, actions: self.published.append((times - now, actions)),
            replan_s=4 * self.spec.dt_ns * 1e-9,
            stale_s=LONG,
        )

    @property
    def loop(self) -> InferenceLoop:
        return self.live.loop

    def see(self) -> None:
        """The next frame."""
        self.now += self.spec.dt_ns
        self.shade += 1
        images = {n: np.full((h, w, 3), 200 + self.shade % 50, np.uint8) for n, (h, w) in self.spec.cameras.items()}
        if self.spec.switches:
            last = list(images)[-1]
            images[last] = tell(images[last], **self.estimate)
        self.live.observe(Frame(self.now, images, self.state))

    def settle(self) -> None:
        """Until nothing is computed any more."""

        def settled() -> bool:
            with self.live._wake:  # between two of its steps the inference thread looks idle
                return not (self.live._event or self.loop._busy or (self.loop.urgent and self.loop.text))

        until(settled)

    def see_and_wait(self) -> tuple[np.ndarray, np.ndarray]:
        """The next frame, and what was published last once it is dealt with."""
        self.see()
        self.settle()
        return self.published[-1]

    def infer(self, **estimate: Any) -> tuple[np.ndarray, np.ndarray]:
        """Frames until one is inferred from, with a switching model that tells this."""
        self.estimate, before = estimate, self.loop.inferences
        while self.loop.inferences == before:
            published = self.see_and_wait()
        return published


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def driven(folder: Path, switches: bool) -> Iterator[Rig]:
    """A loop with a model that is written into a folder; it is closed when the next is asked for."""
    write_model(folder, switches=switches)
    made = Rig(folder)
    yield made
    made.live.close()
