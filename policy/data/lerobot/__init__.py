"""LeRobot's data set format v3.0, read and written with pyarrow and PyAV, without the package lerobot."""
