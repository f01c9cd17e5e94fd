"""What a node reads of its command line is what was given."""

from pathlib import Path

from tests.ros_tiny import Context, rclpy  # skips this file where there is no ROS

# isort: split
from rclpy.node import Node

from ros_nodes.arguments import parameters

GIVEN = {
    "sharp": Path("out/demo #2"),
    "colon": "out/a: b",
    "year": "2026",
    "true": "true",
    "quoted": 'it\'s "so" \\ 20 %',
    "words": "Öffne 打开 😀",
    "empty": "",
    "number": 7,
    "real": 0.5,
    "flag": False,
}


def test_a_text_is_the_same_whatever_is_in_it() -> None:
    context = Context()
    rclpy.init(context=context, args=["--ros-args", *parameters(GIVEN)])
    node = Node("reader", context=context, automatically_declare_parameters_from_overrides=True)
    got = {name: node.get_parameter(name).value for name in GIVEN}
    node.destroy_node()
    context.try_shutdown()
    assert got == GIVEN | {"sharp": str(GIVEN["sharp"])}
