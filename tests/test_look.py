"""`python -m policy.look` on real bags: what the page shows, what stands out, and what cannot be used."""

import base64
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from policy.errors import exit_code
from policy.look import look, main
from policy.looking.quality import rate
from policy.looking.recording import LookedEpisode, thumbnail
from policy.robot.contract import load
from tests.demo_bag import CONTRACT, grasp, record

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six grasps; in the last one the arm is asked to go another way from the same states."""
    folder = tmp_path_factory.mktemp("look") / "bags"
    for i in range(6):
        demo = grasp(steps=60, at=0.002 * i)
        if i == 5:
            actions = demo.actions.copy()
            actions[:, 1] += 0.4
            demo = replace(demo, actions=actions)
        record(folder / f"grasp_{i}", demo, "take <it>" if i else "take it, please", "take")
    return folder


def test_the_page_shows_every_episode_and_names_the_one_that_is_unlike_the_others(
    bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = look(bags, CONTRACT, tmp_path / "out").read_text()
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "index.html"]
    printed = capsys.readouterr().out
    assert "grasp_5: action divergence" in printed and printed.count("grasp_") == 1
    cards = re.findall(r'<article id="([^"]+)">', page)
    assert cards[0] == "grasp_5" and sorted(cards) == [f"grasp_{i}" for i in range(6)]
    assert page.count("stands out: ") == 1 and "take &lt;it&gt;" in page and "<it>" not in page
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    decoded = [cv2.imdecode(np.frombuffer(base64.b64decode(p), np.uint8), cv2.IMREAD_COLOR) for p in pictures[:8]]
    brightness = [float(picture.mean()) for picture in decoded]
    assert len(pictures) == 6 * 8 and brightness == sorted(brightness) and brightness[-1] - brightness[0] > 80
    assert page.count('<rect class="contact"') == 6 and page.count("<polyline") == 6 * 8 * 2
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_what_cannot_be_used_is_shown_with_what_it_holds(bags: Path, tmp_path: Path) -> None:
    page = look(bags, load("so101"), tmp_path / "out").read_text()
    assert "6 cannot be used" in page and "error: cannot be used" in page and "There is no episode." in page
    assert page.count("<details>") == 6 and "joint_states" in page


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "policy.look", tmp_path / "none", "--out", tmp_path / "out"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "no such folder" in done.stderr and not (tmp_path / "out").exists()


def test_without_rerun_it_says_what_to_install_before_it_reads(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["look", str(bags), "--out", str(tmp_path / "out"), "--rerun"])
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert exit_code(main) == 2
    assert "pip install -e '.[rerun]'" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.heavy  # 170 MB
def test_rerun_gets_every_frame(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rerun", reason="install the extra `rerun`")
    command = ["look", str(bags), "--out", str(tmp_path / "out"), "--rerun", str(tmp_path / "bags.rrd")]
    monkeypatch.setattr(sys, "argv", command)
    assert exit_code(main) == 0
    assert "6 episodes in " in capsys.readouterr().out
    printed = subprocess.run(
        [sys.executable, "-m", "rerun", "rrd", "print", tmp_path / "bags.rrd"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for path in ("camera/front", "state/panda_joint1", "action/gripper", "contact", "instruction"):
        assert f"/grasp_3/1/{path}" in printed


def episode(state: np.ndarray, actions: np.ndarray, task: str = "a") -> LookedEpisode:
    return LookedEpisode("bag", 0, "do it", task, np.arange(len(state)) / 20, state, actions, None, None, [])


def test_divergence_is_of_actions_and_diversity_of_where_the_robot_went() -> None:
    rng = np.random.default_rng(0)
    way = np.linspace([0, 0], [1, 2], 40)

    def shown(asked: float = 0.0, went: float = 0.0) -> LookedEpisode:
        state = way + rng.normal(0, 1e-3, way.shape) + went * np.sin(np.arange(40) / 2)[:, None]
        return episode(state, state + np.array([0.05 + asked, 0.1]) + rng.normal(0, 1e-3, way.shape))

    episodes = [*(shown() for _ in range(6)), shown(asked=0.3), shown(went=0.1), episode(way, way, "alone")]
    found = rate(episodes, (0, 1))
    assert "action divergence" in found[6].outlier and "transition diversity" in found[7].outlier
    assert "transition" not in found[6].outlier and not any(quality.outlier for quality in found[:6])
    assert found[8] == type(found[8])() and found[6].divergence > 3 * found[0].divergence  # type: ignore[operator]


def test_a_depth_camera_is_shown_from_near_to_far() -> None:
    distances = np.linspace(0.5, 2.0, 64 * 48, dtype=np.float32).reshape(48, 64, 1)
    picture = cv2.imdecode(np.frombuffer(thumbnail(distances), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (84, 112) and picture[0, 0] < 10 and picture[-1, -1] > 245
