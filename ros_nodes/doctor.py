"""Whether a policy would run on the robot that is there: `python -m ros_nodes.doctor robot:=so101`.

    robot:=<contract>      a shipped name or a YAML file
    seconds:=5             how long to listen
    use_sim_time:=true     take the time from /clock
    namespace:=/left       of the robot's topics; remappings come after --ros-args

Listens to the contract's topics as the policy node would, looks at the graph and asks the controllers for their
settings; it publishes nothing. Exit code 2 where the policy would not run, with what to change; 0 with warnings.
"""

import sys
from typing import Any

import rclpy
from rclpy.exceptions import InvalidNamespaceException
from rclpy.parameter import Parameter

from policy.data.findings import Finding, errors
from policy.errors import InputError, exit_code, unknown
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from ros_nodes.doctor_commands import check_commands
from ros_nodes.doctor_listener import Listener
from ros_nodes.doctor_sensors import check_sensors
from ros_nodes.node_names import node_name

OPTIONS = ("robot", "seconds", "use_sim_time", "namespace")


def examine(contract: Contract, seconds: float, **options: Any) -> list[Finding]:
    """Listen for a while, print what is there, and return what is wrong; `options` are those of a node."""
    heard = Listener(contract, **options)
    try:
        heard.listen(seconds)
        commands, settings = check_commands(heard)
        findings = [*check_sensors(heard), *commands]
        print(_table(heard))
        for name, values in settings.items():
            shown = ", ".join(f"{key} {value}" for key, value in values.items()) or "does not answer"
            print(f"{name}: {shown}")
        print(f"{heard.frames} frames in {seconds:g} s, expected {seconds * contract.rate:.0f}")
        return sorted(dict.fromkeys(findings), key=lambda finding: finding.severity)
    finally:
        heard.destroy_node()


def _table(heard: Listener) -> str:
    """One row a topic: its publishers, rate and clock."""
    rows = [("topic", "type", "from", "rate", "header")]
    for topic, kind in heard.observed.items():
        offset = heard.observations.clocks.offset(topic)
        rows.append(
            (
                heard.resolve_topic_name(topic),
                kind,
                ", ".join(sorted(node_name(one) for one in heard.publishers_of(topic))) or "nobody",
                f"{heard.arrivals[topic].hertz:.1f} Hz",
                "-" if offset is None else f"{-offset * 1e-6:+.0f} ms" if abs(offset) < 1e10 else "another clock",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _options(words: list[str]) -> dict[str, str]:
    """name:=value as on a launch's command line; `InputError` for what is none."""
    given = {}
    for word in words:
        name, assigned, value = word.partition(":=")
        if not assigned:
            raise InputError(f"got {word!r}, expected name:=value, such as robot:=so101")
        if name not in OPTIONS:
            raise unknown("option", name, OPTIONS)
        given[name] = value
    if not given.get("robot"):
        raise InputError("give the robot's contract: robot:=<a shipped name or a YAML file>")
    return given


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.5 <= seconds <= 600:
        raise InputError(f"seconds:={text}: expected 0.5 to 600")
    return seconds


def _examine() -> None:
    words = sys.argv[1:]
    end = words.index("--ros-args") if "--ros-args" in words else len(words)
    given = _options(words[:end])  # rclpy takes robot:=x for a remapping
    contract, seconds = contracts.load(given["robot"]), _seconds(given.get("seconds", "5"))
    sim_time = given.get("use_sim_time", "false").lower() == "true"
    try:
        rclpy.init(args=words[end:])
    except RuntimeError as error:  # of rcl's parser
        raise InputError(f"{' '.join(words[end:])}: {error}; correct what follows --ros-args") from None
    try:
        found = examine(
            contract,
            seconds,
            namespace=given.get("namespace", ""),
            parameter_overrides=[Parameter("use_sim_time", value=sim_time)],
        )
    except InvalidNamespaceException as error:
        raise InputError(f"namespace:={given.get('namespace')}: {error}; correct the namespace") from None
    finally:
        rclpy.try_shutdown()
    for finding in found:
        print(finding.paragraph())
    wrong = len(errors(found))
    if wrong:
        raise InputError(f"the policy would not run: {wrong} errors, {len(found) - wrong} warnings above")
    print(f"\nthe policy would run; {len(found)} warnings")


def main() -> int:
    """The command."""
    return exit_code(_examine)


if __name__ == "__main__":
    sys.exit(main())
