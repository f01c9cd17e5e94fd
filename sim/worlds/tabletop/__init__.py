"""The Franka at a table and its tasks. The smallest task to imitate is tasks/drawer.py."""
