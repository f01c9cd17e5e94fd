"""A small 6-joint arm on a desk, as a robot of one's own is: docs/tutorial.md."""
