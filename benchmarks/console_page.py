"""The console in a real browser: type to motion, pictures a second, what it costs, and whether its memory grows.

    python -m benchmarks.console_page --minutes 30
    python -m benchmarks.console_page --pictures docs/pictures      screenshots for the documentation

Yardstick, of the same run: what simulation and inference take of a core while nobody watches.
"""

import argparse
import os
import resource
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from console import simulated_state, simulation
from console.backend import State
from console.scene import Scene
from console.server import ConsoleServer
from console.simulation import Simulation
from policy.errors import exit_code
from policy.running.session import Session

MOTION = 1e-3  # rad: an arm that has moved so far moves
TASKS = ("put the red block in the bowl", "open the drawer", "turn on the lamp", "put the green block in the bowl")
SPAN = 20.0  # s that rates are of
SIZES = {"console": (1280, 720, "light"), "console-dark": (1280, 720, "dark"), "console-phone": (390, 844, "light")}
TICK = os.sysconf("SC_CLK_TCK")


class Watch:
    """Notes when the arm was where, and what describing it takes of the simulation's thread."""

    def __init__(self, robot: Simulation) -> None:
        self.course: deque[tuple[float, np.ndarray]] = deque(maxlen=400)
        self.describing = 0.0  # s of CPU
        publish, describe = robot.feed.publish, simulated_state.describe

        def noted(state: State) -> None:
            if state.executed is not None:
                self.course.append((time.time(), state.executed[:7]))
            publish(state)

        def timed(*given: Any, **more: Any) -> State:
            began = time.thread_time()
            state = describe(*given, **more)
            self.describing += time.thread_time() - began
            return state

        robot.feed.publish = noted  # type: ignore[method-assign]  # looked at, and passed on
        simulation.describe = timed  # type: ignore[attr-defined]


def cpu(thread: int) -> float:
    """What a thread has taken of a core so far [s]."""
    fields = Path(f"/proc/self/task/{thread}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def say(page: Page, text: str) -> None:
    page.fill("#instruction", text)
    page.press("#instruction", "Enter")


def begin(robot: Simulation, seed: int) -> None:
    robot.commands["scene"](world="tabletop", seed=seed, task="", latency_ms=0.0, schedule="", shift="none")


def type_to_motion(page: Page, robot: Simulation, watch: Watch, trials: int) -> None:
    """From the Enter key in the browser to an arm that moves, from rest."""
    page.evaluate("addEventListener('keydown', (e) => { if (e.key === 'Enter') window.entered = Date.now(); }, true)")
    taken = []
    for trial in range(trials):
        begin(robot, 1_000_000 + trial)
        time.sleep(0.7 + 0.013 * (trial % 5))
        say(page, TASKS[trial % len(TASKS)])
        time.sleep(1.2)
        entered = page.evaluate("window.entered") / 1e3
        course = list(watch.course)
        rest = [place for at, place in course if at <= entered][-1]
        moved = next((at for at, place in course if at > entered and np.abs(place - rest).max() > MOTION), None)
        taken.append(np.nan if moved is None else moved - entered)
    p50, p90, worst = (np.nanpercentile(taken, q) * 1e3 for q in (50, 90, 100))
    print(
        f"type to motion, {trials} trials: p50 {p50:.0f} ms, p90 {p90:.0f} ms, largest {worst:.0f} ms; "
        f"{int(np.isnan(taken).sum())} did not move"
    )


def streaming(page: Page, server: ConsoleServer, watch: Watch) -> None:
    """Pictures a second, and CPU of the server's thread and of describing the state, while somebody watches."""

    def frames() -> list[int]:
        return [int(page.get_attribute(f"figure >> nth={i}", "data-frames") or 0) for i in (0, 1)]

    say(page, TASKS[0])
    before, began, served, described = frames(), time.monotonic(), cpu(server.thread_id), watch.describing
    time.sleep(SPAN)
    took = time.monotonic() - began
    rates = [(b - a) / took for a, b in zip(before, frames(), strict=True)]
    server_share, describing = (cpu(server.thread_id) - served) / took, (watch.describing - described) / took
    print(f"pictures a second in the browser: {rates[0]:.1f} and {rates[1]:.1f}")
    print(
        f"CPU of the console: {server_share + describing:.1%} of a core "
        f"(server {server_share:.1%}, state and path of the hand {describing:.1%})"
    )


def memory(page: Page, robot: Simulation, minutes: float) -> None:
    """Resident memory of this process and heap of the page, while it works and streams."""
    rows, began, turn = [], time.monotonic(), 0
    while (at := (time.monotonic() - began) / 60) < minutes:
        if turn % 3 == 0:
            begin(robot, 1_000_000 + turn)
        say(page, TASKS[turn % len(TASKS)])
        turn += 1
        time.sleep(10.0)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
        page.request_gc()
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
        rows.append((at, resident, heap))
    table = np.array([row for row in rows if row[0] > min(2.0, minutes / 3)])
    for name, column in (("server and simulation", 1), ("page", 2)):
        slope, _ = np.polyfit(table[:, 0], table[:, column], 1)
        print(
            f"memory of {name}: {table[0, column]:.1f} MiB, after {rows[-1][0]:.0f} minutes "
            f"{table[-1, column]:.1f} MiB; {slope:+.3f} MiB a minute; each sixth of it: "
            f"{', '.join(f'{part[:, column].mean():.1f}' for part in np.array_split(table, 6))}"
        )


def pictures(browser: Any, robot: Simulation, url: str, folder: Path) -> None:
    """Screenshots: at work after a change of the instruction, in the dark, on a phone, and with a refusal."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (width, height, scheme) in SIZES.items():
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=1)
        tab.goto(url)
        begin(robot, 1_000_004)
        say(tab, "put the red block in the bowl")
        time.sleep(4.0)
        say(tab, "open the drawer")
        time.sleep(3.0)
        tab.screenshot(path=folder / f"{name}.png")
        if name == "console":
            say(tab, "put the yellow block in the bowl")
            tab.wait_for_selector("#refusal button")
            tab.locator(".ask").screenshot(path=folder / "console-refused.png")
        tab.close()


def measure(browser: Any, robot: Simulation, server: ConsoleServer, watch: Watch, trials: int, minutes: float) -> None:
    """All figures, of one browser that watches."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(server.url)
    page.wait_for_selector("#curves .curve")
    streaming(page, server, watch)
    if trials:
        type_to_motion(page, robot, watch, trials)
    if minutes:
        memory(page, robot, minutes)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="of streaming, for memory")
    parser.add_argument("--trials", type=int, default=30, help="of type to motion")
    parser.add_argument("--pictures", type=Path, help="folder for screenshots, and nothing is measured")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    args = parser.parse_args()
    robot = Simulation(Session("tabletop", threads=1), Scene("tabletop", 1_000_000), "tabletop")
    watch = Watch(robot)
    thread = next(t.native_id for t in threading.enumerate() if t.name == "simulation")
    robot.commands["instruct"](text=TASKS[0])
    before = cpu(thread or 0)
    time.sleep(SPAN / 2)
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(
        f"yardstick: simulation and inference take {(cpu(thread or 0) - before) / (SPAN / 2):.1%} of a core unwatched"
    )
    server = ConsoleServer(robot, port=0)
    server.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=args.browser,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info"],
        )
        if args.pictures:
            pictures(browser, robot, server.url, args.pictures)
        else:
            measure(browser, robot, server, watch, args.trials, args.minutes)
        browser.close()
    server.close()
    robot.close()


if __name__ == "__main__":
    sys.exit(exit_code(main))
