"""Names of the ROS message types that the code itself speaks of."""

from typing import Final

IMAGE: Final = "sensor_msgs/msg/Image"
COMPRESSED: Final = "sensor_msgs/msg/CompressedImage"
JOINT_STATE: Final = "sensor_msgs/msg/JointState"
TRAJECTORY: Final = "trajectory_msgs/msg/JointTrajectory"
ARRAY: Final = "std_msgs/msg/Float64MultiArray"
STRING: Final = "std_msgs/msg/String"
BOOL: Final = "std_msgs/msg/Bool"
POSE: Final = "geometry_msgs/msg/PoseStamped"
TWIST: Final = "geometry_msgs/msg/TwistStamped"
FOLLOW: Final = "control_msgs/action/FollowJointTrajectory"
GRIPPER: Final = "control_msgs/action/GripperCommand"
