# ruff: noqa: F811  a fixture is imported
"""The page of an evaluation in a real browser, opened from disk: filter, sort, open, compare."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from sim.charts import bars
from sim.compare import compare
from sim.evaluation_page import page as page_file
from sim.evaluation_page.row import Row
from sim.evaluation_page.view import Section, View
from sim.switch_evaluation.switch_page import matrix
from tests import evaluation_folders
from tests.browser import SLOWEST, Tab, browser  # noqa: F401  a fixture
from tests.evaluation_folders import STEPS

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
FIRST, LOST, FILMED = 1_000_000, {1_000_003, 1_000_041, 1_000_080}, (1_000_003, 1_000_005)

expect.set_options(timeout=SLOWEST)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluation_folders.write(tmp_path_factory.mktemp("page") / "one", LOST, FILMED)


Open = Callable[..., Tab]


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Open]:
    """Opens pages from disk; none may complain, or ask for anything outside its folder."""
    opened: list[Tab] = []

    def open_tab(folder: Path, at: str = "", **options: object) -> Tab:
        url = folder.as_uri()
        tab = Tab(browser, "about:blank", **options)  # type: ignore[arg-type]  # size and scheme
        opened.append(tab)
        tab.page.on(
            "request",
            lambda request: (
                None if request.url.startswith((url, "data:")) else tab.errors.append(f"asks for {request.url}")
            ),
        )
        tab.page.goto(f"{url}/index.html{at}")
        return tab

    yield open_tab
    errors = [error for tab in opened for error in tab.errors]
    for tab in opened:
        tab.close()
    assert errors == []


def seeds(tab: Tab) -> list[int]:
    return [int(text) for text in tab.page.locator("#rows td.seed").all_inner_texts()]


def test_episodes_are_filtered_and_sorted(tabs: Open, folder: Path) -> None:
    page = (tab := tabs(folder)).page
    expect(page.locator("#count")).to_have_text("129 of 129 episodes, 123 successes")
    assert len(seeds(tab)) == 100
    page.select_option("#filter-condition", "main")
    page.select_option("#filter-outcome", "failure")
    assert seeds(tab) == sorted(LOST)
    page.get_by_role("button", name="seed").click()
    page.get_by_role("button", name="seed").click()
    assert seeds(tab) == sorted(LOST, reverse=True)
    expect(page.locator("#rows thead th[data-column=seed]")).to_have_attribute("aria-sort", "descending")
    page.click("#clear")
    page.get_by_role("button", name="s", exact=True).click()
    times = [float(text) for text in page.locator("#rows td.seconds").all_inner_texts()]
    assert times == sorted(times) and len(times) == 100
    page.click("#more")
    expect(page.locator("#rows tbody tr")).to_have_count(129)
    page.fill("#search", "TURN lamp")
    assert set(page.locator("#rows td.task").all_inner_texts()) == {"lamp_on"}
    page.fill("#search", "nothing is called so")
    expect(page.locator("#count")).to_have_text("No episode is like that.")


def test_an_episode_opens_with_its_film_and_its_curves_by_keyboard_alone(tabs: Open, folder: Path) -> None:
    page = (tab := tabs(folder)).page
    page.keyboard.press("/")
    page.keyboard.type(str(min(LOST)))
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    page.locator("#rows td.seed button").focus()
    page.keyboard.press("Enter")
    dialog, plot = page.locator("dialog"), page.locator(".plot")
    expect(dialog).to_contain_text(f"put_red, seed {min(LOST)}")
    expect(plot.locator("polyline")).to_have_count(8)
    assert plot.locator("rect.rollback, rect.contact, rect.sentence").count() == 4
    video = dialog.locator("video")
    page.wait_for_function("document.querySelector('dialog video').readyState >= 2")
    plot.focus()
    for _ in range(4):
        page.keyboard.press("PageUp")
    expect(plot).to_have_attribute("aria-valuenow", "2.00")
    assert video.evaluate("film => film.currentTime") == pytest.approx(2.0, abs=0.06)
    expect(page.locator(".now")).to_have_text("2.00 s rollback, in contact: “stop”")
    video.evaluate("film => { film.currentTime = 0.5 }")  # as its own controls do
    expect(page.locator(".now")).to_contain_text("0.50 s forward, free")
    assert tab.page.url.endswith("#episode-3")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent") == str(min(LOST))


def test_an_episode_without_a_film_says_how_to_film_it_and_the_next_one_is_a_key_away(tabs: Open, folder: Path) -> None:
    page = tabs(folder, "#episode-1").page
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text(f"python -m sim.film {folder} {FIRST + 1}")
    page.keyboard.press("j")
    expect(dialog).to_contain_text(f"seed {FIRST + 2}")
    expect(dialog.locator(".refused")).to_have_count(0)
    page.keyboard.press("k")
    page.keyboard.press("k")
    expect(page.locator("#episode-title")).to_have_text(f"put_red, seed {FIRST}")
    expect(page.locator("#previous")).to_be_disabled()
    box = page.locator(".plot svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 30, box["y"] + 40)  # without a film the curves follow the pointer
    expect(page.locator(".now")).to_contain_text("rollback")


def test_a_refusal_says_why(tabs: Open, folder: Path) -> None:
    page = tabs(folder).page
    page.fill("#search", "open_drawer")
    page.locator("#rows td.seed button").first.click()
    expect(page.locator("dialog .refused")).to_have_text("Refused: unknown instruction")


def test_words_of_an_episode_are_text(tabs: Open, folder: Path) -> None:
    page = tabs(folder).page
    page.select_option("#filter-task", "lamp_on")
    expect(page.locator("#rows td.instruction").first).to_have_text("</script><b>turn on</b> the lamp")
    assert page.locator("#rows b").count() == 0


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)])
def test_it_is_readable_in_light_and_dark_on_a_screen_and_on_a_phone(
    tabs: Open, folder: Path, scheme: str, width: int
) -> None:
    page = tabs(folder, width=width, height=760, scheme=scheme).page
    page.locator("#films figure").first.wait_for()
    assert page.locator("#films figure").count() == len(FILMED)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    page.locator("#rows td.seed button").first.click()
    page.locator(".plot").wait_for()
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= width


@pytest.mark.parametrize(
    "names", [("put_red", "put_blue_on_red: A"), ("put_the_wine_bottle_on_the_top_of_the_cabinet: A",)]
)
def test_the_names_of_a_chart_of_bars_are_whole_and_over_nothing_else(
    tabs: Open, tmp_path: Path, names: tuple[str, ...]
) -> None:
    rate = {"rate": 1.0, "low": 0.5, "high": 1.0, "successes": 10, "episodes": 10}
    chart = bars([(name, rate, "task") for name in (*names, *reversed(names))])
    view = View("evaluation", "", sections=[Section("Tasks", "", chart)])
    page_file.write(tmp_path / "index.html", view, "", "", "tabletop", [], [page_file.Source("")], "python -m sim.film")
    page = tabs(tmp_path).page
    boxes = page.evaluate(
        "[...document.querySelectorAll('svg, svg text, svg rect')].map(e => e.getBoundingClientRect().toJSON())"
    )
    chart_box, *parts = boxes
    for i, a in enumerate(parts):
        assert (
            chart_box["left"] <= a["left"] and a["right"] <= chart_box["right"] and a["bottom"] <= chart_box["bottom"]
        )
        for b in parts[i + 1 :]:
            apart = (
                a["right"] <= b["left"] or b["right"] <= a["left"] or a["bottom"] <= b["top"] or b["bottom"] <= a["top"]
            )
            assert apart, (a, b)


@pytest.mark.parametrize("width", [1280, 390])
def test_long_names_of_a_pair_of_tasks_leave_room_for_what_was_said(tabs: Open, tmp_path: Path, width: int) -> None:
    tasks = ("put_the_wine_bottle_on_top_of_the_cabinet", "push_the_plate_to_the_front_of_the_stove")
    pair = Row(1, " → ".join(tasks), "late", True, 12.3, " → ".join(tasks).replace("_", " "), note="refused; resumed")
    page_file.write(
        tmp_path / "index.html",
        View("switches", ""),
        "",
        "",
        "libero_goal",
        [pair.shown() | {"films": [""], "curves": [None]}],
        [page_file.Source("")],
        "python -m sim.film",
    )
    page = tabs(tmp_path, width=width).page
    task, table = (page.locator(place).bounding_box() for place in ("#rows td.task", "#rows"))
    assert task is not None and table is not None and table["width"] <= width
    assert task["width"] < table["width"] / (2 if width > 760 else 1), "a phone has a line for each"
    assert page.evaluate("(panel => panel.scrollWidth <= panel.clientWidth)(document.querySelector('.panel.flush'))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_cell_of_the_matrix_of_pairs_shows_its_episodes(tabs: Open, tmp_path: Path, scheme: str) -> None:
    names, rates = ("a", "b", "c"), iter((0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    pairs: dict[str, dict[str, Any]] = {
        a: {b: {"rate": next(rates), "successes": 1, "episodes": 5, "phases": {}} for b in names if a != b}
        for a in names
    }
    rows = [
        {"outcome": "success", "seed": 1, "task": f"{a} → {b}", "condition": "mid", "films": [""], "curves": [None]}
        for a in names
        for b in names
    ]
    view = View("switches", "", sections=[Section("Pairs", "", matrix(pairs))])
    page_file.write(
        tmp_path / "index.html", view, "", "", "tabletop", rows, [page_file.Source("")], "python -m sim.film"
    )
    page = tabs(tmp_path, scheme=scheme).page
    assert page.evaluate(CONTRAST) == []
    page.locator(".matrix button[data-task='b → c']").click()
    assert page.locator("#rows td.task").all_inner_texts() == ["b → c"]
    page.locator("#rows td.seed button").click()
    expect(page.locator("dialog")).to_contain_text("No curves were recorded.")


def test_two_evaluations_are_compared_episode_by_episode(tabs: Open, folder: Path, tmp_path: Path) -> None:
    other = evaluation_folders.write(tmp_path / "two", {1_000_003, 1_000_007}, (1_000_007,))
    compare(folder, other, tmp_path / "compare")
    page = (tab := tabs(tmp_path / "compare")).page
    runs = [json.loads(line)["run"] for line in (folder / "episodes.jsonl").read_text().splitlines()]
    assert f"Success and p are of {runs.count('main')}:" in page.content() and "shuffled" in runs
    expect(page.locator(".tile", has_text="only A succeeds")).to_contain_text("1")
    expect(page.locator(".tile", has_text="only B succeeds")).to_contain_text("2")
    page.select_option("#filter-outcome", "only A")
    assert seeds(tab) == [1_000_007]
    page.locator("#rows td.seed button").click()
    expect(page.locator("dialog h3")).to_have_text([f"A: {folder}", f"B: {other}"])
    expect(page.locator(".plot polyline")).to_have_count(16)
    expect(page.locator("dialog video")).to_have_count(1)
    page.wait_for_function("document.querySelector('dialog video').readyState >= 2")
    assert page.locator("dialog video").evaluate("film => film.duration") == pytest.approx(STEPS / 20, abs=0.1)
    page.locator("dialog #close").click()
    page.select_option("#filter-outcome", "neither")
    page.select_option("#filter-condition", "main")
    assert seeds(tab) == [1_000_003]
    assert page.evaluate(CONTRAST) == []
