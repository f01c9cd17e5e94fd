"""What a training asks of the machine."""

import subprocess
import sys

FAULTS = """
import resource, sys, torch
from policy.learning.device import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(10):  # until what is kept has room for all of it
    torch.ones(16 << 20).sum()  # 64 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(16 << 20).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    command = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_freed_memory_is_kept_for_the_next_step() -> None:
    assert page_faults("kept") < page_faults("as it is") / 10
