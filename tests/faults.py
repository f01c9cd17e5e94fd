"""docs/faults.md from the docstrings of the tests of faults.

    python -m tests.faults

Such a docstring is a row of the page: the fault, then `Then:` what happens, `Says:` which node says what (the
test waits for these very words in its diagnostics), `After:` how it goes on.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"
SOURCES = [ROOT / "tests" / f"test_{name}.py" for name in ("faults", "faults_stack", "outputs", "served_policy")]
HEAD = """# Faults

What goes wrong on a robot, what the stack then does and what it reports. Whatever happens, no set-point leaves
the safety node beyond the limits of the contract. A software stop is not a safety function: it does not
replace the emergency stop of the robot.

Made from `tests/test_faults.py`, `tests/test_faults_stack.py`, `tests/test_outputs.py` and
`tests/test_served_policy.py`, where each row is a test over real DDS, by `python -m tests.faults`.

| fault | then | reported in `/diagnostics` and `~/status` | after |
| --- | --- | --- | --- |
"""


def parts(docstring: str) -> dict[str, str]:
    """A test's docstring as its parts: fault, Then, Says, After."""
    pieces = re.split(r"\b(Then|Says|After): ", " ".join(docstring.split()))
    named = zip(pieces[1::2], pieces[2::2], strict=True)
    return {"fault": pieces[0].strip(), **{name: text.strip() for name, text in named}}


def page() -> str:
    """The page as it should be, read from the tests without importing them."""
    rows = []
    for node in (node for source in SOURCES for node in ast.parse(source.read_text()).body):
        docstring = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
        if docstring and "Then: " in docstring:
            row = parts(docstring)
            rows.append(f"| {' | '.join(row[k] for k in ('fault', 'Then', 'Says', 'After'))} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    print(PAGE.relative_to(ROOT))
