"""What benchmarks measured: kept one by one, and the page that is made of it."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from benchmarks import __main__ as bench
from benchmarks import ablations, conditions, growth, latency, made_by, results, startup
from policy.errors import InputError
from sim.success_rate import success_rate
from tests.tiny import write_model


def test_a_result_replaces_its_own_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.keep("b", "python -m b", {"ms": 2.0}, path)
    results.keep("a", "python -m a", {"ms": 1.0}, path)
    results.keep("b", "python -m b", {"ms": 3.0}, path)
    found = results.read(path)
    assert list(found) == ["a", "b"] and [one["figures"]["ms"] for one in found.values()] == [1.0, 3.0]
    assert all(one["machine"] and one["date"] and one["commit"] for one in found.values())
    assert not list(tmp_path.glob("*.part"))


def test_the_page_is_the_one_that_the_results_make(tmp_path: Path) -> None:
    assert set(results.read()) == set(bench.BENCHMARKS), "make bench"
    bench.page(tmp_path / bench.PAGE.name)
    made = sorted(file.name for file in tmp_path.iterdir())
    assert (tmp_path / bench.PAGE.name).read_text() == bench.PAGE.read_text()
    assert made == sorted(file.name for file in bench.PAGE.parent.glob(f"{bench.PAGE.stem}*"))


def test_what_is_done_is_not_measured_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "inference.json").write_text(json.dumps({}))
    made_by.write(tmp_path / "inference.made_by.json", made_by.record_of([["benchmarks.inference"]]))
    bench.measure("inference", tmp_path)
    assert capsys.readouterr().out == "inference: done already\n"


def test_what_was_measured_with_other_options_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inference.json").write_text(json.dumps({}))
    made_by.write(tmp_path / "inference.made_by.json", made_by.record_of([["benchmarks.inference", "--rounds", 2]]))
    monkeypatch.setattr(bench.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    with pytest.raises(InputError, match="inference failed"):
        bench.measure("inference", tmp_path)


def test_an_inference_is_timed_with_inputs_of_the_types_that_a_policy_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_model(model := tmp_path / "model")
    graph = onnx.load(model / "policy.onnx")
    words = onnx.helper.make_tensor_value_info("instruction_mask", onnx.TensorProto.BOOL, ["B", spec.tokens])
    graph.graph.input.append(words)
    onnx.save(graph, model / "policy.onnx")
    replace(spec, reads=(*spec.reads, "instruction_mask")).save(model / "spec.json")
    monkeypatch.setattr(latency, "ROUNDS", 1)
    monkeypatch.setattr("sys.argv", ["latency", str(model)])
    latency.main()
    assert "ratio of the medians" in capsys.readouterr().out
    assert startup.seconds(startup.WAYS["start to first run, bare"], model) > 0


def test_a_variant_that_never_succeeds_has_a_row() -> None:
    none, failed = success_rate([]), success_rate([{"success": False}] * 4)
    report = {
        "switch": {"early": failed, "mid": failed, "late": none},
        "object_safety": none,
        "no_switch": failed,
        "resume": none | {"not_possible": 0},
        "time_to_b_s": {"p50": None},
    }
    never = "0 (0 to 49)"
    assert ablations.row("x", report) == f"| x | {never} | {never} | – | – | – of 0, 0 not possible | {never} | – |"


def test_the_plain_policy_is_evaluated_beside_a_reference_that_has_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demos").mkdir()
    command = ["ablations", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--weights", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*command, "--only", "reference", "plain"])
    monkeypatch.setattr(ablations, "on_each_core", lambda names, work: [work(name) for name in reversed(names)])
    ran: list[str] = []

    def run_steps(name: str, folder: Path, steps: list[list[Any]], report: Path) -> None:
        ran.extend(f"{name}: {module}" for module, *_ in steps)

    monkeypatch.setattr(ablations, "run_steps", run_steps)
    monkeypatch.setattr(ablations, "rows", lambda *_: [])
    ablations.main()
    assert ran.index("plain: sim.evaluate") > ran.index("reference: policy.export")


def test_conditions_keep_the_episodes_of_one_policy_and_show_those_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, played = conditions.STUDIES["states"], []

    def play(world: object, sessions: object, job: conditions.Job) -> dict[str, Any]:
        played.append(job)
        return asdict(job) | {"task": "lamp_on", "success": True}

    monkeypatch.setattr(conditions, "play", play)
    for name in ("load", "Session", "Wordless"):
        monkeypatch.setattr(conditions, name, lambda *_: object)
    models = [tmp_path / name for name in ("one", "two")]
    for ramp, model in enumerate(models):
        write_model(model, ramp=0.01 * ramp)
    assert len(conditions.evaluate(study, models[0], 2, tmp_path)) == len(played) == 18
    (tmp_path / "episodes.jsonl").write_text((tmp_path / "episodes.jsonl").read_text()[:-10])  # as a kill leaves it
    few = conditions.evaluate(study, models[0], 1, tmp_path)
    assert {record["seed"] for record in few} == {conditions.SEED} and len(few) == 9
    with pytest.raises(InputError, match=r"holds another evaluation .*sha256"):
        conditions.evaluate(study, models[1], 2, tmp_path)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([1.0, 1.5, 2.0], "always less"),
        ([1.0, 1.2, 2.4], "from 2 on"),
        ([1.0, 3.0, 3.1], "less than in proportion at the end"),
        ([1.0, 3.0, 9.0], "from 1 on"),
    ],
)
def test_where_a_curve_bends(times: list[float], said: str) -> None:
    assert growth.bend([1, 2, 4], times).startswith(said)
