"""The Python blocks of a Markdown file, one after the other, so that what it shows can be run."""

import re
import sys
from pathlib import Path

blocks = re.findall(r"^```python\n(.*?)^```$", Path(sys.argv[1]).read_text(), re.MULTILINE | re.DOTALL)
if not blocks:
    sys.exit(f"error: no Python block in {sys.argv[1]}; expected one that begins with ```python")
print("\n".join(blocks))
