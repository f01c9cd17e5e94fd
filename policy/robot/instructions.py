"""Instructions with a meaning of their own, alike in live control and in bags: "stop" and "continue"."""

import re

# Words that change nothing beside these two
FILLERS = """
a all an arm at can could everything for hey here immediately instantly it just kindly little me minute minutes moment
moving now oh ok okay once please quickly right robot sec second seconds secs that the there this while will would you
"""
_FILLERS = frozenset(FILLERS.split())
APOSTROPHES = "[\u2019\u2018\u00b4\u02bc`]"
PARTS = r"[,.;:!?\n]|\s-+\s|\band\b"
LONGEST = 1000  # characters of an instruction; the sentence encoder reads about as many
CONTINUE = "continue; resume; go on; carry on; keep going"
STOP = """
stop; wait; hold; halt; pause; freeze; stay; abort; cancel; cease; quit; enough; no; whoa; hold on; hang on; hold off;
hold still; keep still; be still; stand still; stay still; stay put; stand by; stay where you are; hold position; hold
your position; wait a bit; stop what you are doing; stop what you're doing; stop doing that; stop working; stop your
motion; stop the motion; stop right away; don't move; do not move; dont move; do not move any more; do not move anymore;
don't move anymore; don't move any further; not another step; no more;
emergency stop; that is enough; that's enough
"""


def _words(text: str) -> str:
    """The words of a text without fillers and immediate repetitions, in lower case."""
    words = [w for w in re.findall(r"[a-z0-9']+", re.sub(APOSTROPHES, "'", text.lower())) if w not in _FILLERS]
    return " ".join(w for w, before in zip(words, ["", *words], strict=False) if w != before)


_CONTINUE, _STOP = (frozenset(map(_words, phrases.split(";"))) for phrases in (CONTINUE, STOP))


def continues(text: str) -> bool:
    """Whether an instruction resumes the unfinished one, rather than naming a task."""
    return len(text) <= LONGEST and _words(text) in _CONTINUE


def stops(text: str) -> bool:
    """Whether an instruction holds the arm at once, rather than naming a task: "stop!", "wait a moment", "no, halt"."""
    if len(text) > LONGEST:
        return False
    parts = [words for part in re.split(PARTS, text) if (words := _words(part))]
    return _words(text) in _STOP or (bool(parts) and all(part in _STOP for part in parts))
