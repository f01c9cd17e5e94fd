"""Messages lost on the way into the policy node: two cameras at 30 Hz, joints at 100 Hz, a minute each.

    python benchmarks/ros_loss.py              128x128 and 480x480, five times
    python benchmarks/ros_loss.py --seconds 5 --repeats 1

The yardstick is a bare subscriber in a process of its own that does nothing but count, in the same minute. At
480x480 an image is larger than the shared memory segment that Fast DDS takes by default (549 kB), so all
processes are given launch/fastdds.xml, as a robot with such cameras should be.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from benchmarks import ros_common as common
from policy.errors import exit_code
from policy.robot.contract import load


class Counter(Node):
    """Counts what arrives and publishes it as the policy node does."""

    def __init__(self, contract: str) -> None:
        from ros_nodes import bridge

        super().__init__("counter")
        self.received: dict[str, int] = {}
        self._bridge = bridge
        self._out = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        for topic, kind in load(contract).observed.items():
            self.create_subscription(bridge.message_class(kind), topic, partial(self._count, topic), bridge.SENSOR_IN)
        self.create_timer(1.0, self._report)

    def _count(self, topic: str, message: Any) -> None:
        self.received[topic] = self.received.get(topic, 0) + 1

    def _report(self) -> None:
        values = {f"received, {t}": n for t, n in self.received.items()}
        status = self._bridge.status("ok", "counter: sensors", "", values)
        self._out.publish(self._bridge.diagnostics(self, status))


def measure(size: int, seconds: float) -> dict[str, tuple[int, int]]:
    """One run: node -> (messages lost, messages sent)."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    common.settle()
    if size > 256:
        os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(common.ROOT / "launch" / "fastdds.xml")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        common.write_model(model, size, rate=20.0)
        rclpy.init()
        source, executor = common.Source(model), SingleThreadedExecutor()
        source.on = False
        executor.add_node(source)
        counts: dict[str, dict[str, int]] = {}

        def on_diagnostics(message: Any) -> None:
            for status in message.status:
                if status.name in ("policy_node: sensors", "counter: sensors"):
                    counts[status.name.split(":")[0]] = {
                        v.key: int(v.value) for v in status.values if v.key.startswith("received, ")
                    }

        source.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
        processes = [
            common.start("ros_nodes.policy_node", model=model, autostart=True),
            common.start("benchmarks.ros_loss", contract=model / "contract.yaml"),
        ]
        try:
            while len(counts) < 2 or any(p.get_subscription_count() < 2 for p in source._out.values()):
                executor.spin_once(timeout_sec=0.1)
            common.spin(executor, 1.0)
            source.on = True
            common.spin(executor, seconds)
            source.on = False
            common.spin(executor, 3.0)
        finally:
            for process in processes:
                common.stop(process)
            source.destroy_node()
            rclpy.shutdown()
    sent = sum(source.sent.values())
    return {node: (sent - sum(received.values()), sent) for node, received in counts.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    # each run in a process of its own: Fast DDS reads its profile once
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for size in (128, 480):
            for i in range(args.repeats):
                run = pool.apply(measure, (size, args.seconds))
                for node, (lost, sent) in sorted(run.items(), reverse=True):
                    print(
                        f"{size}x{size} run {i + 1}: {node:12} lost {lost} of {sent} ({100 * lost / sent:.2f} %)",
                        flush=True,
                    )


if __name__ == "__main__":
    if "--ros-args" in sys.argv:  # the yardstick's process
        from ros_nodes import bridge

        path = next(a.split(":=")[1] for a in sys.argv if a.startswith("contract:="))
        sys.exit(bridge.run(lambda: Counter(path)))
    sys.exit(exit_code(main))
