"""openpi's own client package, unmodified, drives a policy that `policy.serve` serves: `make openpi` sets it up.

Its environment has neither our packages nor our numpy; what it is answered is compared with what the policy does here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policy.running.policy_server import bind
from policy.running.session import Session
from policy.running.tracker import Tracker
from policy.spec import Frame
from tests.policy_servers import Serving

ROOT = Path(__file__).parent.parent
PYTHON = Path(os.environ.get("MIDSTREAM_OPENPI") or ROOT / ".venv-openpi" / "bin" / "python")
pytestmark = pytest.mark.heavy
STEPS = 8
INSTRUCTIONS = ("open the drawer", "put the red block in the bowl")

CLIENT = """
import json, sys
import numpy as np
from openpi_client import action_chunk_broker, image_tools, websocket_client_policy

host, port, frames = sys.argv[1], int(sys.argv[2]), np.load(sys.argv[3])
policy = websocket_client_policy.WebsocketClientPolicy(host, port)
told = policy.get_server_metadata()
instructions, actions, estimates = json.loads(sys.argv[4]), [], []

def observation(i, prompt):
    return {
        "image_front": image_tools.convert_to_uint8(frames["front"][i]),
        "image_wrist": frames["wrist"][i],
        "state": frames["state"][i],
        "prompt": prompt,
        "stamp": int(frames["stamp"][i]),
    }

for i in range(len(frames["stamp"])):
    answer = policy.infer(observation(i, instructions[2 * i // len(frames["stamp"])]))
    actions.append(answer["actions"])
    estimates.append(answer["execution_estimate"])
try:
    policy.infer({"state": frames["state"][0], "prompt": "open the drawer"})
    refused = ""
except RuntimeError as error:
    refused = str(error)
broker = action_chunk_broker.ActionChunkBroker(policy, action_horizon=4)
last = len(frames["stamp"]) - 1
executed = [broker.infer(observation(last, instructions[-1]))["actions"] for _ in range(4)]
np.savez(sys.argv[5], actions=np.stack(actions), estimates=np.stack(estimates), executed=np.stack(executed))
print(json.dumps({"numpy": np.__version__, "metadata": told, "refused": refused}))
"""


def test_the_client_of_openpi_drives_the_shipped_policy(tmp_path: Path) -> None:
    """Every chunk and estimate is the one that the policy gives here; errors arrive as its RuntimeError."""
    session = Session("tabletop", 1, "cpu")
    random = np.random.default_rng(0)
    frames = {name: random.integers(0, 256, (STEPS, *size, 3), np.uint8) for name, size in session.spec.cameras.items()}
    states = random.uniform(0, 0.05, (STEPS, len(session.spec.state))).astype(np.float32)
    stamps = np.arange(1, STEPS + 1) * 400_000_000
    np.savez(tmp_path / "frames.npz", state=states, stamp=stamps, **frames)
    serving = Serving(lambda port: bind(session, "tabletop", "127.0.0.1", port))
    arguments = ["127.0.0.1", str(serving.port), str(tmp_path / "frames.npz"), json.dumps(INSTRUCTIONS)]
    assert PYTHON.is_file(), "openpi's client is not here: `make openpi`, or MIDSTREAM_OPENPI"
    done = subprocess.run(
        [PYTHON, "-c", CLIENT, *arguments, str(tmp_path / "answers.npz")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    serving.stop()
    assert done.returncode == 0, done.stderr
    told, answers = json.loads(done.stdout), np.load(tmp_path / "answers.npz")
    assert int(told["numpy"].split(".")[0]) < 2, "its environment is its own"
    assert told["metadata"]["action"] == list(session.spec.action)
    assert "expected also image_front, image_wrist" in told["refused"]
    tracker = Tracker(session)
    for i in range(STEPS):
        if i in (0, STEPS // 2):
            tracker.instruct(INSTRUCTIONS[2 * i // STEPS])
        frame = Frame(int(stamps[i]), {name: pixels[i] for name, pixels in frames.items()}, states[i])
        chunk = tracker.infer(frame)
        assert np.array_equal(answers["actions"][i], chunk.actions), f"frame {i}"
        assert chunk.execution_estimate is not None
        assert answers["estimates"][i][:2].tolist() == [
            np.float32(chunk.execution_estimate.contact),
            np.float32(chunk.execution_estimate.done),
        ]
    assert np.array_equal(answers["executed"], tracker.infer(frame).actions[:4]), "its chunk broker hands them out"
    print(f"openpi-client, numpy {told['numpy']}, here {np.__version__}, Python {sys.version.split()[0]}")
