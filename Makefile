# make demo                                       the shipped policy does five things in a row
# make demo SAY="put the red block in the bowl"   it does what you say
# make demo SEED=1234567                          an earlier run again
# make test                                       all tests

.PHONY: demo test

demo: .venv/installed
	@.venv/bin/python -m sim.demo $${SAY+--say="$$SAY"} $${SEED:+--seed="$$SEED"}

test: .venv-dev/installed
	.venv-dev/bin/python -m pytest

# Installed again only when what is installed has changed.
.venv/installed: setup.py .ci/setup
	.ci/setup .venv ".[cpu]"

# The pinned torch comes without several GB of CUDA where a CPU build is offered.
.venv-dev/installed: setup.py .ci/setup
	.ci/setup .venv-dev ".[cpu,train,test]" torch==2.13.0
