"""Nodes of ROS 2: the only package that imports rclpy, thin over cores that do not."""
