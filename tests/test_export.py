"""The exported graph against torch on real frames, and when an export is not written."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from policy import export, train
from policy.errors import InputError
from policy.learning import checkpoint, model_folder
from policy.running.known_instructions import KnownInstructions
from policy.running.session import Session
from policy.running.text import WIDTH
from policy.running.tracker import Tracker
from policy.spec import MODES, Frame, RuntimeSettings, Spec
from tests import small

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("classifier_once")]


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.bags(tmp_path_factory.mktemp("bags"))


@pytest.fixture(scope="module")
def run(bags: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    recipe = small.write(folder / "small.yaml", small.shrink("chunk"))
    train.train(str(recipe), bags, folder / "run", samples=8)
    return folder / "run"


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    export.export(run, folder)
    return folder


def random_inputs(spec: Spec, size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A batch of the inputs that a spec describes."""
    return {
        name: rng.integers(0, 256, (size, *shape), np.uint8)
        if dtype == "uint8"
        else rng.normal(size=(size, *shape)).astype(dtype)
        for name, (dtype, shape) in spec.inputs().items()
    }


def test_the_graph_equals_torch_at_any_batch_size(run: Path, model: Path) -> None:
    policy, _ = checkpoint.load(run)
    session = ort.InferenceSession(model / "policy.onnx")
    assert [i.name for i in session.get_inputs()] == ["image_front", "image_wrist", "state", "instruction"]
    rng = np.random.default_rng(0)
    for size in (1, 3, 8):
        feed = random_inputs(policy.spec, size, rng)
        with torch.no_grad():
            expected = policy(*map(torch.from_numpy, feed.values()))[0].numpy()
        got = session.run(["actions"], feed)[0]
        assert got.shape == (size, 16, 8)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_folder_is_complete_and_names_no_local_paths(run: Path, model: Path) -> None:
    files = sorted(file.name for file in model.iterdir())
    assert files == ["README.md", "contract.yaml", "policy.onnx", "reference.npz", "spec.json"]
    assert Spec.load(model / "spec.json") == checkpoint.load(run)[0].spec
    assert Spec.load(model / "spec.json").runtime == RuntimeSettings()
    graph = onnx.load(model / "policy.onnx", load_external_data=False)
    assert graph.ir_version <= 9 and graph.opset_import[0].version <= 20  # ONNX Runtime 1.17
    content = (model / "policy.onnx").read_bytes()
    assert not any(name in content for name in (b"site-packages", b".py", b"objectives"))
    card = (model / "README.md").read_text()
    for part in ("8 frames, 2 steps, seed 0", "python -m policy.train", "Not evaluated yet"):
        assert part in card


@pytest.fixture(scope="module")
def switching(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run of a switching policy and its model folder."""
    folder = tmp_path_factory.mktemp("switching")
    recipe = small.write(folder / "small.yaml", small.shrink("switch"))
    train.train(str(recipe), small.switches(folder / "bags"), folder / "run", samples=8)
    export.export(folder / "run", folder / "model")
    return folder / "run", folder / "model"


def test_a_switching_policy_is_exported_with_both_outputs(switching: tuple[Path, Path]) -> None:
    run, model = switching
    policy, _ = checkpoint.load(run)
    session = ort.InferenceSession(model / "policy.onnx")
    assert [i.name for i in session.get_inputs()] == list(policy.inputs)
    assert [o.name for o in session.get_outputs()] == ["actions", "execution_estimate"]
    rng = np.random.default_rng(0)
    for size in (1, 3):
        feed = random_inputs(policy.spec, size, rng)
        with torch.no_grad():
            expected = policy(*map(torch.from_numpy, feed.values()))
        for got, value in zip(session.run(None, feed), expected, strict=True):
            np.testing.assert_allclose(got, value.numpy(), atol=1e-5)


def test_its_folder_holds_the_instructions_of_its_training_and_runs(switching: tuple[Path, Path]) -> None:
    _, model = switching
    files = sorted(file.name for file in model.iterdir())
    assert files == [
        "README.md",
        "contract.yaml",
        "instructions.safetensors",
        "policy.onnx",
        "reference.npz",
        "spec.json",
    ]
    taught = KnownInstructions(model, WIDTH, likeness=0.53).taught
    assert {text for _, text in taught} == {text for text, _ in small.INSTRUCTIONS}
    session = Session(model)
    assert session.spec.switches
    tracker = Tracker(session)
    with pytest.raises(InputError, match="unknown instruction"):
        tracker.instruct("make coffee")
    tracker.instruct(small.INSTRUCTIONS[0][0])
    images = {name: np.zeros((h, w, 3), np.uint8) for name, (h, w) in session.spec.cameras.items()}
    chunk = tracker.infer(Frame(0, images, np.zeros(len(session.spec.state), np.float32)))
    assert chunk.actions.shape == (16, 8) and chunk.execution_estimate is not None
    assert (
        0 < chunk.execution_estimate.contact < 1
        and 0 < chunk.execution_estimate.done < 1
        and chunk.execution_estimate.mode in MODES
    )


def test_a_graph_whose_execution_estimate_differs_is_not_written(
    switching: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(policy: torch.nn.Module, path: Path) -> None:
        shutil.copyfile(switching[1] / "policy.onnx", path)
        with torch.no_grad():
            policy.objectives["execution_estimate"].out.bias += 0.01

    monkeypatch.setattr(export, "write_graph", wrong)
    with pytest.raises(InputError, match="torch and ONNX Runtime differ"):
        export.export(switching[0], tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def same_graph(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph of `run` is not made again, which takes ten seconds; everything about it is."""
    monkeypatch.setattr(export, "write_graph", lambda _, path: shutil.copyfile(model / "policy.onnx", path))


@pytest.mark.usefixtures("same_graph")
def test_the_card_shows_an_evaluation_and_an_export_replaces_an_export(run: Path, tmp_path: Path) -> None:
    task = {"episodes": 4, "successes": 3, "rate": 0.75, "low": 0.3, "high": 0.95}
    report = {
        "tasks": {"press": task},
        "mean": 0.75,
        "held_out_phrasings": {"reworded": {"mean": 0.5}},
        "control": {"shuffled_instruction": {"mean": 0.1}},
        "chains": {"episodes": 2, "mean_length": 4.5},
        "command": "python -m sim.evaluate models/small",
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    export.export(run, tmp_path / "model")
    shutil.copytree(tmp_path / "model", tmp_path / ".model.old")  # of an export that was killed on the way
    export.export(run, tmp_path / "model", reports=[tmp_path / "report.json"])
    card = (tmp_path / "model" / "README.md").read_text()
    for figure in (
        "| press | 75.0% (30.0% to 95.0%) | 4 |",
        "| reworded | 50.0%",
        "| 4.50 | 2 |",
        "By `python -m sim.evaluate models/small`",
    ):
        assert figure in card
    assert sorted(f.name for f in tmp_path.iterdir()) == ["model", "report.json"]


def test_a_graph_whose_actions_differ_is_not_written(
    run: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(policy: torch.nn.Module, path: Path) -> None:
        shutil.copyfile(model / "policy.onnx", path)
        policy.delta_mean += 1e-3

    monkeypatch.setattr(export, "write_graph", wrong)
    with pytest.raises(InputError, match=r"differ by .* of the range of an output .* nothing is written"):
        export.export(run, tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("same_graph")
def test_without_its_bags_it_asks_for_them(run: Path, bags: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    state = next((tmp_path / "run").glob("checkpoint-*/state.json"))
    state.write_text(state.read_text().replace(str(bags), str(tmp_path / "gone")))
    with pytest.raises(InputError, match=r"no longer at .*--bags"):
        export.export(tmp_path / "run", tmp_path / "model")
    assert not (tmp_path / "model").exists()
    export.export(tmp_path / "run", tmp_path / "model", bags=bags)
    assert (tmp_path / "model" / "policy.onnx").exists()


@pytest.mark.usefixtures("same_graph")
def test_the_card_shows_switches_beside_the_baselines(run: Path, tmp_path: Path) -> None:
    rate = {"episodes": 200, "successes": 190, "rate": 0.95, "low": 0.91, "high": 0.97}
    none = {"episodes": 0, "successes": 0, "rate": None, "low": None, "high": None}
    ours = {
        "switch": {"early": rate, "mid": rate},
        "object_safety": rate,
        "resume": none,
        "switch_back": rate,
        "three_switches": rate,
        "false_switch": rate,
        "reaction_s": {"p50": 0.1},
        "time_to_b_s": {"p50": None},
    }
    report = ours | {"baselines": {"retreat": ours}, "command": "python -m sim.evaluate m --switch early,mid"}
    (tmp_path / "report.json").write_text(json.dumps(report))
    export.export(run, tmp_path / "model", reports=[tmp_path / "report.json"])
    card = (tmp_path / "model" / "README.md").read_text()
    for row in (
        "| | this policy | retreat |",
        "| B succeeds, mid switch | 95.0% (91.0% to 97.0%) of 200 | 95.0%",
        "| A succeeds afterwards | none | none |",
        "| reaction, median | 0.10 s | 0.10 s |",
        "| time to B, median | none | none |",
        "By `python -m sim.evaluate m --switch early,mid`.",
    ):
        assert row in card


def test_a_folder_that_is_no_run_no_report_or_no_model_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint in"):
        export.export(tmp_path, tmp_path / "model")
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InputError, match=r"is not a report\.json"):
        export.export(run, tmp_path / "model", reports=[tmp_path / "report.json"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match=r"not a model folder"):
        export.export(run, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize("out", [".", "..", "models/..", "here"])
def test_the_folder_that_the_command_runs_in_is_not_replaced(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one above it: whoever is in it would be in a folder that is gone."""
    (tmp_path / "here" / "models").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    place = tmp_path / out if out == "here" else Path(out)
    with (
        pytest.raises(InputError, match="is the folder that this command runs in, or"),
        model_folder.new(place),
    ):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "models"]


def test_a_model_folder_is_written_beside_what_a_path_names(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "models").symlink_to("disk")
    for place in (tmp_path / "models" / "mine", tmp_path / "models" / "mine" / "x" / ".."):
        with model_folder.new(place) as aside:
            (aside / "policy.onnx").write_text(str(place))
        assert (tmp_path / "disk" / "mine" / "policy.onnx").read_text() == str(place)
        assert [path.name for path in (tmp_path / "disk").iterdir()] == ["mine"]


def test_a_model_that_a_killed_command_had_put_aside_is_put_back(tmp_path: Path) -> None:
    aside = tmp_path / ".model.old"
    aside.mkdir()
    (aside / "policy.onnx").write_text("the model")
    with pytest.raises(InputError, match="refused"), model_folder.new(tmp_path / "model"):
        raise InputError("refused")
    assert (tmp_path / "model" / "policy.onnx").read_text() == "the model" and not aside.exists()
