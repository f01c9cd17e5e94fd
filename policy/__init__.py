"""What the robot sees, how it thinks, how it learns, how it is exported and run. No ROS, no simulator."""
