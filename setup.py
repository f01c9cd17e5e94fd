"""One package for pip (`pip install -e .`) and for colcon (`colcon build`)."""

from glob import glob

from setuptools import find_packages, setup

NAME = "midstream"
LAUNCH = glob("launch/*")

setup(
    name=NAME,
    version="0.1.0",
    description="Language-conditioned robot policies whose instruction may change mid-execution",
    license="Apache-2.0",
    python_requires=">=3.11",
    # launch/ and models/ are data and have no __init__.py.
    packages=find_packages(include=["policy", "policy.*", "sim", "sim.*", "ros_nodes", "ros_nodes.*"]),
    package_data={
        "policy": ["contracts/*.yaml", "recipes/*.yaml"],
        "sim": ["assets/*", "assets/**/*"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *([(f"share/{NAME}/launch", LAUNCH)] if LAUNCH else []),
    ],
    zip_safe=False,
    # What the simulator and a robot run; neither ONNX Session, as `cpu` and `gpu` cannot live together.
    install_requires=[
        "av",
        "gymnasium",
        "gymnasium-robotics==1.4.2",
        "mink==1.3.0",
        "mujoco==3.10.*",
        "numpy",
        "pillow",
        "pyyaml",
        "rich",
        "rosbags",
        "safetensors",
        "tokenizers",
        "tqdm",
    ],
    entry_points={
        "console_scripts": [
            f"{node} = ros_nodes.{node}:main"
            for node in ("policy_node", "recorder_node", "replay_node", "safety_node", "sim_node")
        ]
    },
    extras_require={
        "cpu": ["onnxruntime"],
        "gpu": ["onnxruntime-gpu"],
        "train": ["accelerate", "matplotlib", "onnx", "onnxscript", "opencv-python", "torch"],
        # ROS 2 Jazzy without a ROS install; where there is one, it has them already.
        "ros": [
            "ros-jazzy-diagnostic-msgs",
            "ros-jazzy-rclpy[fastrtps]",
            "ros-jazzy-rosgraph-msgs",
            "ros-jazzy-sensor-msgs",
            "ros-jazzy-std-msgs",
            "ros-jazzy-std-srvs",
            "ros-jazzy-trajectory-msgs",
        ],
        "test": ["mcap-ros2-support", "pytest", "pytest-rerunfailures"],
    },
)
