"""Parameters of a node on its command line."""

import json
from collections.abc import Mapping


def parameters(given: Mapping[str, object]) -> list[str]:
    """Name -> value as arguments after `--ros-args`, whatever is in a text: ROS reads a bare one as YAML."""
    words = []
    for name, value in given.items():
        plain = value if isinstance(value, bool | int | float) else str(value)
        words += ["-p", f"{name}:={json.dumps(plain, ensure_ascii=False)}"]
    return words
