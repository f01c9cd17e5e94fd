"""The exported graph against torch on real frames, and what keeps an export from being written."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from policy import checkpoint, export, train
from policy.errors import InputError
from policy.spec import Spec
from tests import small


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


def test_the_graph_equals_torch_at_any_batch_size(run: Path, model: Path) -> None:
    policy, _ = checkpoint.load(run)
    session = ort.InferenceSession(model / "policy.onnx")
    assert [i.name for i in session.get_inputs()] == ["image_front", "image_wrist", "state", "instruction"]
    rng = np.random.default_rng(0)
    for size in (1, 3, 8):
        inputs = [rng.integers(0, 256, (size, 96, 96, 3), np.uint8) for _ in range(2)]
        inputs += [rng.normal(size=(size, width)).astype(np.float32) for width in (8, 384)]
        with torch.no_grad():
            expected = policy(*map(torch.from_numpy, inputs)).numpy()
        got = session.run(["actions"], dict(zip(policy.inputs, inputs, strict=True)))[0]
        assert got.shape == (size, 16, 8)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_folder_is_whole_and_tells_nothing_of_this_machine(run: Path, model: Path) -> None:
    files = sorted(file.name for file in model.iterdir())
    assert files == ["README.md", "contract.yaml", "policy.onnx", "spec.json"]
    assert Spec.load(model / "spec.json") == checkpoint.load(run)[0].spec
    graph = onnx.load(model / "policy.onnx", load_external_data=False)
    assert graph.ir_version <= 9 and graph.opset_import[0].version <= 20  # ONNX Runtime 1.17
    content = (model / "policy.onnx").read_bytes()
    assert not any(name in content for name in (b"site-packages", b".py", b"objectives"))
    card = (model / "README.md").read_text()
    for part in ("8 windows, 2 steps, seed 0", "python -m policy.train", "Not evaluated yet"):
        assert part in card


def test_the_card_shows_an_evaluation_and_an_export_replaces_an_export(run: Path, tmp_path: Path) -> None:
    task = {"episodes": 4, "successes": 3, "rate": 0.75, "low": 0.3, "high": 0.95}
    report = {"tasks": {"press": task}, "mean": 0.75, "held_out_phrasings": {"reworded": {"mean": 0.5}},
              "control": {"shuffled_instruction": {"mean": 0.1}},
              "chains": {"episodes": 2, "mean_length": 4.5}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    export.export(run, tmp_path / "model")
    export.export(run, tmp_path / "model", report=tmp_path / "report.json")
    card = (tmp_path / "model" / "README.md").read_text()
    for figure in ("| press | 75.0% (30.0% to 95.0%) | 4 |", "| reworded | 50.0%", "| 4.50 | 2 |"):
        assert figure in card
    assert sorted(f.name for f in tmp_path.iterdir()) == ["model", "report.json"]


def test_a_graph_that_differs_is_not_written(run: Path, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    right = export.write_graph

    def wrong(policy: torch.nn.Module, path: Path) -> None:
        policy.delta_mean += 1e-3
        right(policy, path)
        policy.delta_mean -= 1e-3

    monkeypatch.setattr(export, "write_graph", wrong)
    with pytest.raises(InputError, match=r"differ by .* of the action range .* nothing is written"):
        export.export(run, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_without_its_bags_it_asks_for_them(run: Path, bags: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    state = next((tmp_path / "run").glob("checkpoint-*/state.json"))
    state.write_text(state.read_text().replace(str(bags), str(tmp_path / "gone")))
    with pytest.raises(InputError, match=r"no longer at .*--bags"):
        export.export(tmp_path / "run", tmp_path / "model")
    assert not (tmp_path / "model").exists()
    export.export(tmp_path / "run", tmp_path / "model", bags=bags)
    assert (tmp_path / "model" / "policy.onnx").exists()


def test_what_is_no_run_no_report_or_no_model_folder_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint in"):
        export.export(tmp_path, tmp_path / "model")
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InputError, match=r"is not a report\.json"):
        export.export(run, tmp_path / "model", report=tmp_path / "report.json")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match=r"not a model folder"):
        export.export(run, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
