"""Every sequence mixer: its window form equals its step form equals the exported graph, also across a boundary."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from policy import train
from policy.data.cache import open_cache
from policy.errors import InputError
from policy.learning import checkpoint, recipe
from policy.learning.batches import Batches
from policy.learning.interfaces import SequenceMixer
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.onnx_graph import DTYPES, check_parity, write_graph
from policy.learning.sequence_mixers import SEQUENCE_MIXERS
from policy.robot.contract import load
from policy.running.carried_state import CarriedState
from policy.spec import Spec
from tests import small

SPEC, WIDTH, FRAMES = load("tabletop").spec, 16, 5
DT = SPEC.dt_ns


def mixer(name: str) -> SequenceMixer:
    """A member with weights that are far from those that training begins with."""
    torch.manual_seed(0)
    made = SEQUENCE_MIXERS[name](SEQUENCE_MIXERS[name].Settings(), WIDTH, FRAMES).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return made


def recordings() -> tuple[torch.Tensor, torch.Tensor]:
    """Three windows of 17 frames, in two of which other recordings begin."""
    is_first = torch.zeros(3, 17, dtype=torch.bool)
    is_first[:, 0] = is_first[1, 6] = True
    is_first[2, [3, 9, 10]] = True
    return torch.randn(3, 17, WIDTH), is_first


@pytest.mark.parametrize("name", SEQUENCE_MIXERS)
def test_the_window_equals_the_steps_also_across_a_boundary(name: str) -> None:
    made, (x, is_first) = mixer(name), recordings()
    with torch.no_grad():
        window = made(x, is_first)
        state = {key: torch.zeros(3, *shape) for key, shape in made.state.items()}
        for t in range(x.shape[1]):
            kept = ~is_first[:, t]
            state = {key: value * kept.view(-1, *(1,) * (value.ndim - 1)) for key, value in state.items()}
            step, state = made.step(x[:, t], state)
            torch.testing.assert_close(step, window[:, t], atol=1e-4, rtol=0)
            assert {key: tuple(value.shape[1:]) for key, value in state.items()} == made.state


@pytest.mark.parametrize("name", [name for name in SEQUENCE_MIXERS if name != "none"])
def test_a_frame_reads_the_past_and_nothing_of_before_a_boundary(name: str) -> None:
    made, (x, is_first) = mixer(name), recordings()
    with torch.no_grad():
        before = made(x, is_first)
        x[1, 5] += torch.randn(WIDTH)
        after = made(x, is_first)
    assert torch.equal(after[1, :5], before[1, :5]) and torch.equal(after[1, 6:], before[1, 6:])
    assert not torch.allclose(after[1, 5], before[1, 5])
    x[0, 5] += torch.randn(WIDTH)
    with torch.no_grad():
        assert not torch.allclose(made(x, is_first)[0, 7], after[0, 7])


def remembering(name: str) -> dict[str, object]:
    return small.shrink("switch") | {"memory": {"name": name, "frames": 4, "stride": 2}}


def without_cameras(name: str) -> dict[str, object]:
    """As `remembering`, of what is quick to export."""
    raw = remembering(name)
    raw["encoders"] = {key: raw["encoders"][key] for key in ("instruction", "proprioception")}  # type: ignore[index]
    return raw | {"objectives": {}}


# The graphs of the others are compared with their step form by tests/test_recipes.py, and that with the window above.
IN_CI = ("gru", "state_space")
EXPORTED = [name if name in IN_CI else pytest.param(name, marks=pytest.mark.heavy) for name in SEQUENCE_MIXERS]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_the_exported_graph_equals_the_window(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    policy = Policy(recipe.parse(without_cameras(name)), SPEC, identity_statistics(SPEC)).eval()
    with torch.no_grad():
        for parameter in policy.sequence_mixer.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    write_graph(policy, tmp_path / "policy.onnx")
    graph = ort.InferenceSession(tmp_path / "policy.onnx", providers=["CPUExecutionProvider"])
    frames, states = 9, [f"state_{key}" for key in policy.spec.memory]
    named = {
        key: torch.randint(0, 256, (frames, *shape), dtype=torch.uint8)
        if dtype == "uint8"
        else torch.rand(frames, *shape).to(DTYPES[dtype])
        for key, (dtype, shape) in policy.spec.inputs().items()
        if key not in states
    }
    is_first = torch.zeros(1, frames, dtype=torch.bool)
    is_first[0, [0, 6]] = True
    with torch.no_grad():
        features = policy.sequence_mixer(policy.features(named).frame[None], is_first)[0]
        chunks = policy.head.sample(features, None, None)
        window = policy.measured(named)[:, None] + policy.delta_mean + policy.delta_std * chunks
    for t in range(frames):
        if is_first[0, t]:
            state = {f"state_{key}": np.zeros((1, *shape), np.float32) for key, shape in policy.spec.memory.items()}
        feed = {key: value[t : t + 1].numpy() for key, value in named.items()} | state
        outputs = dict(zip(policy.outputs, graph.run(list(policy.outputs), feed), strict=True))
        np.testing.assert_allclose(outputs["actions"][0], window[t].numpy(), atol=1e-4)
        state = {key: outputs[f"{key}_next"] for key in states}


@pytest.mark.parametrize(
    ("size", "error", "wrong"),
    [
        (1e4, 1e-5, ""),
        (1e4, 1e-3, "of the range of an output"),
        (1e-3, 1e-2, "of the range of an output"),
        (np.nan, 0.0, "not finite"),  # of both
    ],
)
def test_memory_of_the_graph_is_compared_on_the_scale_that_it_has(
    size: float, error: float, wrong: str, tmp_path: Path
) -> None:
    def tensor(name: str) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["B", 2])

    class Twin:
        inputs, outputs = ("state", "state_h"), ("actions", "state_h_next")

        def __call__(self, state: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return state, size * memory

    factor = onnx.numpy_helper.from_array(np.float32(size * (1 + error)), "factor")
    nodes = [
        onnx.helper.make_node("Identity", ["state"], ["actions"]),
        onnx.helper.make_node("Mul", ["state_h", "factor"], ["state_h_next"]),
    ]
    graph = onnx.helper.make_graph(
        nodes, "memory", [tensor(n) for n in Twin.inputs], [tensor(n) for n in Twin.outputs], [factor]
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "policy.onnx")
    batch = {name: torch.rand(8, 2, generator=torch.Generator().manual_seed(0)) for name in Twin.inputs}
    with pytest.raises(InputError, match=wrong) if wrong else nullcontext():
        check_parity(Twin(), tmp_path / "policy.onnx", batch, np.ones(2))


@pytest.mark.slow
def test_a_policy_with_memory_trains_on_windows(tmp_path: Path) -> None:
    bags = small.switches(tmp_path / "bags")
    raw = remembering("gru")
    train.train(str(small.write(tmp_path / "small.yaml", raw)), bags, tmp_path / "run", samples=8)
    policy, state = checkpoint.load(tmp_path / "run")
    assert state["samples"] == 8 and policy.spec.stride == 2
    batches = Batches(open_cache(bags, load("tabletop"), 16), recipe.parse(raw))
    batch = batches.at(0)
    assert batch["is_first"].shape == (1, 4) and batch["is_first"][0, 0] and len(batch["state"]) == 4
    assert torch.equal(batch["actions"], batches.at(0)["actions"]), "a batch is a function of its step"


def test_a_window_runs_across_the_instructions_of_its_recording_and_stops_at_its_beginning(tmp_path: Path) -> None:
    bags = small.switches(tmp_path / "bags")
    cache = open_cache(bags, load("tabletop"), 16)
    batches = Batches(cache, recipe.parse(remembering("gru")))
    rng = np.random.default_rng(0)
    switch = cache.bags.index("switch")
    within = int(cache.bounds[switch + 1]) + 1  # the second instruction's second frame
    batch = batches._windows(np.array([within, int(cache.bounds[0]) + 1]), rng, 0)
    assert batch["is_first"][0].tolist() == [True, False, False, False]
    assert batch["is_first"][1].tolist()[:3] == [True, True, True], "before a recording there is no frame"
    own = cache.recording == cache.recording[within]
    rows = [int(np.flatnonzero(own & (cache.state == row.numpy()).all(1))[0]) for row in batch["state"][:4]]
    assert rows[0] < cache.bounds[switch + 1] <= rows[3] == within, "the window holds frames of both instructions"
    assert np.diff(rows[:3]).tolist() == [2, 2] and rows[3] - rows[2] in (1, 2)


def grid(memory: bool = True) -> CarriedState:
    return CarriedState(replace(SPEC, stride=4, memory={"h": (1,)} if memory else {}))


def after(state: CarriedState, stamp: int, value: float) -> float:
    """Let a frame of a stamp pass; what the graph read with it."""
    read = float(state.inputs(stamp)["state_h"][0, 0])
    state.update(stamp, {"state_h_next": np.full((1, 1), value, np.float32)})
    return read


def test_memory_keeps_the_state_of_frames_a_stride_apart_and_none_in_between() -> None:
    state = grid()
    assert state.due(0) and after(state, 0, 1.0) == 0
    assert not state.due(2 * DT) and after(state, 2 * DT, 9.0) == 1.0  # between two frames of the grid
    assert state.due(4 * DT) and after(state, 4 * DT, 2.0) == 1.0
    assert after(state, 8 * DT, 3.0) == 2.0
    assert after(state, 8 * DT, 9.0) == 2.0, "asked again about a frame that it remembers, it reads what it read then"
    assert after(state, 9 * DT, 9.0) == 3.0
    assert not grid(memory=False).due(0)


@pytest.mark.parametrize("stamp", [8 * DT + DT, -DT], ids=["a gap above two strides", "a clock set back"])
def test_memory_begins_anew_after(stamp: int) -> None:
    state = grid()
    after(state, 0, 1.0)
    assert after(state, stamp, 2.0) == 0
    state.reset()
    assert after(state, stamp + DT, 3.0) == 0


def test_a_recipe_whose_batch_does_not_divide_into_windows_is_refused() -> None:
    raw = remembering("gru")
    raw["training"]["batch_size"] = 6  # type: ignore[index]
    with pytest.raises(Exception, match=r"batch_size 6 .* windows of 4 frames"):
        recipe.parse(raw)


def test_colours_change_from_window_to_window_and_not_within_one() -> None:
    raw = without_cameras("gru")
    raw["encoders"]["cameras"] = {"size": 16, "stem": 4, "channels": 4, "blocks": 1, "keypoints": 2}
    policy = Policy(recipe.parse(raw), SPEC, identity_statistics(SPEC)).train()
    frames, cameras = recipe.parse(raw).memory.frames, policy.encoders["cameras"]
    pixels = torch.full((3 * frames, 16, 16, 3), 128, dtype=torch.uint8)
    shown = cameras.prepare("image_front", pixels)[:, 0, 0, 0].view(3, frames)
    assert frames > 1 and (shown == shown[:, :1]).all() and len(shown[:, 0].unique()) == 3


def test_a_spec_with_memory_reads_back_as_it_was_saved(tmp_path: Path) -> None:
    spec = Policy.describe(recipe.parse(remembering("state_space")), SPEC)
    spec.save(tmp_path / "spec.json")
    assert Spec.load(tmp_path / "spec.json") == spec
    assert "state_recurrent" in spec.inputs() and "state_recurrent_next" in spec.outputs()
