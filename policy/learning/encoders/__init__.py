"""Encoders: inputs of the policy -> tokens (policy.learning.interfaces.Encoder)."""

from policy.learning.encoders.cameras import Cameras
from policy.learning.encoders.execution_state import ExecutionState
from policy.learning.encoders.instruction import Instruction
from policy.learning.encoders.proprioception import Proprioception
from policy.learning.interfaces import Encoder

ENCODERS: dict[str, type[Encoder]] = {
    "instruction": Instruction,
    "execution_state": ExecutionState,
    "cameras": Cameras,
    "proprioception": Proprioception,
}
