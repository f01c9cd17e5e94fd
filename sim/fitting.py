"""Whether a policy is one for the robot of a world."""

from policy.errors import InputError
from policy.running.session import Session
from sim.worlds import load


def require_robot(session: Session, model: str, world: str) -> None:
    """`InputError` where the policy takes what the world's robot does not give, or commands another one."""
    robot, policy = load(world).contract().spec, session.spec
    pairs = {key: (getattr(robot, key), getattr(policy, key)) for key in ("state", "action", "rate")}
    cameras = {name: robot.cameras[name] for name in policy.cameras if name in robot.cameras}
    for key, (there, taken) in (pairs | {"cameras": (cameras, policy.cameras)}).items():
        if there != taken:
            raise InputError(
                f"{model} is a policy for another robot than that of the world {world} ({key}: the robot has {there}, "
                f"the policy {taken}); give the world it was trained in, --world NAME"
            )
