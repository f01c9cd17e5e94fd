"""What attention of several heads asks of its width."""

from policy.errors import InputError


def check_heads(part: str, width: int, heads: int, called: str = "width") -> None:
    """`InputError` unless the width of a part, which its recipe calls so, divides into heads."""
    if width % heads:
        raise InputError(
            f"{part}: {called} {width} does not divide into {heads} heads; change one of them in the recipe"
        )
