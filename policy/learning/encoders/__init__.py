"""Encoders: inputs of the policy -> tokens (policy.learning.interfaces.Encoder)."""

from policy.learning.encoders.cameras import Cameras
from policy.learning.encoders.committed import Committed
from policy.learning.encoders.execution_state import ExecutionState
from policy.learning.encoders.goal_image import GoalImage
from policy.learning.encoders.goal_state import GoalState
from policy.learning.encoders.instruction import Instruction
from policy.learning.encoders.proprioception import Proprioception
from policy.learning.encoders.return_to_go import ReturnToGo
from policy.learning.encoders.words import Words
from policy.learning.encoders.world_queries import WorldQueries
from policy.learning.interfaces import Encoder

ENCODERS: dict[str, type[Encoder]] = {
    "instruction": Instruction,
    "words": Words,
    "goal_image": GoalImage,
    "goal_state": GoalState,
    "return_to_go": ReturnToGo,
    "execution_state": ExecutionState,
    "cameras": Cameras,
    "proprioception": Proprioception,
    "committed": Committed,
    "world_queries": WorldQueries,
}
