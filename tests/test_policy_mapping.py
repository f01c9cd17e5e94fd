"""What a mapping says of a served policy: names, units, rates; and what is wrong with one is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from policy.errors import InputError
from policy.robot.contract import Contract, load
from policy.running import policy_mapping
from policy.running.policy_mapping import PolicyMapping
from policy.running.policy_messages import observation, outputs, resized

ARM = [f"panda_joint{i}" for i in range(1, 8)]
PAGE = Path(__file__).parent.parent / "docs" / "serving.md"


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load("tabletop")


def raw(**changes: Any) -> dict[str, Any]:
    """As a policy of openpi for this arm would be described."""
    given: dict[str, Any] = {
        "rate": 20.0,
        "horizon": 10,
        "cameras": {"front": {"key": "observation/image"}, "wrist": {"key": ["images", "wrist"]}},
        "state": [
            {"key": "observation/joint_position", "names": ARM},
            {"key": "observation/gripper_position", "names": ["gripper"], "scale": -12.5, "offset": 1.0},
        ],
        "actions": {
            "width": 8,
            "groups": [
                {"names": ARM, "columns": [0, 1, 2, 3, 4, 5, 6]},
                {"names": ["gripper"], "columns": [7], "scale": -0.08, "offset": 0.08},
            ],
        },
    }
    return given | changes


def parsed(contract: Contract, **changes: Any) -> PolicyMapping:
    return policy_mapping.parse(raw(**changes), contract, "mine.yaml")


def feed(contract: Contract, **more: Any) -> dict[str, np.ndarray]:
    images = {f"image_{n}": np.full((1, *c.shape), i, np.uint8) for i, (n, c) in enumerate(contract.cameras.items())}
    state = np.linspace(0.1, 0.8, 8, dtype=np.float32)
    return images | {"state": state[None], "prompt": np.array(["open the drawer"])} | more


def test_an_observation_has_its_names_and_units(contract: Contract) -> None:
    mapping = parsed(contract)
    sent = observation(mapping, mapping.spec(contract), feed(contract))
    assert sorted(sent) == [
        "images",
        "observation/gripper_position",
        "observation/image",
        "observation/joint_position",
        "prompt",
    ]
    assert sent["images"]["wrist"].shape == (96, 96, 3) and sent["images"]["wrist"].dtype == np.uint8
    assert sent["observation/joint_position"].dtype == np.float32
    assert np.allclose(sent["observation/joint_position"], np.linspace(0.1, 0.7, 7))
    assert np.allclose(sent["observation/gripper_position"], [1 - 12.5 * 0.8])
    assert sent["prompt"] == "open the drawer"


def test_pictures_of_another_size_and_order(contract: Contract) -> None:
    cameras = {"front": {"key": "front", "height": 224, "width": 320, "channels_first": True}}
    mapping = parsed(contract, cameras=cameras)
    pixels = np.full((1, 96, 96, 3), 200, np.uint8)
    sent = observation(mapping, mapping.spec(contract), feed(contract, image_front=pixels))["front"]
    assert sent.shape == (3, 224, 320) and sent.flags.c_contiguous
    assert (sent[:, :, :48] == 0).all() and (sent[:, :, 48:272] == 200).all() and (sent[:, :, 272:] == 0).all()


@pytest.mark.parametrize("height, width", [(48, 48), (224, 224), (30, 90)])
def test_a_resized_picture_shows_the_same(height: int, width: int) -> None:
    """Its bright half stays on the left, whatever the size."""
    image = np.zeros((96, 96, 3), np.uint8)
    image[:, :48] = 255
    small, side = resized(image, height, width), min(height, width)
    left = (width - side) // 2
    assert small.shape == (height, width, 3)
    assert small[:, left : left + side // 2 - 2].mean() > 250 and small[:, left + side // 2 + 2 :].mean() < 5


def answered(contract: Contract, rows: np.ndarray, **changes: Any) -> np.ndarray:
    mapping = parsed(contract, horizon=len(rows), **changes)
    state = np.linspace(0.1, 0.8, 8, dtype=np.float32)
    return outputs(mapping, mapping.spec(contract), {"actions": rows}, state, contract.turns)["actions"][0]


def groups(kind: str) -> dict[str, Any]:
    """The gripper first, in another order than ours; the arm is of this kind."""
    arm = {"names": ARM[::-1], "columns": list(range(1, 8)), "kind": kind, "scale": 2.0}
    return {"width": 9, "groups": [{"names": ["gripper"], "columns": [0], "offset": 0.01}, arm]}


def test_actions_are_ours_in_order_and_units(contract: Contract) -> None:
    rows = np.tile(np.arange(9) / 100, (10, 1)) + np.arange(10)[:, None] / 1000
    ours = answered(contract, rows, actions=groups("absolute"))
    assert ours.dtype == np.float32 and ours.shape == (10, 8)
    assert np.allclose(ours[:, 7], rows[:, 0] + 0.01)
    assert np.allclose(ours[:, :7], 2 * rows[:, 7:0:-1])


@pytest.mark.parametrize("rate", [20.0, 15.0])
def test_positions_of_a_joint_without_end_go_on_from_the_state(contract: Contract, rate: float) -> None:
    """It has turned once; the policy answers between -pi and pi, and its answer wraps on the way."""
    actions = {"width": 8, "groups": [{"names": [*ARM, "gripper"], "columns": list(range(8))}]}
    mapping = parsed(contract, horizon=16, rate=rate, actions=actions)
    rows = np.full((16, 8), 0.5)
    rows[:, 0] = (3.0 + np.arange(1, 17) / rate + np.pi) % (2 * np.pi) - np.pi
    state, turns = np.full(8, 0.5, np.float32), contract.turns | {ARM[0]: 2 * np.pi}
    state[0] = 3.0 + 2 * np.pi
    spec = mapping.spec(contract)
    given = outputs(mapping, spec, {"actions": rows}, state, turns)["actions"][0]
    assert np.allclose(given[:, 0], state[0] + np.arange(1, spec.horizon + 1) / 20, atol=1e-5)
    assert np.allclose(given[:, 1:], 0.5)


def test_deltas_are_added_to_the_state_and_steps_to_the_row_before(contract: Contract) -> None:
    state, rows = np.linspace(0.1, 0.8, 8), np.full((10, 9), 0.01)
    delta = answered(contract, rows, actions=groups("delta"))
    assert np.allclose(delta[:, :7], state[:7] + 0.02)
    step = answered(contract, rows, actions=groups("step"))
    assert np.allclose(step[:, :7], state[:7] + 0.02 * np.arange(1, 11)[:, None], atol=1e-6)


@pytest.mark.parametrize("rate, horizon, ours", [(10.0, 8, 16), (50.0, 50, 20), (15.0, 10, 13)])
def test_rows_of_another_rate(contract: Contract, rate: float, horizon: int, ours: int) -> None:
    """A straight motion stays the same motion: the set-point of each time is the same."""
    start = np.linspace(0.1, 0.8, 8)
    rows = start + np.arange(1, horizon + 1)[:, None] / rate * 0.3  # 0.3 per second
    actions = {"width": 8, "groups": [{"names": [*ARM, "gripper"], "columns": list(range(8))}]}
    given = answered(contract, rows, rate=rate, actions=actions)
    assert len(given) == ours
    assert np.allclose(given, start + np.arange(1, ours + 1)[:, None] / 20 * 0.3, atol=1e-6)


@pytest.mark.parametrize(
    "answer, why",
    [
        ({}, "got an answer with no keys, expected actions"),
        ({"action": np.zeros((10, 8))}, "got an answer with action, expected actions"),
        ({"actions": np.zeros((10, 7))}, r"float64 (10, 7), expected numbers (10, 8)"),
        ({"actions": np.zeros((1, 10, 8))}, r"(1, 10, 8)"),
        ({"actions": "none"}, "expected numbers (10, 8)"),
        ({"actions": [[1, 2], [3]]}, "expected numbers (10, 8)"),
        ({"actions": np.zeros((10, 8), bool)}, "bool"),
        ({"actions": np.full((10, 8), np.nan)}, "not finite"),
        ({"actions": np.full((10, 8), np.inf)}, "not finite"),
        ({"actions": np.full((10, 8), 1e300)}, "beyond what float32 holds"),
    ],
)
def test_an_answer_that_cannot_be_used(contract: Contract, answer: dict[str, Any], why: str) -> None:
    mapping = parsed(contract)
    with pytest.raises(InputError) as error, np.errstate(over="ignore"):
        outputs(mapping, mapping.spec(contract), answer, np.zeros(8, np.float32), contract.turns)
    assert why in str(error.value)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The mapping with one value changed, None to take it away."""
    given, parts = raw(), path.split(".")
    place: Any = given
    for part in parts[:-1]:
        place = place[int(part) if part.isdecimal() else part]
    if value is None:
        del place[parts[-1]]
    else:
        place[parts[-1]] = value
    return given


@pytest.mark.parametrize(
    "path, value, why",
    [
        ("rate", None, "add rate"),
        ("rate", 0.0, "rate: got 0.0, expected a positive rate"),
        ("rate", "fast", "got 'fast'"),
        ("rate", 1000.0, "less than one step of the contract"),
        ("horizon", 0, "at least one row"),
        ("replan_s", 0.5, "replan_s: got 0.5 s, expected more than 0 and less than a chunk lasts: 0.5 s"),
        ("contact_off", 0.7, "contact_off: got 0.7, expected at most contact_on, 0.6"),
        ("hz", 20, "unknown key in mine.yaml: 'hz'"),
        ("cameras", {"frnt": {"key": "a"}}, "did you mean 'front'"),
        ("cameras.front.height", 224, "expected both, or neither"),
        ("cameras.front.key", 3, "expected str"),
        ("cameras.front.key", [], "cameras.front.key: empty"),
        ("state.1.key", raw()["state"][0]["key"], "is in the way of state[0].key; values of one key are one entry"),
        ("prompt", raw()["state"][0]["key"], "prompt: "),
        ("stamp", [raw()["cameras"]["front"]["key"], "at"], "is in the way of cameras.front.key"),
        ("state.0.names", ["panda_joint9"], "unknown name in mine.yaml: state[0].names"),
        ("state.1.scale", [1.0, 2.0], "got 2 numbers, expected one or 1"),
        ("actions.groups.0.kind", "relative", "Valid: absolute, delta, step"),
        ("actions.groups.0.columns", [0, 1], "got [0, 1] for"),
        ("actions.groups.1.columns", [8], "from 0 to 7"),
        ("actions.groups.1.names", ["finger"], "unknown name"),
        ("actions.groups.1.scale", 0.0, "got 0"),
        ("actions.groups", [], "got no names, expected each action of the contract once"),
    ],
)
def test_what_is_wrong_is_named(contract: Contract, path: str, value: Any, why: str) -> None:
    with pytest.raises(InputError) as error:
        policy_mapping.parse(changed(path, value), contract, "mine.yaml")
    assert why in str(error.value)


def test_what_is_committed_comes_at_the_rate_of_the_answer(contract: Contract) -> None:
    assert "committed" in parsed(contract, committed="ahead").spec(contract).reads
    with pytest.raises(InputError, match="committed: its rows come at 20 Hz and those of the answer at 10"):
        parsed(contract, rate=10.0, committed="ahead")


def test_nothing_is_added_to_a_rotation_vector() -> None:
    contract = load("tabletop_ee")
    pose = {"names": ["x", "y", "z", "rx", "ry", "rz"], "columns": list(range(6)), "kind": "delta"}
    given = raw(state=[], actions={"width": 7, "groups": [pose, {"names": ["gripper"], "columns": [6]}]})
    with pytest.raises(InputError, match="rx is a rotation vector, so nothing can be added to it"):
        policy_mapping.parse(given, contract, "mine.yaml")


def test_files(contract: Contract, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no mapping at .*gone\.yaml"):
        policy_mapping.load(tmp_path / "gone.yaml", contract)
    (tmp_path / "bad.yaml").write_text("rate: [")
    with pytest.raises(InputError, match="is not YAML"):
        policy_mapping.load(tmp_path / "bad.yaml", contract)
    (tmp_path / "evil.yaml").write_text("rate: !!python/object/apply:os.getcwd []")
    with pytest.raises(InputError, match="is not YAML"):
        policy_mapping.load(tmp_path / "evil.yaml", contract)
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(raw()))
    assert policy_mapping.load(tmp_path / "good.yaml", contract) == parsed(contract)


def test_the_examples_of_the_page_fit_their_robot(contract: Contract, tmp_path: Path) -> None:
    blocks = PAGE.read_text().split("```yaml\n")[1:]
    assert blocks
    for block in blocks:
        (tmp_path / "example.yaml").write_text(block.split("```")[0])
        policy_mapping.load(tmp_path / "example.yaml", contract)


def test_our_own_mapping_converts_nothing(contract: Contract) -> None:
    spec = replace(contract.spec, reads=("image_front", "state", "instruction"), switches=True)
    mapping = policy_mapping.parse(policy_mapping.own(spec), contract, "server")
    ours = mapping.spec(contract)
    assert ours.reads == ("image_front", "state", "prompt", "stamp", "instruction_id")
    assert (ours.horizon, ours.rate, ours.switches) == (spec.horizon, spec.rate, True)
    rows = np.random.default_rng(0).normal(size=(spec.horizon, 8)).astype(np.float32)
    answer = {"actions": rows, "execution_estimate": np.arange(5, dtype=np.float32)}
    given = outputs(mapping, ours, answer, np.zeros(8, np.float32), contract.turns)
    assert np.array_equal(given["actions"][0], rows) and np.array_equal(given["execution_estimate"][0], np.arange(5))
