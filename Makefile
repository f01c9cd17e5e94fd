# make demo                                       the shipped policy changes its mind, hand full, and resumes
# make demo SAY="put the red block in the bowl"   it does what you say
# make demo SEED=1234567                          an earlier run again
# make demo-ros                                   the ROS 2 stack, without a ROS install: the instruction changes
#                                                 on the way, the episodes are recorded and trained on
# make test                                       all tests

.PHONY: demo demo-ros test

demo: .venv/installed
	@.venv/bin/python -m sim.demo $${SAY+--say="$$SAY"} $${SEED:+--seed="$$SEED"}

demo-ros: .venv-dev/installed
	@.venv-dev/bin/python -m ros_nodes.demo $${SEED:+--seed="$$SEED"}

test: .venv-dev/installed
	.venv-dev/bin/python -m pytest

# Installed again only when what is installed has changed.
.venv/installed: setup.py .ci/setup
	.ci/setup .venv ".[cpu]"

# The pinned torch comes without several GB of CUDA where a CPU build is offered.
.venv-dev/installed: setup.py .ci/setup
	.ci/setup .venv-dev ".[cpu,train,test,ros]" torch==2.13.0
