# make demo                                       the shipped policy changes its mind, hand full, and resumes
# make demo SAY="put the red block in the bowl"   it does what you say
# make demo SEED=1234567                          an earlier run again
# make console                                    the same in a page: see it, talk to it; http://127.0.0.1:8765
# make demo-ros                                   the ROS 2 stack, without a ROS install: the instruction changes
#                                                 on the way, the episodes are recorded and trained on
# make check                                      lint, format, types, fast tests: before every commit
# make test                                       make check, and all other tests but the heavy ones
# make test-all                                   all tests; the result goes to docs/results/tests.md
# make libero                                   the environment of the world libero_goal, in .venv-libero
# make build                                      wheel and sdist, each tried in an empty environment
# make lerobot                                    LeRobot in an environment of its own (8 GB), in .venv-lerobot
# make openpi                                     openpi's client in an environment of its own, in .venv-openpi
# make bench                                    every figure of speed beside a yardstick; leave the machine alone
# make docs                                       the documentation as a site, in out/site

DEV = .venv-dev/bin

.PHONY: demo console demo-ros check test test-all libero lerobot openpi build bench docs

demo: .venv/installed
	@.venv/bin/python -m sim.demo $${SAY+--say="$$SAY"} $${SEED:+--seed="$$SEED"}

console: .venv/installed
	@.venv/bin/python -m console $${MODEL+--model="$$MODEL"} $${SEED:+--seed="$$SEED"} $${PORT:+--port="$$PORT"}

demo-ros: .venv-dev/installed
	@$(DEV)/python -m ros_nodes.demo $${SEED:+--seed="$$SEED"}

# Set in many images, it would have each of the tests' hundreds of processes compile torch again.
check test test-all: export PYTHONDONTWRITEBYTECODE =

# One thread for each process of tests, as those of several wait for each other.
check: .venv-dev/installed
	$(DEV)/ruff check
	$(DEV)/ruff format --check
	$(DEV)/mypy
	OMP_NUM_THREADS=1 $(DEV)/python -m pytest -n auto --dist loadfile -m "not live and not slow and not heavy"

test: check
	.ci/test $(DEV)/python

test-all: .venv-dev/installed .venv-libero/installed .venv-lerobot/installed .venv-openpi/installed
	$(DEV)/python -m pip install -q "rerun-sdk>=0.23" "ray>=2.50"
	.ci/test-all $(DEV)/python

libero: .venv-libero/installed

build: .venv-dev/installed
	.ci/build $(DEV)/python

bench: .venv-dev/installed .venv-lerobot/installed
	$(DEV)/python -m benchmarks

docs: .venv-dev/installed
	$(DEV)/mkdocs build --strict

lerobot: .venv-lerobot/installed

openpi: .venv-openpi/installed

# Installed again only when what is installed has changed.
.venv/installed: setup.py requirements.txt .ci/setup
	.ci/setup .venv ".[cpu,sim,console]"

# The pinned torch comes without several GB of CUDA where a CPU build is offered.
.venv-dev/installed: setup.py requirements.txt .ci/setup
	.ci/setup .venv-dev ".[cpu,sim,console,train,lerobot,serve,ros,test,dev,docs]" torch==2.13.0

# The benchmark has its own OpenCV and 2 GB of meshes.
.venv-libero/installed: setup.py requirements.txt .ci/setup
	.ci/setup .venv-libero ".[cpu,sim,libero]" pytest

# LeRobot itself, which judges the data sets that we write.
.venv-lerobot/installed: .ci/lerobot
	.ci/lerobot .venv-lerobot

# openpi's client, which judges what we serve.
.venv-openpi/installed: .ci/openpi
	.ci/openpi .venv-openpi
