"""What is written of an evaluation for people to look at: curves, films, comparisons."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from policy.errors import InputError
from sim.charts import bars
from sim.compare import compare
from sim.compare_view import Pair, view
from sim.evaluation_page import curve_files
from sim.evaluation_page.curve_files import CurveFiles, lines, packed
from sim.evaluation_page.row import Row, choose_films
from sim.evaluation_page.written import read_records, read_settings
from sim.film import film
from sim.plain_report import KIND
from sim.success_rate import success_rate
from sim.worlds.tabletop.world import Tabletop
from tests import evaluation_folders
from tests.evaluation_folders import TASKS, curves


def row(seed: int, task: str, success: bool, condition: str = "main", filmed: bool = True) -> Row:
    return Row(seed, task, condition, success, 1.0, "words", filmed=filmed)


def test_one_success_of_each_task_is_filmed_and_failures_of_all_conditions_in_turn() -> None:
    rows = [row(i, "a", True) for i in range(3)] + [row(10 + i, "a", False) for i in range(4)]
    rows += [row(20, "x → b", True), row(21, "y → b", True), row(30, "b", False, "new_words")]
    rows += [row(40, "b", False, "shuffled", filmed=False)]
    chosen = [rows[i].seed for i in choose_films(rows, 60)]
    assert chosen == [0, 20, 10, 30, 11, 12, 13]
    assert [rows[i].seed for i in choose_films(rows, 4)] == [0, 20, 10, 30]


def test_the_name_of_a_film_is_that_of_one_episode() -> None:
    tasks = [row(1, task, True) for task in ("a", "", "a → b")]
    rows = [*tasks, row(1, "a", True, "rtc, 100 ms"), row(2, "a", True)]
    assert len({one.film for one in rows}) == len(rows)
    assert rows[2].film == "main-a_to_b-1.mp4"


def test_curves_keep_their_shape_and_fit() -> None:
    made = {"actions": np.random.default_rng(0).normal(size=(2000, 8)).cumsum(0).tolist(), "mode": [[0, "forward"]]}
    small = packed(made, 4000)
    assert len(json.dumps(small)) < 4000 and small["steps"] == 2000 and small["mode"] == [[0, "forward"]]
    values = np.frombuffer(base64.b64decode(small["actions"]), np.uint8).reshape(-1, 8)
    back = np.array(small["low"]) + np.array(small["span"]) * values / 255
    actions = np.array(made["actions"])
    assert np.abs(back - actions[:: small["stride"]]).max() <= np.ptp(actions, 0).max() / 255


def test_curves_of_a_run_that_was_killed_are_whole_and_the_last_of_an_episode_counts(tmp_path: Path) -> None:
    CurveFiles(tmp_path, 10).write(3, curves("put_red", 1))
    path = tmp_path / curve_files.FOLDER / "0.js"
    path.write_text(path.read_text() + path.read_text()[:40])  # killed in the middle of a line
    again = CurveFiles(tmp_path, 10)
    assert [number for number, _ in lines(tmp_path)] == [3]
    again.write(4, curves("lamp_on", 2))
    again.write(3, curves("lamp_on", 3))
    assert "</script>" not in path.read_text()
    assert "turn on" in json.loads(dict(lines(tmp_path))[3])["instruction"][0][1]


def test_evaluations_without_a_common_episode_are_not_compared(tmp_path: Path) -> None:
    one, two = (evaluation_folders.write(tmp_path / name, set(), episodes=2) for name in ("one", "two"))
    settings = read_settings(two)
    (two / "settings.json").write_text(json.dumps(settings | {"world": "tabletop_ee"}))
    with pytest.raises(InputError, match="of another kind or world"):
        compare(one, two, tmp_path / "out")
    (two / "settings.json").write_text(json.dumps(settings | {"seed": 2_000_000}))
    log = two / "episodes.jsonl"
    log.write_text(log.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(InputError, match="no episode in common"):
        compare(one, two, tmp_path / "out")
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match="not complete"):
        compare(one, two, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_comparison_shows_what_each_was_told(tmp_path: Path) -> None:
    one, two = (evaluation_folders.write(tmp_path / name, set(), episodes=2) for name in ("one", "two"))
    log = two / "episodes.jsonl"
    log.write_text(log.read_text().replace(evaluation_folders.WORDS["put_red"], "red one in the bowl"))
    shown = [pair.shown()["instruction"] for pair in compare(one, two, tmp_path / "out") if pair.a.task == "put_red"]
    assert set(shown) == {"A: put the red block in the bowl | B: red one in the bowl"}
    assert "In 2 of these the two were told other sentences" in (tmp_path / "out" / "index.html").read_text()


def test_a_layout_that_is_played_under_several_conditions_is_not_several_pieces_of_news() -> None:
    """One layout of ten that A alone does, at each of ten latencies, is no proof that A is better."""
    latencies = [f"replace, {ms} ms" for ms in range(10)]
    pairs = [
        Pair(row(seed, "a", True, latency), row(seed, "a", seed != 3, latency))
        for latency in latencies
        for seed in range(10)
    ]
    shown = view("one", "two", pairs, (100, 100))
    assert ("p", "–", "one layout is in several of these episodes; each run has its own p") in shown.tiles
    assert ("success of B", "90.0%", "59.6% to 98.2%") in shown.tiles, "the interval of 9 in 10"
    _, tasks, runs = shown.sections
    assert tasks.html.endswith("<td>10</td><td>0</td><td>–</td></tr></tbody></table>")
    assert runs.html.count("<td>1</td><td>0</td><td>1</td></tr>") == 10
    assert ("p", "1", "exact test of McNemar: how likely by chance") in view("one", "two", pairs[:10], (10, 10)).tiles


def test_of_no_episode_there_is_no_rate() -> None:
    """As of evaluations that have chains alone in common, or a phase in which no switch was possible."""
    chain = Row(1, "chain", "chain", True, 1.0, "words", counted=False)
    shown = view("one", "two", [Pair(chain, chain)], (9, 9))
    assert [figure for name, figure, _ in shown.tiles if name in ("success of A", "success of B", "p")] == ["–"] * 3
    assert [section.heading for section in shown.sections] == ["Runs, one by one"]
    chart = bars([("late: ours", success_rate([]), "task")])
    assert ">–</text>" in chart and "0/0" not in chart and "<rect" not in chart


def test_a_comparison_may_be_written_again(tmp_path: Path) -> None:
    one = evaluation_folders.write(tmp_path / "one", {1_000_000}, (1_000_000,), episodes=2)
    for _ in range(2):
        pairs = compare(one, one, tmp_path / "out")
    assert {pair.outcome for pair in pairs} == {"both", "neither"} and len(pairs) == len(TASKS) * 5
    assert len(list(lines(tmp_path / "out")) or (tmp_path / "out/curves-a/0.js").read_text().splitlines()) == len(pairs)
    assert (tmp_path / "out/videos-b/main-put_red-1000000.mp4").exists()


@pytest.mark.parametrize(
    "seed, condition, task, message",
    [
        (7, None, None, "no episode has seed 7"),
        (1_000_000, "mian", None, "did you mean 'main'"),
        (7, None, "put_redd", "did you mean 'put_red'"),
    ],
)
def test_a_film_of_no_episode_is_an_error(
    seed: int, condition: str | None, task: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = evaluation_folders.write(tmp_path / "one", set(), episodes=1)
    settings = read_settings(one)
    assert len(read_records(KIND, settings, one)) == 12
    (one / "settings.json").write_text(json.dumps(settings | {"policy": "models/tabletop"}))
    with pytest.raises(InputError, match="is not the policy"):
        film(one, seed, condition, task)
    monkeypatch.setattr("sim.film.fingerprint", lambda model: settings["sha256"])
    with pytest.raises(InputError, match=message):
        film(one, seed, condition, task)


def test_a_film_has_shadows_and_what_a_policy_sees_stays_the_same() -> None:
    world = Tabletop()
    world.reset(np.random.default_rng(3))
    seen, plain = world.frame().images, world.render("show", 96, 128)
    filmed = world.film(96, 128)
    assert filmed.shape == plain.shape and filmed.dtype == np.uint8
    table = (plain[..., 0] > 150) & (plain[..., 2] > 100) & (plain[..., 0] > plain[..., 2] + np.uint8(15))  # its colour
    assert table.sum() > 3000 and (filmed[table].mean(-1) < 0.75 * plain[table].mean(-1)).sum() > 100
    for camera, picture in world.frame().images.items():
        np.testing.assert_array_equal(picture, seen[camera])
