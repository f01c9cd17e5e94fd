"""From bags to weights: what is left out stays out, labels and splits stay right, and strange bags end in sentences."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from policy import export, train
from policy.data.cache import open_cache
from policy.data.episodes import read_episodes
from policy.data.windows import statistics
from policy.errors import InputError
from policy.learning import checkpoint, recipe
from policy.learning.batches import Batches, picture_size
from policy.learning.curves import Curves
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.trainer import Trainer
from policy.robot.contract import find, load
from policy.synthesise import synthesise
from tests import demo_bag, small
from tests.demo_bag import CONTRACT, grasp, record

pytestmark = pytest.mark.slow

SMALL = replace(CONTRACT, cameras={n: replace(c, height=24, width=32) for n, c in CONTRACT.cameras.items()})
LIMITS = CONTRACT.limits
MIDDLE = float(LIMITS.low[0] + LIMITS.high[0]) / 2


def demonstrations(folder: Path, *names: str, tasks: tuple[str, str] = ("t1", "take the other")) -> None:
    """Two demonstrations, of two tasks; the second one's label may be its sentence."""
    record(folder / names[0], grasp(SMALL, at=MIDDLE), "take it", tasks[0], contract=SMALL)
    record(folder / names[1], grasp(SMALL, joint=1, at=0.0), "take the other", tasks[1], contract=SMALL)


def test_an_export_leaves_out_what_the_training_left_out(tmp_path: Path) -> None:
    bags, run = tmp_path / "bags", tmp_path / "run"
    small.bags(bags)
    degrees = demo_bag.demonstration(8, seed=5, text="close the drawer", task="close_drawer")
    for item in degrees:
        if item.topic == "joint_states":
            item.message.position[:] = item.message.position * 57.3 + 300
    demo_bag.write(bags / "degrees", degrees)
    (bags / "torn").mkdir()
    (bags / "torn" / "torn_0.db3").write_bytes(b"x" * 5000)
    train.train(str(small.write(tmp_path / "r.yaml", small.shrink("chunk"))), bags, run, samples=8, skip_bad=True)
    _, state = checkpoint.load(run)
    read, _, _ = export._real_frames(run, state, None, None)
    assert len(read.cache.bounds) - 1 == state["episodes"] and "degrees" not in read.cache.bags


def test_the_second_half_of_a_switch_has_the_label_of_its_task(tmp_path: Path) -> None:
    demonstrations(tmp_path / "demos", "a", "b")
    synthesise(tmp_path / "demos", tmp_path / "switches", SMALL)
    made = read_episodes(tmp_path / "switches" / "a_0_mid", SMALL)
    assert [(e.instruction, e.task) for e in made] == [("take it", "t1"), ("take the other", "take the other")]


def test_no_switch_is_made_of_what_is_not_imitated(tmp_path: Path) -> None:
    demonstrations(tmp_path / "demos", "a", "b")
    record(tmp_path / "demos" / "c", grasp(SMALL, at=MIDDLE), "take it", "t1", contract=SMALL)
    (tmp_path / "demos" / "bags.yaml").write_text("a: {success: false}\n")
    counts = synthesise(tmp_path / "demos", tmp_path / "switches", SMALL)
    assert counts["an episode: a failure, or corrected by a person"] == 1
    assert {bag.name[0] for bag in (tmp_path / "switches").iterdir()} == {"b", "c"}


def test_recordings_whose_names_differ_after_a_dot_have_switches_each(tmp_path: Path) -> None:
    demonstrations(tmp_path / "demos", "demo_2024.05.01", "demo_2024.05.02")
    for _ in range(2):  # the same command again continues
        counts = synthesise(tmp_path / "demos", tmp_path / "switches", SMALL)
        made = [bag.name for bag in (tmp_path / "switches").iterdir()]
        assert len(made) == sum(n for reason, n in counts.items() if reason.endswith("kept"))
        assert {name.split("_")[1] for name in made} == {"2024.05.01", "2024.05.02"}


def test_what_is_kept_and_the_switches_made_of_it_are_held_out_together(tmp_path: Path) -> None:
    for i in range(2):
        record(tmp_path / f"demos/a{i}", grasp(SMALL, at=MIDDLE + i * 0.01), "take it", "t1", contract=SMALL)
        record(tmp_path / f"demos/b{i}", grasp(SMALL, joint=1, at=0.01 * i), "take the other", "t2", contract=SMALL)
    synthesise(tmp_path / "demos", tmp_path / "switches", SMALL)
    chosen = recipe.parse(small.shrink("switch"))
    cache = open_cache(tmp_path / "switches", SMALL, picture_size(chosen), processes=1, keep=tmp_path / "demos")
    batches = Batches(cache, chosen)
    sides = [{cache.bags[e] for e in np.unique(cache.episode[rows])} for rows in (batches.held_out, batches.train)]
    origins = [{bag.removeprefix("demos/").split("_")[0] for bag in side} for side in sides]
    assert origins[0] and origins[1] and not origins[0] & origins[1]


def test_weights_of_a_robot_with_other_joints_are_refused(tmp_path: Path) -> None:
    small.bags(tmp_path / "bags")
    path = str(small.write(tmp_path / "r.yaml", small.shrink("chunk")))
    train.train(path, tmp_path / "bags", tmp_path / "run", samples=8)
    other = tmp_path / "other.yaml"
    other.write_text(find("tabletop").read_text().replace("panda_joint", "ur_joint"))
    spec = load(str(other)).spec
    policy = Policy(recipe.load(path), spec, identity_statistics(spec))
    with pytest.raises(InputError, match=r"another robot: its state is panda_joint1.*ur_joint1"):
        checkpoint.warm_start(policy, tmp_path / "run")


def test_episodes_that_are_shorter_than_a_chunk_are_normalised(tmp_path: Path) -> None:
    """No frame has a target at the last steps of a chunk: each instruction is superseded before."""
    for i in range(3):
        items = list(demo_bag.demonstration(12, seed=i))
        for step, text in ((6, "press the button"), (11, "")):
            stamp = demo_bag.START + step * demo_bag.STEP + demo_bag.STEP // 2 * (1 if step > 6 else -1)
            items.append(demo_bag.Item("instruction", demo_bag.make("String", text), stamp))
        demo_bag.write(tmp_path / f"bags/e{i}", sorted(items, key=lambda item: item.receive))
    cache = open_cache(tmp_path / "bags", load("tabletop"), 16, processes=1)
    values = statistics(cache)
    assert np.diff(cache.bounds).max() < cache.contract.horizon
    assert all(np.isfinite(value).all() for value in values.values())


def test_a_run_that_was_stopped_before_its_first_row_goes_on(tmp_path: Path) -> None:
    for table in ("", "step,samples,seconds,loss,validation\n"):
        (tmp_path / "losses.csv").write_text(table)
        curves = Curves(tmp_path)
        curves.resume(3, [])
        curves.draw()
        curves.add({"loss": 1.0})
        curves.write(50, 100, 1.0, None)
        curves.draw()
        assert len((tmp_path / "losses.csv").read_text().splitlines()) == 2


def test_a_header_that_was_cut_off_is_written_anew(tmp_path: Path) -> None:
    """As by a disk that was full."""
    (tmp_path / "losses.csv").write_text("step,sam")
    curves = Curves(tmp_path)
    curves.resume(3, [{"loss": 1.0}])
    curves.write(50, 100, 1.0, None)
    curves.draw()
    assert (tmp_path / "losses.csv").read_text() == "step,samples,seconds,loss,validation\n50,100,1.0,1,\n"


def test_a_disk_that_is_full_when_curves_are_written_is_a_sentence(tmp_path: Path) -> None:
    """Half a file would keep the disk full."""
    curves, table, part = Curves(tmp_path), tmp_path / "losses.csv", tmp_path / "losses.part"
    full = r"cannot write .*losses\.{} \(No space left on device\); .* continues from the last complete checkpoint"
    table.symlink_to("/dev/full")
    curves.add({"loss": 1.0})
    with pytest.raises(InputError, match=full.format("csv")):
        curves.write(50, 100, 1.0, None)
    table.unlink()
    curves.add({"loss": 1.0})
    curves.write(50, 100, 1.0, None)
    written = table.read_text()
    for act, name in ((lambda: curves.resume(50, []), "csv"), (curves.draw, "png")):
        part.symlink_to("/dev/full")
        with pytest.raises(InputError, match=full.format(name)):
            act()
        assert not part.is_symlink() and table.read_text() == written and not curves.picture.exists()


def test_a_process_that_writes_no_curves_keeps_no_losses(tmp_path: Path) -> None:
    for main, kept in ((False, 0), (True, 3)):
        process = SimpleNamespace(accelerator=SimpleNamespace(is_main_process=main), curves=Curves(tmp_path), step=1)
        for _ in range(3):
            Trainer._log(process, {"loss": 1.0})  # type: ignore[arg-type]
        assert len(process.curves.window) == kept


def test_a_run_goes_on_with_its_own_bags_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bags, path = small.bags(tmp_path / "bags"), small.write(tmp_path / "small.yaml", small.shrink("chunk"))
    train.train(str(path), bags, tmp_path / "run", samples=4)
    more = small.bags(tmp_path / "more", 2)
    with pytest.raises(InputError, match=r"holds a run with --bags .*, and --bags .*more is given; give another --out"):
        train.train(str(path), more, tmp_path / "run", samples=8)
    with pytest.raises(InputError, match=r"--keep \(none\), and --keep .*more"):
        train.train(str(path), bags, tmp_path / "run", samples=8, weights=tmp_path / "run", keep=more)
    monkeypatch.setattr(checkpoint, "save", lambda *_: pytest.fail("this step is saved"))
    train.train(str(path), bags, tmp_path / "run", samples=4)
    assert checkpoint.load(tmp_path / "run")[1]["step"] == 1
