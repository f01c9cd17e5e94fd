"""Common to the nodes: message types, qualities of service, parameters, trajectories, diagnostics, `run`."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from time import time_ns
from typing import Any, Protocol, runtime_checkable

import numpy as np
import rclpy
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration as Span
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from policy.errors import InputError, exit_code
from policy.robot.bounded_counter import printable
from policy.robot.contract import Contract
from policy.running.plan import Plan
from policy.spec import Spec
from ros_nodes.signals import handle_signals, signalled


def message_class(kind: str) -> type:
    """The class of a message or action type (package/msg/Name); `InputError` where its package is not installed."""
    package, folder, name = kind.split("/")
    try:
        found: type = getattr(import_module(f"{package}.{folder}"), name)
    except (ImportError, AttributeError):
        raise InputError(
            f"{kind} is not installed here; install the package {package} for this ROS 2, or source the workspace that "
            "has it"
        ) from None
    return found


def _qos(depth: int, reliable: bool = True, latched: bool = False, lease: float = 0.0) -> QoSProfile:
    """`lease` [s]: a publisher whose process is not heard of for so long counts as dead; 0: no lease."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        liveliness_lease_duration=Span(seconds=lease),
    )


# Publish reliable, subscribe best effort: so any pair of publisher and subscriber finds together (REP 2003).
SENSOR_OUT, SENSOR_IN = _qos(10), _qos(10, reliable=False)
COMMAND = _qos(1)
LATCHED = _qos(1, latched=True)
# Without a lease, DDS notices the end of a killed process only after 20 s.
LIVING_OUT, LIVING_IN = _qos(1, latched=True, lease=0.5), _qos(1, latched=True, lease=1.0)
POLICY_STATUS = "policy_node/status"
ACTION_CHUNK = "action_chunk"  # policy node to safety node
OPERATOR_COMMAND = "operator_command"  # of a person who has taken over, as an action chunk
DRIVEN = 6  # control steps for which a person's set-point is given
OVERRIDES = QoSOverridingOptions.with_default_policies()

LEVELS = {"ok": DiagnosticStatus.OK, "warn": DiagnosticStatus.WARN, "error": DiagnosticStatus.ERROR}
TEXT = 1000  # characters of a diagnostic's message or value
STEADY = Clock(clock_type=ClockType.STEADY_TIME)


def declare(
    node: Node,
    name: str,
    default: Any,
    description: str,
    low: float | None = None,
    high: float | None = None,
    read_only: bool = True,
    or_number: bool = False,
) -> Any:
    """Declare a parameter with its description and range, and return its value.

    A text may be given as a number, too, where `or_number` says so. Raises `InputError` where the node was given one of
    another type or out of range.
    """
    descriptor = ParameterDescriptor(description=description, read_only=read_only, dynamic_typing=or_number)
    if low is not None and high is not None:
        if isinstance(default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=0)]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
            ]
    try:
        return node.declare_parameter(name, default, descriptor).value
    except ParameterException as error:
        bounds = f" from {low} to {high}" if low is not None else ""
        raise InputError(
            f"parameter {name}: {error}; expected {type(default).__name__}{bounds}: {description}"
        ) from None


def number(name: str, value: Any) -> float | None:
    """A parameter that may be left empty as a number, None where it is; `InputError` for what is no number."""
    if isinstance(value, str) and not value.strip():
        return None
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise InputError(f"parameter {name}: got {value!r}, expected a number, or nothing")


def outlasts(name: str, timeout: float, contract: Contract) -> None:
    """`InputError` where a timeout in s would end between two regular frames."""
    least = 1.5 / contract.rate
    if timeout < least:
        raise InputError(
            f"parameter {name}: got {timeout} s at {contract.rate:g} frames a second; give at least {least:.3f} s"
        )


def relative(topic: str) -> str:
    """A contract's topic as a name that namespaces and remappings apply to."""
    return topic.lstrip("/")


def nanoseconds(time: Time | Duration) -> int:
    """Time or duration of a message as ns."""
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)


def stamp(ns: int) -> Time:
    """ns as the time of a message."""
    return Time(sec=ns // 10**9, nanosec=ns % 10**9)


def source_time(info: Mapping[str, Any]) -> int:
    """When a message was published [ns, of the wall clock], of what rclpy knows of it.

    At the latest now: by the clock of another machine, which is ahead, it would be newer than what comes after it.
    """
    now = time_ns()
    return min(info.get("source_timestamp") or now, now)


def image(pixels: np.ndarray, ns: int, frame: str) -> Image:
    """RGB uint8 (height, width, 3) as a message."""
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding="rgb8", step=3 * pixels.shape[1])
    message.header.stamp, message.header.frame_id = stamp(ns), frame
    message.data = array("B", pixels.tobytes())  # an ndarray here would be copied byte by byte
    return message


def joint_state(
    names: Sequence[str], ns: int, position: np.ndarray, velocity: np.ndarray, effort: np.ndarray
) -> JointState:
    """Joint values (J,) as a message."""
    message = JointState(
        name=list(names), position=array("d", position), velocity=array("d", velocity), effort=array("d", effort)
    )
    message.header.stamp = stamp(ns)
    return message


def driven(spec: Spec, ns: int, action: np.ndarray) -> JointTrajectory:
    """A person's set-point (A,), given for several steps from the time `ns` on, as no controller leaps."""
    times = spec.dt_ns * np.arange(1, DRIVEN + 1)
    return trajectory(spec.action, ns, times, np.tile(np.asarray(action, float), (DRIVEN, 1)))


def trajectory(
    names: Sequence[str], ns: int, times: np.ndarray, positions: np.ndarray, speeds: np.ndarray | None = None
) -> JointTrajectory:
    """Points (N, J) at times (N,) ns after the stamp `ns`, and their velocities where they are given."""
    message = JointTrajectory(joint_names=list(names))
    message.header.stamp = stamp(ns)
    message.points = [
        JointTrajectoryPoint(
            positions=array("d", p),
            velocities=array("d", speeds[i] if speeds is not None else ()),
            time_from_start=Duration(sec=int(t) // 10**9, nanosec=int(t) % 10**9),
        )
        for i, (t, p) in enumerate(zip(times, positions, strict=True))
    ]
    return message


def plan_message(plan: Plan) -> JointTrajectory:
    """A plan as its controller takes it, in the robot's units; the last velocity is 0."""
    points, speeds = plan.in_robot_units()
    return trajectory(plan.controller.joints, plan.stamp, plan.times - plan.stamp, points, speeds)


def chunk(message: JointTrajectory, names: Sequence[str]) -> tuple[int, np.ndarray, np.ndarray]:
    """An action chunk: its stamp, times (N,) ns after it and actions (N, A), in the order of `names`.

    Raises `InputError` where it has no stamp or not exactly these names.
    """
    begin = nanoseconds(message.header.stamp)
    if not begin:
        raise InputError("got an action chunk without a stamp, expected the time that its points count from")
    if sorted(message.joint_names) != sorted(names):
        raise InputError(
            f"got an action chunk for {', '.join(message.joint_names) or 'no joint'}, expected {', '.join(names)}; "
            "policy and safety node need the same contract"
        )
    times, positions, _ = points(message)
    if positions.shape != (len(times), len(names)):
        raise InputError(f"got an action chunk of shape {positions.shape}, expected (N, {len(names)})")
    return begin, times, positions[:, [message.joint_names.index(name) for name in names]]


def points(message: JointTrajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Times (N,) ns from start, positions (N, J) and velocities (N, J), None where they are absent.

    Raises `InputError` where the points are not of one size.
    """
    times = np.array([nanoseconds(p.time_from_start) for p in message.points], np.int64)
    try:
        positions = np.array([p.positions for p in message.points], float).reshape(len(times), -1)
        filled = any(len(p.velocities) for p in message.points)
        speeds = np.array([p.velocities for p in message.points], float) if filled else None
    except ValueError:
        raise InputError("got a trajectory whose points differ in size, expected one value a joint") from None
    return times, positions, speeds


def status(level: str, name: str, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    """A diagnostic with its key-values, printable and cut to a length; `level` is ok, warn or error."""
    return DiagnosticStatus(
        level=LEVELS[level],
        name=name,
        message=printable(message, TEXT),
        values=[KeyValue(key=printable(k), value=printable(str(v), TEXT)) for k, v in values.items()],
    )


def diagnostics(node: Node, *statuses: DiagnosticStatus) -> DiagnosticArray:
    """Statuses of a node, stamped; `hardware_id` is its namespace, which tells two robots apart."""
    for entry in statuses:
        entry.hardware_id = node.get_namespace()
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp = node.get_clock().now().to_msg()
    return message


def percentiles(seconds: Sequence[float]) -> str:
    """p50 / p99 of latencies, in ms."""
    if not seconds:
        return "none"
    p50, p99 = np.percentile(list(seconds), (50, 99)) * 1e3
    if p50 < 0:  # times of two clocks: it is no latency
        return f"unknown: stamps are {-p50:.2f} ms ahead of our clock, or it is simulated in coarse steps"
    return f"{p50:.2f} / {p99:.2f}"


@runtime_checkable
class Ends(Protocol):
    """A node that has something to say before it is destroyed."""

    def end(self, executor: Executor) -> None:
        """Come to rest; the executor may be spun for a while."""


@runtime_checkable
class MayCrash(Protocol):
    """A node that leaves something else behind where an error ends it; `crashed` is set before it is destroyed."""

    crashed: bool


def run(make: Callable[[], Node]) -> int:
    """Spin a node until it is told to end; 2 with one line where it cannot start."""

    def main() -> None:
        # Our own handlers, as those of rclpy close the context before a node can bring the arm to rest.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        handle_signals()
        node, executor = None, SingleThreadedExecutor()
        try:
            node = make()
            executor.add_node(node)
            while rclpy.ok():
                executor.spin_once(timeout_sec=0.1)  # a signal is seen between two
        except KeyboardInterrupt:
            pass
        except Exception as error:
            # where a signal comes while rclpy takes a message, pybind11 makes another error of it
            if not (isinstance(error, RuntimeError) and signalled()):
                if isinstance(node, MayCrash):
                    node.crashed = True
                raise
        finally:
            if isinstance(node, Ends):
                node.end(executor)
            if node is not None:
                node.destroy_node()
            rclpy.try_shutdown()

    return exit_code(main)
