# ruff: noqa: F811  a fixture is imported
"""The console in a real browser, over the shipped policy in simulation: what a person sees, types and presses."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from console.backend import State
from console.scene import Scene
from console.server import ConsoleServer
from console.simulation import Simulation
from policy.running.session import Session
from tests.browser import SLOWEST, Tab, browser  # noqa: F401  a fixture
from tests.console_rig import Remembering, serving, until

CONTRAST = Path(__file__).parent / "contrast.js"
SEED = 1_000_000
FIRST, SECOND = "put the red block in the bowl", "open the drawer"

expect.set_options(timeout=SLOWEST)


@pytest.fixture(scope="module")
def simulated() -> Iterator[Simulation]:
    simulation = Simulation(Session("tabletop", threads=1), Scene("tabletop", SEED), "tabletop")
    yield simulation
    simulation.close()


@pytest.fixture
def robot(simulated: Simulation) -> Simulation:
    """The robot at home, with nothing to do."""
    simulated.commands["reset"]()
    simulated.commands["scene"](world="tabletop", seed=SEED, task="", latency_ms=0.0, schedule="", shift="none")
    return simulated


@pytest.fixture
def server(robot: Simulation) -> Iterator[ConsoleServer]:
    with serving(robot) as made:
        yield made


Open = Callable[..., Tab]


@pytest.fixture
def tabs(browser: Browser, server: ConsoleServer) -> Iterator[Open]:
    """Opens tabs; none of them may have complained in the end."""
    opened: list[Tab] = []

    def open_tab(**options: object) -> Tab:
        tab = Tab(browser, server.url, **options)  # type: ignore[arg-type]  # size and scheme
        opened.append(tab)
        expect(tab.page.locator("body")).to_have_attribute("data-connected", "yes")
        expect(tab.page.locator("#curves .curve")).to_have_count(8)
        return tab

    yield open_tab
    errors = [error for tab in opened for error in tab.errors]
    for tab in opened:
        tab.close()
    assert errors == []


def joints(robot: Simulation) -> np.ndarray:
    """Where the arm is, (7,) rad."""
    return np.array(robot._world.state()[:7])


def moved(robot: Simulation, since: np.ndarray) -> bool:
    return bool(np.abs(joints(robot) - since).max() > 0.05)


def rests(robot: Simulation) -> bool:
    """Whether the arm stands still for a quarter of a second."""
    before, began = joints(robot), robot._world.time_ns
    until(lambda: robot._world.time_ns > began + 250_000_000, "time goes on")
    return bool(np.abs(joints(robot) - before).max() < 2e-3)


def say(tab: Tab, text: str) -> None:
    tab.page.fill("#instruction", text)
    tab.page.press("#instruction", "Enter")


def test_what_is_typed_is_done_and_may_change_on_the_way(tabs: Open, robot: Simulation) -> None:
    tab, begin = tabs(), joints(robot)
    assert rests(robot)
    say(tab, FIRST)
    expect(tab.page.locator("#doing")).to_have_text(f"Doing: {FIRST}")
    until(lambda: moved(robot, begin), "the arm moves")
    expect(tab.page.locator("#instruction")).to_have_value("")
    say(tab, SECOND)
    expect(tab.page.locator("#doing")).to_have_text(f"Doing: {SECOND}")
    expect(tab.page.locator("#next")).to_contain_text(FIRST)  # what "continue" resumes
    assert tab.page.inner_text("#mode") in ("forward", "rollback", "advance")
    for name in ("front", "wrist"):
        figure = tab.page.locator("figure", has_text=name)
        seen = int(figure.get_attribute("data-frames") or 0)
        until(lambda f=figure, n=seen: int(f.get_attribute("data-frames") or 0) > n + 15, "its camera is live")
    expect(tab.page.locator("#log")).to_contain_text(f"does: {SECOND}")
    assert tab.page.locator("#figures dd").count() >= 6


def test_a_refused_sentence_says_why_and_what_is_near(tabs: Open, robot: Simulation) -> None:
    tab = tabs()
    say(tab, "put the yellow block in the bowl")
    refusal = tab.page.locator("#refusal")
    expect(refusal).to_contain_text("unknown instruction")
    near = refusal.locator("button")
    expect(near).to_have_count(3)
    text = near.first.inner_text()
    assert rests(robot)
    near.first.click()
    expect(tab.page.locator("#doing")).to_have_text(f"Doing: {text}")
    expect(refusal).to_be_hidden()
    tab.page.click("#continue")  # nothing is unfinished
    expect(refusal).to_contain_text("no instruction was left unfinished")


def test_it_stops_and_continues(tabs: Open, robot: Simulation) -> None:
    tab, begin = tabs(), joints(robot)
    say(tab, FIRST)
    until(lambda: moved(robot, begin), "the arm moves")
    tab.page.click("#stop")
    expect(tab.page.locator("#verb")).to_have_text("Waiting")
    until(lambda: rests(robot), "the arm rests")
    stopped = joints(robot)
    tab.page.click("#continue")
    expect(tab.page.locator("#doing")).to_have_text(f"Doing: {FIRST}")
    until(lambda: moved(robot, stopped), "it goes on")


def test_the_emergency_stop_is_a_key_and_holds_until_reset(tabs: Open, robot: Simulation) -> None:
    tab, begin = tabs(), joints(robot)
    say(tab, FIRST)
    until(lambda: moved(robot, begin), "the arm moves")
    tab.page.focus("#instruction")
    tab.page.keyboard.type("open the")
    tab.page.keyboard.press("Escape")  # while typing, with the list of suggestions open
    expect(tab.page.locator("#banner")).to_have_text("Stopped: e-stop. Press Reset to go on.")
    until(lambda: rests(robot), "the arm rests")
    say(tab, SECOND)
    expect(tab.page.locator("#refusal")).to_contain_text("reset it first")
    assert rests(robot)
    tab.page.click("#reset")
    expect(tab.page.locator("#banner")).to_be_hidden()
    assert rests(robot)  # what was asked for before is not done
    say(tab, SECOND)
    expect(tab.page.locator("#doing")).to_have_text(f"Doing: {SECOND}")


def test_a_person_takes_over_drives_one_joint_and_gives_back(tabs: Open, robot: Simulation) -> None:
    tab, begin = tabs(), joints(robot)
    page, keys = tab.page, tab.page.keyboard
    say(tab, FIRST)
    until(lambda: moved(robot, begin), "the policy moves the arm")
    page.click("#take_over")
    expect(page.locator("#verb")).to_have_text("A person is in control:")
    expect(page.locator("#drive")).to_be_visible()
    until(lambda: rests(robot), "the policy does not move it any more")
    expect(page.locator("#instruction-now")).to_have_text(FIRST)  # it looks on
    still = joints(robot)
    keys.press("ArrowRight")
    expect(page.locator("#drive select")).to_have_value("panda_joint2")
    keys.down("ArrowUp")
    until(lambda: joints(robot)[1] > still[1] + 0.1, "the joint moves while the key is held")
    keys.up("ArrowUp")
    until(lambda: rests(robot), "it rests when the key is let go")
    assert np.abs(np.delete(joints(robot) - still, 1)).max() < 0.05, "the other joints stay"
    driven = joints(robot)
    page.click("#take_over")
    expect(page.locator("#drive")).to_be_hidden()
    expect(page.locator("#doing")).to_have_text(f"Doing: {FIRST}")
    until(lambda: moved(robot, driven), "the policy goes on from there")


def test_a_gamepad_drives_as_well(tabs: Open, robot: Simulation) -> None:
    """No gamepad can be plugged in here: the browser's own list of them is replaced."""
    tab = tabs()
    tab.page.click("#take_over")
    expect(tab.page.locator("#drive")).to_be_visible()
    buttons = "Array.from({length: 8}, (_, i) => ({pressed: i === %s}))"
    pad = f"navigator.getGamepads = () => [{{axes: [0, %s], buttons: {buttons}}}]"
    tab.page.evaluate(pad % (0, 5))
    expect(tab.page.locator("#drive select")).to_have_value("panda_joint2")
    begin = joints(robot)
    tab.page.evaluate(pad % (-0.8, -1))
    until(lambda: joints(robot)[1] > begin[1] + 0.05, "the stick moves the joint")
    for rest in (pad % (0.05, -1), "navigator.getGamepads = () => []"):
        tab.page.evaluate(pad % (-0.8, -1))
        tab.page.evaluate(rest)
        until(lambda: rests(robot), "it rests when the stick does, or is gone")
    tab.page.click("#take_over")


def test_who_is_lost_while_driving_does_not_move_the_arm(browser: Browser, robot: Simulation) -> None:
    with serving(robot) as server:
        tab = Tab(browser, server.url)
        tab.page.locator("body").press("t")
        expect(tab.page.locator("#drive")).to_be_visible()
        begin = joints(robot)
        tab.page.keyboard.down("ArrowDown")
        until(lambda: joints(robot)[0] < begin[0] - 0.05, "the arm moves")
        tab.close()  # the key is still down
        until(lambda: rests(robot), "it rests")
        assert robot._robot.corrected, "the policy does not take it back by itself"
        robot.commands["give_back"]()


def test_a_lost_connection_is_seen_and_moves_nothing(browser: Browser, robot: Simulation) -> None:
    with serving(robot) as first:
        tab = Tab(browser, first.url)
        expect(tab.page.locator("#take")).to_be_hidden()
        port = urlsplit(first.url).port
    page = tab.page
    expect(page.locator("#banner")).to_contain_text("The connection is lost")
    for control in ("#instruction", "#stop", "#emergency", "#scene select[name=task]"):
        expect(page.locator(control)).to_be_disabled()
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    asked = len(robot._robot.interventions), robot._robot.loop.switches
    server = ConsoleServer(robot, port=port or 0)
    server.start()
    try:
        expect(page.locator("body")).to_have_attribute("data-control", "you")
        expect(page.locator("#banner")).to_be_hidden()
        assert rests(robot) and not robot._robot.monitor.stopped  # nothing that was pressed meanwhile came later
        assert asked == (len(robot._robot.interventions), robot._robot.loop.switches)
        say(tab, SECOND)
        expect(page.locator("#doing")).to_have_text(f"Doing: {SECOND}")
        assert all("WebSocket" in error for error in tab.errors)
    finally:
        tab.close()
        server.close()


def test_of_two_operators_one_has_control_and_both_see_who(tabs: Open, robot: Simulation) -> None:
    first = tabs()
    first.page.fill("#name", "Anna")
    first.page.press("#name", "Enter")
    second = tabs()
    expect(first.page.locator("#holder")).to_have_text("You have control · 1 other watching")
    expect(second.page.locator("#holder")).to_contain_text("Anna has control")
    for control in ("#instruction", "#stop", "#push", "#scene button[type=submit]"):
        expect(second.page.locator(control)).to_be_disabled()
    second.page.click("#take")
    expect(second.page.locator("#holder")).to_contain_text("You have control")
    expect(first.page.locator("#instruction")).to_be_disabled()
    say(second, SECOND)
    expect(first.page.locator("#doing")).to_have_text(f"Doing: {SECOND}")  # who only watches sees it too
    first.page.click("#emergency")  # and may stop it
    expect(second.page.locator("#banner")).to_contain_text("Stopped")
    second.page.click("#release")
    expect(first.page.locator("#holder")).to_contain_text("Nobody has control")


def test_the_simulation_is_chosen_and_the_arm_is_pushed(tabs: Open, robot: Simulation) -> None:
    tab = tabs()
    page = tab.page
    page.select_option("select[name=task]", "open_drawer")
    page.select_option("select[name=shift]", "light_half")
    page.select_option("select[name=schedule]", "ensemble")
    page.fill("input[name=latency_ms]", "150")
    page.fill("input[name=seed]", "1000005")
    page.click("#scene button[type=submit]")
    expect(page.locator("#judged")).to_have_text("simulator: open_drawer is not done")
    expect(page.locator("#figures")).to_contain_text("150 ms")
    expect(page.locator("#figures")).to_contain_text("ensemble")
    assert robot._scene == Scene("tabletop", 1_000_005, "open_drawer", 150.0, "ensemble", "light_half")
    until(lambda: rests(robot), "the arm rests")
    before = joints(robot)
    page.click("#push")
    until(lambda: np.abs(joints(robot) - before).max() > 0.01, "the arm is pushed")


@pytest.mark.parametrize("width, height", [(1280, 720), (390, 844)])
def test_it_fits_a_laptop_and_a_phone(tabs: Open, width: int, height: int) -> None:
    page = tabs(width=width, height=height).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "no scrolling sideways"
    for seen in ("#emergency", "#instruction", "#stop", "#doing", "#cameras canvas >> nth=1"):
        box = page.locator(seen).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= width, f"{seen} is cut off"
        assert box["y"] + box["height"] <= height, f"{seen} is below the edge"
    sizes = page.evaluate(
        "[...document.querySelectorAll('button, input, select')].filter((e) => e.checkVisibility())"
        ".map((e) => e.getBoundingClientRect().height)"
    )
    assert min(sizes) >= (34 if width > 900 else 38), "a finger hits it"


class LongNames(Remembering):
    """A robot whose model, joints and cameras have long names."""

    def description(self) -> dict[str, Any]:
        joints = [f"left_arm_shoulder_pan_joint_number_{i}_of_the_robot" for i in range(2)]
        cameras = {f"{place}_the_shoulder_camera_of_the_left_arm": {"height": 96, "width": 96} for place in ("o", "u")}
        model = "/home/somebody/" + "folders_of_mine/" * 6 + "policy"
        return super().description() | {"model": model, "joints": joints, "cameras": cameras}

    def tick(self, **fields: Any) -> None:
        self.time += 0.05
        self.feed.publish(State(self.time, executed=np.array([0.0, 1.0]), **fields))


@pytest.mark.parametrize("width, height", [(1280, 720), (390, 844)])
def test_long_names_cover_nothing(browser: Browser, width: int, height: int) -> None:
    with serving(robot := LongNames()) as server:
        page = (tab := Tab(browser, server.url, width, height)).page
        expect(page.locator("#curves .curve")).to_have_count(2)
        value = page.locator("#curves b").nth(1)
        until(lambda: (robot.tick(), value.inner_text())[1] == "1.000", "its values are shown")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "no scrolling sideways"
        boxes = {
            place: page.evaluate(
                f"[...document.querySelectorAll('{place}')].map((e) => e.getBoundingClientRect().toJSON())"
            )
            for place in ("#curves .joint", "#curves b", ".curve", "figure", "figcaption")
        }
        tab.close()
    for name, number, curve in zip(boxes["#curves .joint"], boxes["#curves b"], boxes[".curve"], strict=True):
        assert name["right"] <= number["left"] and number["right"] <= curve["right"] + 1
    for figure, caption in zip(boxes["figure"], boxes["figcaption"], strict=True):
        assert caption["right"] <= figure["right"] and caption["top"] >= figure["top"]
    assert tab.errors == []


def test_the_keyboard_is_enough(tabs: Open, robot: Simulation) -> None:
    page = tabs().page
    keys = page.keyboard
    reached: list[str] = []
    for _ in range(60):
        keys.press("Tab")
        focus = page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e), seen = s.outlineStyle !== 'none';"
            "const name = e === document.body ? 'page' : e.id || e.name || e.textContent;"
            "return [name, seen && parseFloat(s.outlineWidth) >= 2]; })()"
        )
        if focus[0] == "page" or focus[0] in reached:
            break
        assert focus[1], f"the focus on {focus[0]} is seen"
        reached.append(focus[0])
    assert {"release", "name", "emergency", "instruction", "stop", "continue", "reset", "push", "world", "log"} <= {
        *reached
    }
    page.locator("body").evaluate("document.activeElement.blur()")
    keys.press("/")
    expect(page.locator("#instruction")).to_be_focused()
    keys.type("drawer")
    expect(page.locator("#suggestions li").first).to_contain_text("drawer")
    keys.press("ArrowDown")
    chosen = page.input_value("#instruction")
    assert "drawer" in chosen and page.get_attribute("#instruction", "aria-activedescendant") == "suggestion-0"
    keys.press("Enter")
    expect(page.locator("#doing")).to_have_text(f"Doing: {chosen}")
    keys.press("Tab")  # out of the field, in which letters are letters
    keys.press("s")
    expect(page.locator("#verb")).to_have_text("Waiting")
    keys.press("c")
    expect(page.locator("#doing")).to_have_text(f"Doing: {chosen}")
    keys.press("r")
    expect(page.locator("#verb")).to_have_text("Waiting")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(tabs: Open, scheme: str) -> None:
    """WCAG AA, of what is shown: also while something is refused, stopped, and only watched."""
    tab = tabs(scheme=scheme)
    page = tab.page
    judge = CONTRAST.read_text()
    say(tab, "put the yellow block in the bowl")
    expect(page.locator("#refusal button")).to_have_count(3)
    page.fill("#instruction", "the")
    expect(page.locator("#suggestions li").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(judge) == []
    page.keyboard.press("Escape")
    expect(page.locator("#banner")).to_be_visible()
    page.click("#release")
    expect(page.locator("#instruction")).to_be_disabled()
    assert page.evaluate(judge) == []
