# ruff: noqa: F811  fixtures are imported
"""A policy over a real socket: ours served to ourselves, and what servers of others may do wrong."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy.errors import InputError
from policy.learning import recipe
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.onnx_graph import write_graph
from policy.robot.contract import FOLDER, Contract
from policy.running import policy_mapping, wire
from policy.running.loop import InferenceLoop
from policy.running.policy_client import PolicyClient, PolicyServerError
from policy.running.remote import RemoteSession
from policy.running.session import Session
from policy.running.tracker import Tracker
from policy.spec import Frame
from tests import small
from tests.policy_servers import PATIENT, Serving, contract, folder, mapping, moving, ours, served, stub  # noqa: F401  fixtures
from tests.tiny import TAUGHT, frame, teach

ROOT = Path(__file__).parent.parent


def test_a_served_policy_does_what_it_does_here(folder: Path, served: Serving, contract: Contract) -> None:
    """Through contact, a change of instruction, rollback, done, and the same instruction once more."""
    here, there = Tracker(Session(folder, 1, "cpu")), Tracker(RemoteSession(served.url, contract, timeout_s=PATIENT))
    shown: list[tuple[str | None, dict[str, Any]]] = [
        (TAUGHT[0], {}),
        (None, {"contact": 1.0}),
        (TAUGHT[1], {"contact": 1.0, "mode": "rollback"}),
        (None, {"contact": 0.0}),
        (None, {"done": 1.0}),
        (None, {"done": 1.0}),
        (None, {"done": 1.0}),
        (TAUGHT[1], {}),
        (None, {"contact": 1.0}),
    ]
    finished = []
    for text, told in shown:
        seen = frame(here.session.spec, 200, **told)
        for tracker in (here, there):
            if text is not None:
                tracker.instruct(text)
        expected, given = here.infer(seen), there.infer(seen)
        assert (
            np.array_equal(expected.actions, given.actions) and expected.execution_estimate == given.execution_estimate
        )
        finished.append((here.finished, there.finished))
    assert (True, True) in finished and all(a == b for a, b in finished)


def test_a_served_policy_is_told_what_is_committed_as_it_is_here(tmp_path: Path, contract: Contract) -> None:
    """Schedule, times and thresholds are its own, too."""
    raw = small.shrink("sequence")
    raw["runtime"] = {"confirm_s": 0.2, "replan_s": 0.3}
    made = Policy(recipe.parse(raw), contract.spec, identity_statistics(contract.spec)).eval()
    torch.nn.init.normal_(made.encoders["committed"].layers[-1].weight)
    folder = tmp_path / "model"
    folder.mkdir()
    write_graph(made, folder / "policy.onnx")
    made.spec.save(folder / "spec.json")
    shutil.copy(FOLDER / "tabletop.yaml", folder / "contract.yaml")
    teach(folder, [("open_drawer", TAUGHT[0])])
    seen = frame(contract.spec, 100)
    with ours(folder) as served:
        here, there = Session(folder, 1, "cpu"), RemoteSession(served.url, contract, timeout_s=PATIENT)
        assert there.spec.runtime == replace(here.spec.runtime, likeness=there.spec.runtime.likeness)
        assert InferenceLoop(there, lambda: None).schedule == "rtc"
        answers = []
        for session in (here, there):
            tracker = Tracker(session)
            tracker.instruct(TAUGHT[0])
            for committed in (None, np.full((3, 8), 0.05, np.float32)):
                outputs = session.run(tracker.inputs(seen, committed))
                tracker.update(seen, outputs)
                answers.append(outputs["actions"])
        np.testing.assert_allclose(answers[:2], answers[2:], atol=1e-6)
        assert not np.allclose(answers[0], answers[1])
        client = PolicyClient(served.url)
        client.connect(PATIENT)
        client.timeout = PATIENT
        with pytest.raises(PolicyServerError, match=r"got float64 \(3, 7\), expected finite numbers \(n, 8\)"):
            message = {"image_front": seen.images["front"], "image_wrist": seen.images["wrist"], "state": seen.state}
            client.infer(message | {"prompt": TAUGHT[0], "committed": np.zeros((3, 7))})


def test_a_robot_begins_anew_with_a_connection_and_with_a_clock_that_is_set_back(
    served: Serving, contract: Contract
) -> None:
    """What it did before is forgotten: previous instruction, contact and done."""
    session = RemoteSession(served.url, contract, timeout_s=PATIENT)
    first, second = Tracker(session), Tracker(RemoteSession(served.url, contract, timeout_s=PATIENT))
    first.instruct(TAUGHT[0])
    seen = frame(session.spec, 200, contact=1.0)
    begun = first.infer(seen).actions
    assert not np.array_equal(first.infer(seen).actions, begun), "the contact is remembered"
    second.instruct(TAUGHT[0])
    assert np.array_equal(second.infer(seen).actions, begun), "but not of another robot"
    client = PolicyClient(served.url)  # one connection
    client.connect(PATIENT)
    client.timeout = PATIENT
    message = {f"image_{name}": image for name, image in seen.images.items()} | {
        "state": seen.state,
        "prompt": TAUGHT[0],
    }
    answers = [client.infer(message | {"stamp": stamp})["actions"] for stamp in (10, 10, 9)]
    assert not np.array_equal(answers[1], answers[0])
    assert np.array_equal(answers[2], answers[0]), "nor of what was before the clock was set back"


def test_an_instruction_that_the_served_policy_does_not_know(served: Serving, contract: Contract) -> None:
    tracker = Tracker(RemoteSession(served.url, contract, timeout_s=PATIENT))
    tracker.instruct("make coffee")
    for _ in range(2):
        with pytest.raises(InputError, match="unknown instruction 'make coffee'"):
            tracker.infer(frame(tracker.session.spec))
    tracker.instruct(TAUGHT[0])
    assert tracker.infer(frame(tracker.session.spec)).actions.shape == (16, 8)


def test_a_loop_refuses_what_the_served_policy_does_not_know(
    folder: Path, served: Serving, contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    """As the policy itself does: the arm is held, nothing is asked again, and "continue" resumes what was left."""
    spec, told = Session(folder, 1, "cpu").spec, []
    for session in (Session(folder, 1, "cpu"), RemoteSession(served.url, contract, timeout_s=PATIENT)):
        seen = frame(spec)
        loop = InferenceLoop(session, lambda seen=seen: seen)

        def work(loop: InferenceLoop, seen: Frame, steps: int) -> None:
            for _ in range(steps):
                seen.stamp += spec.dt_ns
                while (todo := loop.begin(seen.stamp)) is not None:
                    error = None
                    try:
                        todo.run()
                    except InputError as raised:
                        error = raised
                    loop.finish(todo, seen.stamp, 0.0, error)

        loop.instruct(TAUGHT[0], seen.stamp)
        work(loop, seen, 20)
        assert loop.text == TAUGHT[0] and not loop.reason
        loop.instruct("make coffee", seen.stamp)
        work(loop, seen, 20)
        told.append(
            (loop.text, loop.pending, loop.reason, loop.tracker.unfinished, len(loop.set_points(seen.stamp)[0]))
        )
        loop.instruct("continue", seen.stamp)
        work(loop, seen, 1)
        assert loop.text == loop.served == TAUGHT[0] and not loop.reason
    assert told[0] == told[1]
    assert told[0][:2] == ("", False) and "'make coffee'" in told[0][2] and told[0][3:] == (TAUGHT[0], 0)
    asked = [record.getMessage() for record in caplog.records if record.name == "midstream.serve"]
    assert sum("make coffee" in message for message in asked) == 1, asked


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_what_a_client_of_others_sends(served: Serving, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without stamp and id; lists and float64; and what cannot be used is answered by a text, and the next counts."""
    from websockets.sync.client import connect

    spec, seen = Session(folder, 1, "cpu").spec, None
    with connect(served.url, compression=None, max_size=None) as connection:
        described = wire.unpack(connection.recv())
        assert described["action"] == list(spec.action) and described["cameras"]["front"] == [96, 96, 3]
        seen = frame(spec, 200)
        good: dict[str, Any] = {f"image_{name}": image for name, image in seen.images.items()}
        good |= {"state": seen.state.astype(float).tolist(), "prompt": TAUGHT[0]}

        def reply(message: Any) -> Any:
            connection.send(message if isinstance(message, bytes | str) else wire.pack(message))
            answer = connection.recv()
            return answer if isinstance(answer, str) else wire.unpack(answer)

        assert reply(good)["actions"].shape == (16, 8) and "infer_ms" in reply(good)["server_timing"]
        for message, why in (
            ({k: v for k, v in good.items() if k != "image_wrist"}, "expected also image_wrist"),
            ({k: v for k, v in good.items() if k != "prompt"}, "prompt: got NoneType"),
            (
                good | {"image_front": np.zeros((3, 96, 96), np.uint8)},
                "got uint8 (3, 96, 96), expected uint8 (96, 96, 3)",
            ),
            (good | {"image_front": "text"}, "camera 'front': got"),
            (good | {"state": [1.0, 2.0]}, "state: got [1.0, 2.0], expected 8 finite numbers"),
            (good | {"state": [float("nan")] * 8}, "expected 8 finite numbers"),
            (good | {"state": "text"}, "state: got 'text', expected 8 finite numbers"),
            (good | {"state": ["0.5"] * 8}, "expected 8 finite numbers"),
            (good | {"state": np.array(["0.5"] * 8)}, "state: got ['0.5', "),
            (good | {"state": [True] * 8}, "state: got [True, True, "),
            (good | {"state": [1e300] * 8}, "state: got [1e+300, "),
            (good | {"state": [[1.0], [1.0, 2.0]]}, "state: got [[1.0], [1.0, 2.0]], expected 8 finite numbers"),
            (good | {"image_front": [[1], [1, 2]]}, "camera 'front': got [[1], [1, 2]], expected uint8 (96, 96, 3)"),
            (good | {"committed": [[1.0], [1.0, 2.0]]}, "committed: got [[1.0], [1.0, 2.0]], expected finite numbers"),
            (good | {"committed": [["0"] * 8]}, "committed: got [['0', "),
            (good | {"instruction_id": np.arange(2)}, "instruction_id: got int64 (2,), expected a whole number"),
            (good | {"instruction_id": "1"}, "instruction_id: got '1', expected a whole number"),
            (good | {"instruction_id": float("nan")}, "instruction_id: got nan, expected a whole number"),
            (good | {"instruction_id": True}, "instruction_id: got True, expected a whole number"),
            (good | {"stamp": 1.5}, "stamp: got 1.5"),
            (good | {"prompt": "  "}, "empty"),
            (good | {"prompt": "stop"}, "refused: got 'stop': no instruction is in force any more"),
            (
                good | {"prompt": "open the drawer, then close the drawer"},
                "names several tasks; a tracker, or a",
            ),
            (good | {"prompt": 5}, "prompt: got int"),
            (b"\xc1", "not msgpack"),
            ("hello", "got the text 'hello'"),
        ):
            said = reply(message)
            assert why in said, (why, said)
            assert "contract" not in said, "a client has none"
            if "camera" in why or "state:" in why:
                assert "an observation is image_front (uint8 (96, 96, 3)), image_wrist" in said
        assert reply(good)["actions"].shape == (16, 8)
        assert not [record for record in caplog.records if record.exc_info], "none was a surprise"


def test_a_robot_that_begins_anew_is_a_new_one_for_the_server(
    folder: Path, served: Serving, contract: Contract, tmp_path: Path
) -> None:
    """After a reset, as in a new loop: nothing is in contact, and what was done before is not remembered."""
    for session in (Session(folder, 1, "cpu"), RemoteSession(served.url, contract, timeout_s=PATIENT)):
        tracker = Tracker(session)
        spec = tracker.session.spec
        seen, told = frame(spec, 200, contact=1.0, mode="rollback"), []
        for text, shown in ((TAUGHT[0], seen), (TAUGHT[1], seen), (None, frame(spec, 200, contact=0.0))):
            if text is not None:
                tracker.instruct(text)
            shown.stamp = seen.stamp = seen.stamp + spec.dt_ns
            told.append(tracker.infer(shown))
        for begin in (tracker.reset, lambda session=session: Tracker(session)):
            other = begin() or tracker
            other.instruct(TAUGHT[1])
            fresh = frame(spec, 200, contact=1.0)
            fresh.stamp = seen.stamp + 400 * spec.dt_ns
            expected = Tracker(Session(folder, 1, "cpu"))
            expected.instruct(TAUGHT[1])
            assert np.array_equal(other.infer(fresh).actions, expected.infer(fresh).actions)
            assert other.unfinished == ""
            seen.stamp = fresh.stamp


def test_a_question_is_no_order_for_a_served_policy_either(served: Serving, contract: Contract) -> None:
    tracker = Tracker(RemoteSession(served.url, contract, timeout_s=PATIENT))
    tracker.instruct("is the drawer open?")
    with pytest.raises(InputError, match="asks something"):
        tracker.infer(frame(tracker.session.spec))


def test_what_a_served_policy_was_taught(served: Serving, contract: Contract, folder: Path, mapping: Path) -> None:
    """As the policy itself says; a server of others need not say, and what it says otherwise is refused."""
    here, there = Session(folder, 1, "cpu"), RemoteSession(served.url, contract)
    assert here.taught and there.taught == here.taught and there.tasks == here.tasks
    there.close()
    own = policy_mapping.own(here.spec)
    for metadata in ({"mapping": own}, {"mapping": own, "taught": []}):
        with stub(moving(), metadata) as server, closing(RemoteSession(server.serving.url, contract)) as silent:
            assert silent.taught == [] and silent.tasks == []
    for taught in ("all", ["put_red"], [["put_red"]], [["put_red", 1]], {"put_red": "put the red block in the bowl"}):
        with (
            stub(moving(), {"mapping": own, "taught": taught}) as server,
            pytest.raises(InputError, match=r"metadata with taught: .* expected pairs of a task and a sentence"),
        ):
            RemoteSession(server.serving.url, contract)
    with (
        stub(moving(), {"taught": "something else"}) as server,
        closing(RemoteSession(server.serving.url, contract, mapping)) as foreign,
    ):
        assert foreign.taught == []
