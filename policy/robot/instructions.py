"""Instructions with a meaning of their own, alike in live control and in bags."""

CONTINUE = "continue"


def continues(text: str) -> bool:
    """Whether an instruction resumes the unfinished one, rather than naming a task."""
    return text.strip().strip(". ").lower() == CONTINUE
