"""Objectives: further losses (policy.learning.interfaces.Objective); only `execution_estimate` is exported."""

from policy.learning.heads.masked_trajectory import InverseMasks, MaskedTrajectoryObjective
from policy.learning.interfaces import Objective
from policy.learning.objectives.dynamo import DynaMo
from policy.learning.objectives.execution_estimate import ExecutionEstimation
from policy.learning.objectives.forecasting import Forecasting, ShuffledForecasting
from policy.learning.objectives.forward_prediction import ForwardPrediction
from policy.learning.objectives.inverse_dynamics import InverseDynamics
from policy.learning.objectives.keyframe import Keyframe
from policy.learning.objectives.self_evolution import SelfEvolution

OBJECTIVES: dict[str, type[Objective]] = {
    "keyframe": Keyframe,
    "execution_estimate": ExecutionEstimation,
    "inverse_dynamics": InverseDynamics,
    "forward_prediction": ForwardPrediction,
    "dynamo": DynaMo,
    "masked_trajectory": MaskedTrajectoryObjective,
    "masked_trajectory_inverse": InverseMasks,
    "forecasting": Forecasting,
    "forecasting_shuffled": ShuffledForecasting,
    "self_evolution": SelfEvolution,
}
