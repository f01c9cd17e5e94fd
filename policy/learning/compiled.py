"""A model compiled for this processor: elementwise work is fused, so less memory is moved."""

import os
import shutil

import torch
from torch import nn

from policy.errors import InputError


def compiled(model: nn.Module, device: torch.device) -> nn.Module:
    """The same model, whose first step compiles for a minute or two; it draws the random numbers of the eager one.

    `InputError` where there is no compiler.
    """
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise InputError(
            f"--compile needs the C++ compiler {compiler}, which is not there; install it (sudo apt install g++), or "
            "train without --compile"
        )
    torch._inductor.config.fallback_random = True
    made: nn.Module = torch.compile(model)  # type: ignore[assignment]  # it is a module where a module is given
    return made
