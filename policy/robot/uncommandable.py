"""Message types that robots take and that no contract commands: what goes out in their place."""

from policy.robot.message_types import ARRAY, GRIPPER, JOINT_STATE, POSE, TRAJECTORY, TWIST

_NUMBER = (
    f"a joint goes out as {ARRAY}, which forward_command_controller takes, or as {TRAJECTORY}, a gripper as {GRIPPER} "
    "too: run such a controller, or have the array turned into this type (`transform` of topic_tools)"
)
INSTEAD = {
    "geometry_msgs/msg/Twist": f"a twist goes out with time and frame, as {TWIST}: let the controller take that "
    "(diff_drive_controller: `use_stamped_vel: true`, from Jazzy on always), or have it turned into this type "
    "(`twist_unstamper` of twist_stamper)",
    "geometry_msgs/msg/Pose": f"a pose goes out with time and frame, as {POSE}: let the controller take that, or have "
    "it turned into this type (`transform` of topic_tools)",
    "std_msgs/msg/Float64": _NUMBER,
    "std_msgs/msg/Float32": _NUMBER,
    JOINT_STATE: _NUMBER,
    "control_msgs/msg/GripperCommand": f"a gripper goes out as the action {GRIPPER}: let its driver offer that, or "
    "have the goals turned into this type",
}
FIELDS = {  # where a demonstration's values are in them
    "geometry_msgs/msg/Twist": "linear.x, linear.y, linear.z, angular.x, angular.y, angular.z",
    "std_msgs/msg/Float64": "data",
    "std_msgs/msg/Float32": "data",
    "control_msgs/msg/GripperCommand": "position",
}
