"""The Franka at a table with twelve tasks. The smallest task to imitate is tasks/drawer.py."""
