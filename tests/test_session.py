import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from policy.errors import InputError
from policy.running.session import SENTENCES, Session
from policy.running.tracker import Tracker
from policy.spec import Spec
from tests.tiny import TAUGHT, frame, write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


def test_a_frame_becomes_the_chunk_that_the_graph_computes(model: Path) -> None:
    session = Session(model)
    tracker = Tracker(session)
    number = tracker.instruct("put the red block in the bowl")
    seen = frame(session.spec, 51)
    chunk = tracker.infer(seen)
    assert (chunk.stamp, chunk.dt, chunk.instruction) == (seen.stamp, session.spec.dt_ns, number)
    expected = np.tile(seen.state, (session.spec.horizon, 1))
    expected[:, 0] += 0.2 * 0.01 * np.arange(1, session.spec.horizon + 1)
    np.testing.assert_allclose(chunk.actions, expected, atol=1e-6)
    assert session.provider == "cpu"


def test_every_instruction_has_its_own_id_and_an_empty_one_is_refused(model: Path) -> None:
    tracker = Tracker(Session(model))
    with pytest.raises(InputError, match="no instruction"):
        tracker.infer(frame(tracker.session.spec))
    first, second = tracker.instruct("open the drawer"), tracker.instruct("open the drawer")
    assert first != second
    with pytest.raises(InputError):
        tracker.instruct("  ")
    assert tracker.infer(frame(tracker.session.spec)).instruction == second


def test_one_session_serves_two_robots_that_know_nothing_of_each_other(tmp_path: Path) -> None:
    write_model(tmp_path / "model", switches=True)
    session = Session(tmp_path / "model")
    one, other = Tracker(session), Tracker(session)
    one.instruct(TAUGHT[0])
    other.instruct(TAUGHT[1])
    one.infer(frame(session.spec, contact=1))
    assert one.in_contact and not other.in_contact
    assert (one.text, other.text) == TAUGHT[:2]


def test_a_batch_of_robots_is_one_run_and_equals_one_by_one(tmp_path: Path) -> None:
    write_model(tmp_path / "model", switches=True)
    session = Session(tmp_path / "model")
    feeds = []
    for i, text in enumerate(TAUGHT[:3]):
        tracker = Tracker(session)
        tracker.instruct(text)
        feeds.append(tracker.inputs(frame(session.spec, 40 * i, contact=i / 4)))
    together = session.run({name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})
    for i, feed in enumerate(feeds):
        for name, value in session.run(feed).items():
            np.testing.assert_allclose(together[name][i : i + 1], value, atol=1e-6)


def test_a_sentence_is_read_once_and_old_ones_are_forgotten(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, calls = Session(model), list[str]()
    read = session._text.read("open drawer")
    monkeypatch.setattr(session._text, "read", lambda text: (calls.append(text), read)[1])
    for i in range(SENTENCES + 1):
        session.embed(f"open drawer {i}")
    session.embed(f"open drawer {SENTENCES}")
    assert len(calls) == SENTENCES + 1 == len(session._sentences) + 1
    session.embed("open drawer 0")
    assert len(calls) == SENTENCES + 2


def test_frames_that_do_not_fit_are_refused(model: Path) -> None:
    session = Session(model)
    camera = next(iter(session.spec.cameras))
    small = frame(session.spec)
    small.images[camera] = small.images[camera][:50]
    blind = frame(session.spec)
    del blind.images[camera]
    for bad in (small, blind):
        with pytest.raises(InputError, match=f"camera '{camera}'"):
            session.observation(bad)
    distances = Session.__new__(Session)
    distances.spec = replace(session.spec, depth=(camera,))
    given = frame(session.spec)
    h, w = session.spec.cameras[camera]
    given.images[camera] = np.full((h, w, 1), 0.5, np.float32)
    assert distances.observation(given)[f"image_{camera}"].shape == (1, h, w, 1)
    with pytest.raises(InputError, match=r"expected float32 .* of distances"):
        distances.observation(frame(session.spec))
    numb, short = frame(session.spec), frame(session.spec)
    numb.state[2], short.state = np.nan, short.state[:-1]
    for bad in (numb, short):
        with pytest.raises(InputError, match="state"):
            session.observation(bad)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_frame_of_other_types_is_refused_in_a_sentence(model: Path) -> None:
    session = Session(model)
    camera, good = next(iter(session.spec.cameras)), frame(session.spec)
    numbers = good.state.tolist()
    for key, value, why in (
        ("images", None, "images: got none, expected one of each camera, by name"),
        ("images", good.images | {camera: good.images[camera].tolist()}, r"got \[\[\[255, .* expected uint8"),
        ("images", good.images | {camera: None}, "got none, expected uint8"),
        ("state", None, "state: got none, expected 8 finite numbers"),
        ("state", "text", "state: got 'text', expected"),
        ("state", [str(number) for number in numbers], r"state: got \['0.0', .* expected"),
        ("state", np.array(numbers) > 0, r"state: got \[False, True, .* expected"),
        ("state", [1e300, *numbers[1:]], r"state: got \[1e\+300, .* expected"),
        ("state", np.zeros(1000, np.float32), r"state: got float32 \(1000,\), expected"),
        ("stamp", None, "stamp: got none, expected the time of the frame in ns"),
        ("stamp", 1.5, r"stamp: got 1\.5, expected"),
        ("stamp", True, "stamp: got True, expected"),
    ):
        with pytest.raises(InputError, match=why):
            session.observation(replace(good, **{key: value}))
    for key, value in (("state", numbers), ("state", good.state.astype(float)), ("stamp", np.int64(5))):
        assert session.observation(replace(good, **{key: value}))["state"].dtype == np.float32


def test_a_folder_that_cannot_be_run_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model folder"):
        Session(tmp_path / "nowhere")
    graph = (model / "policy.onnx").read_bytes()
    (model / "policy.onnx").write_bytes(graph[: len(graph) // 2])
    with pytest.raises(InputError, match="truncated"):
        Session(model)
    (model / "policy.onnx").unlink()
    with pytest.raises(InputError, match="no graph"):
        Session(model)
    (model / "spec.json").unlink()
    with pytest.raises(InputError, match="no spec"):
        Session(model)


def test_a_spec_that_does_not_fit_the_graph_is_refused(model: Path) -> None:
    spec = Spec.load(model / "spec.json")
    replace(spec, horizon=spec.horizon + 1).save(model / "spec.json")
    with pytest.raises(InputError, match=r"actions.*\(B, 16, 8\).*\(B, 17, 8\)"):
        Session(model)


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        ("likeness", float("nan"), "runtime: likeness: got nan, expected a finite number"),
        ("confirm_s", float("inf"), "runtime: confirm_s: got inf, expected a finite number"),
        ("contact_on", 1.5, "runtime: contact_on: got 1.5, expected a number from 0 to 1"),
        ("replan_s", 99.0, r"replan_s: got 99.0 s, expected more than 0 and less than a chunk lasts: 0.8 s"),
        ("rate", 0.0, "rate: got 0.0, expected a number that is positive"),
        ("rate", float("nan"), "rate: got nan, expected a finite number"),
        ("horizon", 0, "horizon: got 0, expected a number that is positive"),
        ("horizon", float("inf"), "is not a spec"),
        ("stride", 0, "stride: got 0, expected a number that is positive"),
    ],
)
def test_a_spec_with_a_number_that_no_policy_runs_by_is_refused(
    model: Path, where: str, value: float, says: str
) -> None:
    """A likeness of NaN would take every sentence for a known one."""
    raw = json.loads((model / "spec.json").read_text())
    (raw["runtime"] if where in raw["runtime"] else raw)[where] = value
    (model / "spec.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=says):
        Spec.load(model / "spec.json")


def test_a_graph_without_a_camera_is_refused(model: Path) -> None:
    graph = onnx.load(model / "policy.onnx")
    gone = next(i for i in graph.graph.input if i.name == "image_wrist")
    graph.graph.input.remove(gone)
    onnx.save(graph, model / "policy.onnx")
    with pytest.raises(InputError, match="image_wrist: graph has none"):
        Session(model)


def test_a_graph_and_a_spec_must_agree_on_switching(model: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "other", switches=True)
    (model / "spec.json").write_text((tmp_path / "other" / "spec.json").read_text())
    with pytest.raises(InputError, match=r"contact: graph has none, spec says float32 \(B, 1\)"):
        Session(model)


def test_a_switching_policy_needs_the_sentences_it_was_taught(tmp_path: Path) -> None:
    write_model(tmp_path / "model", switches=True)
    (tmp_path / "model" / "instructions.safetensors").unlink()
    with pytest.raises(InputError, match=r"instructions\.safetensors cannot be read"):
        Session(tmp_path / "model")


def test_a_taught_sentence_is_never_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session("tabletop", provider="cpu")
    monkeypatch.setattr("policy.running.session.steps", lambda *_: ())
    assert [one.task for one in session.steps("open the drawer")] == ["open_drawer"]
    assert session.steps("open the drawer, then lamp on") == ()


def test_the_shipped_policy_tells_what_it_was_taught_from_what_it_was_not() -> None:
    session = Session("tabletop", provider="cpu")
    assert [one.task for one in session.steps("would you open the drawer, then lamp on")] == ["open_drawer", "lamp_on"]
    assert session.embed("could you push that drawer shut").task == "close_drawer"
    for text in ("put the yellow block in the bowl", "close the door", "don't open the drawer", "open it and dance"):
        with pytest.raises(InputError, match=r"unknown instruction|forbids something"):
            session.steps(text)


def test_a_contract_of_another_robot_is_refused(model: Path) -> None:
    text = (model / "contract.yaml").read_text()
    (model / "contract.yaml").write_text(text.replace("rate: 20", "rate: 10"))
    with pytest.raises(InputError, match=r"contract\.yaml does not fit"):
        Session(model)
