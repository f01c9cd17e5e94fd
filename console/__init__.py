"""The console: a page over a robot that is simulated here or that ROS runs, and the server of that page."""
