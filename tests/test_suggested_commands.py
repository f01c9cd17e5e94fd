"""What `--suggest` makes of commands: arrays of a part of the joints, two publishers, and what it cannot use."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy import check
from policy.data.episodes import read_episodes
from policy.data.value_ranges import ValueRanges
from policy.errors import InputError
from policy.robot.contract import Contract, build, find
from policy.robot.message_types import ARRAY, TRAJECTORY, TWIST
from policy.strict_yaml import read
from tests import small_robot as robot
from tests.test_suggestion import suggested

S, START, T = robot.SECOND, robot.START, robot.T
ARM, FINGER = tuple(f"a{i}" for i in range(1, 8)), "finger"
Values = Callable[[float], Sequence[float]]


def arm(t: float) -> np.ndarray:
    """Seven joints, each with a range of its own."""
    return np.arange(7) / 3 + 0.3 * np.sin(2 * t + np.arange(7))


def finger(t: float) -> list[float]:
    return [0.02 + 0.02 * np.sin(2 * t)]


def stream(topic: str, hertz: float, message: Callable[[int, float], Any], seconds: float = 4) -> list[robot.Message]:
    """A message of (ns, s) again and again."""
    stamps = [START + round(k * S / hertz) for k in range(round(seconds * hertz))]
    return [(topic, message(ns, (ns - START) / S), ns) for ns in stamps]


def states(names: Sequence[str], values: Values, topic: str = "/joint_states", hertz: float = 100) -> list[Any]:
    return stream(topic, hertz, lambda ns, t: robot.joints(ns, values(t), names))


def arrays(topic: str, values: Values) -> list[robot.Message]:
    return stream(topic, 20, lambda ns, t: robot.array(values(t)))


def trajectories(names: Sequence[str], values: Values) -> list[robot.Message]:
    def message(ns: int, t: float) -> Any:
        return robot.trajectory(ns, (0.05, values(t + 0.05)), names=names)

    return stream("/arm_controller/joint_trajectory", 20, message)


def bags(folder: Path, *parts: list[robot.Message]) -> Path:
    """A camera, an instruction and these."""
    rest = [item for item in robot.moving(4) if item[0] in ("/cam/image_raw", "/instruction")]
    items = sorted([*rest, *(item for part in parts for item in part)], key=lambda item: item[2])
    robot.record(folder / "bags" / "a", items)
    return folder / "bags"


def both(t: float) -> list[float]:
    return [*arm(t), *finger(t)]


def text(folder: Path) -> str:
    return (folder / "suggested.yaml").read_text()


def clean(folder: Path, contract: Contract, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether the bags are read by a contract without a finding."""
    capsys.readouterr()
    check.check(folder / "bags", contract)
    return "nothing found" in capsys.readouterr().out


def test_an_arm_and_a_gripper_with_a_forward_controller_each(tmp_path: Path, capsys: Any) -> None:
    """Each array has as many values as one of the two; the robot listens where it was recorded."""
    made = bags(
        tmp_path,
        states((*ARM, FINGER), both),
        arrays("/forward_position_controller/commands", lambda t: arm(t + 0.05)),
        arrays("/gripper_controller/commands", lambda t: finger(t + 0.05)),
    )
    contract = suggested(made)
    assert [(c.topic, c.type, c.joints, c.gripper, c.demonstration) for c in contract.action] == [
        ("forward_position_controller/commands", ARRAY, ARM, False, None),
        ("gripper_controller/commands", ARRAY, (FINGER,), True, None),
    ]
    (episode,) = read_episodes(made / "a", contract)
    t = (episode.stamps[:-1] - START) / S
    assert np.allclose(episode.actions[:-1], [both(one + 0.1) for one in t], atol=1e-6)
    assert "nothing commands" not in text(tmp_path) and text(tmp_path).count("]   # GUESSED: no message names") == 2
    assert clean(tmp_path, contract, capsys)


@pytest.mark.parametrize("topic", ["/leader/commands", "/forward_controller/target"])
def test_an_array_where_no_controller_listens_is_a_demonstration(tmp_path: Path, topic: str) -> None:
    contract = suggested(bags(tmp_path, states(ARM, arm), arrays(topic, arm)))
    (command,) = contract.action
    assert command.type == TRAJECTORY and command.source.topic == topic.lstrip("/") and command.source.type == ARRAY


def test_an_array_of_arm_and_gripper_goes_out_as_two_trajectories(tmp_path: Path) -> None:
    contract = suggested(bags(tmp_path, states((*ARM, FINGER), both), arrays("/controller/commands", both)))
    assert [(c.type, len(c.joints), c.gripper) for c in contract.action] == [
        (TRAJECTORY, 7, False),
        (TRAJECTORY, 1, True),
    ]
    assert "which a part of an array cannot be" in text(tmp_path)


def test_the_joints_of_an_array_are_known_by_their_ranges(tmp_path: Path) -> None:
    """Two of seven, in another order; not where two joints have the same range, or none has it."""

    def two(t: float) -> list[float]:
        return [arm(t)[5], arm(t)[2]]

    contract = suggested(bags(tmp_path / "clear", states(ARM, arm), arrays("/wrist_controller/commands", two)))
    assert contract.action[0].joints == ("a6", "a3") and len(contract.action) == 1
    alike = states(ARM, lambda t: np.full(7, np.sin(t)))
    for name, state, command in (
        ("alike", alike, lambda t: [np.sin(t)]),
        ("far", states(ARM, arm), lambda t: [9 + np.sin(t)]),
    ):
        contract = suggested(bags(tmp_path / name, state, arrays("/wrist_controller/commands", command)))
        assert contract.spec.action == ARM and "its 1 value is not a joint" in text(tmp_path / name)
        assert "no recorded command fits the state" in text(tmp_path / name)
        assert "no command was recorded" not in text(tmp_path / name)


def test_the_gripper_s_array_is_not_an_arm_of_one_joint(tmp_path: Path) -> None:
    """As many values as the lift has joints, and named after the gripper."""
    lift = states(("lift",), lambda t: [1 + 0.2 * np.sin(t)], "/lift/joint_states")
    made = bags(tmp_path, lift, states((*ARM, FINGER), both), arrays("/gripper_controller/commands", finger))
    assert [c.joints for c in suggested(made).action] == [(FINGER,)]


def test_an_array_of_velocities_is_not_taken_for_positions(tmp_path: Path) -> None:
    made = bags(tmp_path, states(ARM, arm), arrays("/velocity_controller/commands", arm))
    assert all(c.demonstration is not None for c in suggested(made).action)
    assert "velocity_controller/commands is not used: by its name it holds no positions" in text(tmp_path)


@pytest.mark.parametrize("together", [True, False])
def test_two_publishers_on_one_topic_are_two_groups_of_the_state(tmp_path: Path, together: bool, capsys: Any) -> None:
    """The arm's driver and the gripper's; one trajectory commands the joints of both."""
    fingers = states((FINGER,), finger, hertz=30)
    fingers = [(topic, message, ns + S // 300) for topic, message, ns in fingers]
    commands = [trajectories((*ARM, FINGER), both)]
    if not together:
        commands = [trajectories(ARM, arm), arrays("/gripper_controller/commands", finger)]
    contract = suggested(bags(tmp_path, states(ARM, arm), fingers, *commands))
    assert [(s.topic, s.joints) for s in contract.state] == [("joint_states", ARM), ("joint_states", (FINGER,))]
    assert contract.spec.action == (*ARM, FINGER)
    (episode,) = read_episodes(tmp_path / "bags" / "a", contract)
    assert len(episode.stamps) > 70 and np.ptp(episode.state, axis=0).min() > 0.03
    assert clean(tmp_path, contract, capsys)


def test_names_are_in_one_set_where_a_message_has_some_of_both() -> None:
    """A message with fewer joints, and one with a value that is missing, are no other publisher."""
    one, other = ValueRanges(), ValueRanges()
    one.add(("a", "b"), np.array([0.0, np.nan]), 1)
    one.add(("c",), np.zeros(1), 2)
    one.add(("b",), np.zeros(1), 3)
    assert one.together == [("a", "b"), ("c",)]
    other.add(("c", "d"), np.zeros(2), 1)
    one.merge(other)
    assert one.together == [("a", "b"), ("c", "d")]
    one.add(("d", "a"), np.zeros(2), 4)
    assert one.together == [("a", "c", "b", "d")]


def vector(x: float) -> Any:
    return T["geometry_msgs/msg/Vector3"](x, 0.0, 0.0)


def test_a_gripper_that_is_commanded_by_a_number_and_a_base_are_named(tmp_path: Path, capsys: Any) -> None:
    """Neither can be suggested: each is named with what to do, and the check says that the gripper will not move."""
    made = bags(
        tmp_path,
        states((*ARM, FINGER), both),
        trajectories(ARM, arm),
        stream("/gripper/command", 20, lambda ns, t: T["std_msgs/msg/Float64"](finger(t)[0])),
        stream("/cmd_vel", 20, lambda ns, t: T["geometry_msgs/msg/Twist"](vector(0.1), vector(0.0))),
        stream(
            "/servo/twists",
            20,
            lambda ns, t: T[TWIST](robot.header(ns), T["geometry_msgs/msg/Twist"](vector(0.1), vector(0.0))),
        ),
        stream("/suction/cmd", 20, lambda ns, t: T["std_msgs/msg/Bool"](True)),
        stream("/goal/label", 20, lambda ns, t: T["std_msgs/msg/Bool"](True)),
    )
    contract = suggested(made)
    notes = [line for line in text(tmp_path).splitlines() if line.startswith("#") and "GUESSED." not in line]
    assert contract.spec.action == ARM
    for words in (
        "gripper/command is not used: std_msgs/msg/Float64 cannot be commanded",
        "`demonstration` can read it (`fields: [data]`)",
        "cmd_vel is not used: geometry_msgs/msg/Twist cannot be commanded",
        "`use_stamped_vel: true`",
        f"servo/twists is not used: only joints are suggested; if it commands a twist, write `type: {TWIST}`",
        "suction/cmd is not used: std_msgs/msg/Bool cannot be commanded",
        "GUESSED: nothing commands finger, so the policy will not move it",
    ):
        assert [words in note for note in notes].count(True) == 1, words
    assert "goal/label is not used" not in text(tmp_path)
    capsys.readouterr()
    check.check(made, contract)
    assert "joints move that no action names" in capsys.readouterr().out


def test_only_a_base_was_commanded(tmp_path: Path) -> None:
    twists = stream("/cmd_vel", 20, lambda ns, t: T["geometry_msgs/msg/Twist"](vector(0.1), vector(0.0)))
    suggested(bags(tmp_path, states(ARM, arm), twists))
    assert "no recorded command fits the state" in text(tmp_path)


def test_joint_states_without_positions_and_trajectories_without_points_are_named(tmp_path: Path) -> None:
    made = bags(
        tmp_path,
        states(ARM, arm),
        states(ARM, lambda t: [], "/motors/joint_states"),
        stream("/arm/joint_trajectory", 20, lambda ns, t: robot.trajectory(ns, names=ARM)),
    )
    suggested(made)
    assert "motors/joint_states is not used: none of its messages holds a position" in text(tmp_path)
    assert "arm/joint_trajectory is not used: none of its messages holds a position" in text(tmp_path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("geometry_msgs/msg/Twist", "use_stamped_vel.*twist_unstamper"),
        ("std_msgs/msg/Float64", "Float64MultiArray.* topic_tools"),
        ("control_msgs/msg/GripperCommand", "the action control_msgs/action/GripperCommand"),
    ],
)
def test_a_contract_that_commands_what_cannot_be_commanded_is_told_the_way_out(kind: str, words: str) -> None:
    """The nearest valid type, which was the hint before, is one that this robot does not take."""
    with pytest.raises(InputError, match=rf"action\[0\].type: {kind} cannot be commanded; .*{words}") as error:
        build({"action": [{"topic": "cmd", "type": kind}]}, "mine.yaml")
    assert "did you mean" not in str(error.value)
    with pytest.raises(InputError, match="unknown value"):
        build(
            read(find("tabletop")) | {"action": [{"topic": "cmd", "type": "Wrench", "velocity_max": [1]}]}, "mine.yaml"
        )
