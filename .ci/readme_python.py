"""The Python blocks of the README as a script, with the frame that they take for granted."""

import re
from pathlib import Path

FRAME = """
import numpy as np
from policy.running.models import find_model
from policy.spec import Frame, Spec

spec = Spec.load(find_model("tabletop") / "spec.json")
images = {name: np.zeros((height, width, 3), np.uint8) for name, (height, width) in spec.cameras.items()}
frame = Frame(0, images, np.zeros(len(spec.state), np.float32))
"""
CHECK = """
assert chunk.actions.shape == (spec.horizon, len(spec.action)) and np.isfinite(chunk.actions).all()
print("the README's Python runs")
"""

blocks = re.findall(r"^```python\n(.*?)^```$", Path("README.md").read_text(), re.MULTILINE | re.DOTALL)
assert blocks, "README.md has no Python block"
print(FRAME, *blocks, CHECK, sep="\n")
