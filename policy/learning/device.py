"""What a training runs on."""

import ctypes
import platform
import sys
from pathlib import Path

import torch

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of mallopt(3)


def keep_freed_memory() -> None:
    """Let this process keep what it frees for its next step, up to 2 GiB; on Linux with glibc, else nothing is done.

    By default each tensor above 32 MiB is given back and asked for again at every step, and the kernel zeroes it page
    by page, which costs a training on CPU time at each of them.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(TRIM_THRESHOLD, (1 << 31) - 1)


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is native: emulated, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def processor_name(device: torch.device) -> str:
    """The model of the GPU or CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()
