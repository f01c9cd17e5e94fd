"""What a robot's sensors lack for a policy: topics, types, qualities of service, rates, clocks, contents."""

import difflib
from collections.abc import Iterator

import numpy as np

from policy.data.findings import Finding
from policy.robot.contract import Contract
from policy.robot.message_types import STRING
from ros_nodes import bridge
from ros_nodes.bridge import LATCHED, SENSOR_IN
from ros_nodes.doctor_listener import SILENCE, Listener, mismatch
from ros_nodes.node_names import node_name

SLOWER = 0.9  # of the contract's rate
LOST = 1.0  # s of silence that no scheduling explains
RARE = 0.02  # of the messages that are not usable
OUT_OF_STEP = 0.35  # of a step between the images of a frame
UNIT = 0.5  # of a joint's range beyond its limits: another unit


def check_sensors(heard: Listener) -> list[Finding]:
    """All that is wrong with what the policy reads."""
    findings = [*_topics(heard), *_instruction(heard), *_rates(heard), *_contents(heard), *_clocks(heard)]
    if heard.newest is not None:
        return [*findings, *_step(heard), *_state(heard.contract, heard.newest.state)]
    if not any(finding.severity == "error" for finding in findings):
        fault = heard.faults.most_common(1)[0][0] if heard.faults else "no frame is complete"
        findings.append(Finding("error", "no frame is made", fault, "mend that; the arm would be held"))
    return findings


def _topics(heard: Listener) -> Iterator[Finding]:
    """Topics that nobody publishes, as another type, with another quality of service, or from which nothing comes."""
    for topic, kind in heard.observed.items():
        found = heard.publishers_of(topic)
        name = heard.resolve_topic_name(topic)
        types = {one.topic_type for one in found}
        if topic in heard.missing:
            yield Finding("error", f"{name} cannot be read", heard.missing[topic], "")
        elif not found:
            others = heard.topics_of(kind)
            near = difflib.get_close_matches(name, others, n=1, cutoff=0.0)
            there = f"; of its type there is {', '.join(others)}" if others else f"; nobody publishes a {kind}"
            do = f"correct the topic in the contract ({near[0]}?)" if near else "start its driver"
            yield Finding("error", f"nobody publishes {name}", f"expected a {kind}{there}", do)
        elif kind not in types:
            yield Finding(
                "error",
                f"{name} has another type",
                f"got {', '.join(sorted(types))} from {node_name(found[0])}, the contract expects {kind}",
                "correct `type` in the contract",
            )
        else:
            yield from _quality(heard, topic, name)
            if not heard.arrivals[topic].times and not list(_quality(heard, topic, name)):
                yield Finding(
                    "error",
                    f"nothing comes on {name}",
                    f"{node_name(found[0])} publishes it, and no message was received",
                    "see that its driver runs; images above 0.5 MB need launch/fastdds.xml (docs/nodes.md)",
                )


def _quality(heard: Listener, topic: str, name: str) -> Iterator[Finding]:
    """Publishers whose quality of service does not fit ours."""
    for one in heard.publishers_of(topic):
        asked = LATCHED if topic == bridge.relative(heard.contract.instruction) else SENSOR_IN
        if why := mismatch(one.qos_profile, asked):
            yield Finding(
                "error",
                f"the quality of service of {name} does not fit",
                f"{node_name(one)}: {why}",
                f"publish it so, or give qos_overrides (docs/nodes.md); see `ros2 topic info --verbose {name}`",
            )


def _instruction(heard: Listener) -> Iterator[Finding]:
    topic = bridge.relative(heard.contract.instruction)
    for one in heard.publishers_of(topic):
        if one.topic_type != STRING:
            figures = f"got {one.topic_type} from {node_name(one)}, expected {STRING}"
            yield Finding("error", f"{topic} has another type", figures, "publish a String, or correct the contract")
            return
    for finding in _quality(heard, topic, heard.resolve_topic_name(topic)):
        do = "publish it with --qos-durability transient_local --qos-reliability reliable"
        yield Finding(finding.severity, finding.what, finding.figures, do)


def _rates(heard: Listener) -> Iterator[Finding]:
    cameras = {bridge.relative(c.topic): n for n, c in heard.contract.cameras.items()}
    for topic, arrivals in heard.arrivals.items():
        rate, name = arrivals.hertz, heard.resolve_topic_name(topic)
        if not rate:
            continue
        if 1 / rate > SILENCE:
            yield Finding(
                "error",
                f"{name} is too slow",
                f"{rate:.3g} Hz: the arm is held where a sensor is silent for {SILENCE:g} s",
                "make it faster, or raise `sensor_timeout` of the policy node and `state_timeout` of the safety node",
            )
        elif arrivals.longest > LOST:
            yield Finding(
                "error",
                f"{name} falls silent",
                f"for {arrivals.longest:.1f} s of {(arrivals.end - arrivals.begin) * 1e-9:.0f} s",
                "see whether its driver still runs",
            )
        elif rate < SLOWER * heard.contract.rate:
            what = f"camera {cameras[topic]}" if topic in cameras else name
            yield Finding(
                "warning",
                f"{what} is slower than the policy",
                f"{rate:.3g} Hz, and the contract's rate is {heard.contract.rate:g} Hz",
                "make it as fast as when the demonstrations were recorded",
            )
        elif arrivals.longest > SILENCE:
            yield Finding(
                "warning",
                f"{name} pauses",
                f"for {arrivals.longest:.2f} s at {rate:.3g} Hz; the arm is held after {SILENCE:g} s",
                "see what its driver or this computer waits for",
            )


def _contents(heard: Listener) -> Iterator[Finding]:
    """Messages that cannot be used: names, sizes, encodings, times."""
    total = max(heard.observations.received.total(), 1)
    for reason, count in heard.observations.dropped.items():
        if reason.startswith("frame without") or count < RARE * total:
            continue
        timed = "late" in reason or "future" in reason
        do = (
            "synchronise the clocks (chrony or PTP), and give use_sim_time:=true to all nodes or to none"
            if timed
            else "correct the contract, or set the driver to what it expects"
        )
        yield Finding("error", "messages are not usable", f"{reason}: {count} messages", do)
    if contradictions := [fault for fault in heard.faults if fault.startswith("contradictory")]:
        yield Finding("error", "joint states contradict each other", contradictions[-1], "end all publishers but one")


def _clocks(heard: Listener) -> Iterator[Finding]:
    sim = heard.get_parameter("use_sim_time").value
    clock = len(heard.publishers_of("/clock"))
    if sim and not clock:
        figures = "use_sim_time is set and nobody publishes /clock"
        yield Finding("error", "there is no time", figures, "start the simulator")
    elif clock and not sim:
        figures = f"{clock} publisher of /clock, and use_sim_time is not set"
        yield Finding("warning", "time is simulated", figures, "give use_sim_time:=true here and to all nodes")
    elif fault := heard.observations.clocks.fault():
        what, _, do = fault.partition("; ")
        if "behind" in what and any(0 < a.hertz < SLOWER * heard.contract.rate for a in heard.arrivals.values()):
            do += "; rates are low, too: if this computer is overloaded, that is why, so end other work first"
        yield Finding("warning", "header stamps are on another clock", what, do)


def _step(heard: Listener) -> Iterator[Finding]:
    skew = float(np.median(heard.observations.skew))
    if skew > OUT_OF_STEP / heard.contract.rate:
        yield Finding(
            "warning",
            "cameras are out of step",
            f"their images are {skew * 1e3:.0f} ms apart (median), a step is {1e3 / heard.contract.rate:.0f} ms",
            "trigger them together, or give them one rate",
        )


def _state(contract: Contract, state: np.ndarray) -> Iterator[Finding]:
    """Where the robot stands (S,), against the contract's limits."""
    for i, (name, place) in enumerate(zip(contract.spec.action, contract.measured.tolist(), strict=True)):
        low, high = float(contract.limits.low[i]), float(contract.limits.high[i])
        value = float(state[place])
        if place < 0 or low - 0.01 * (high - low) <= value <= high + 0.01 * (high - low):
            continue
        unit = value < low - UNIT * (high - low) or value > high + UNIT * (high - low)
        yield Finding(
            "error" if unit else "warning",
            f"{name} is in another unit than its limits" if unit else f"{name} is beyond its limits",
            f"it is at {value:.4g}, the contract's limits are {low:g} and {high:g}",
            "give `scale` and `offset` in the contract" if unit else "move it, or correct the limits",
        )
