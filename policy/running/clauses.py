"""The tasks that one sentence names, in the order in which they are to be done.

"open the drawer, then turn on the lamp"            open the drawer | turn on the lamp
"turn on the lamp after you have opened the drawer"  you have opened the drawer | turn on the lamp
"pick up the block and put it in the bowl"          one task: what stands beside "and" names none by itself
"""

import re
from collections.abc import Callable
from functools import cache

from policy.errors import InputError
from policy.running.text import Sentence

Read = Callable[[str], Sentence]  # of one instruction; InputError where it names no known task

DONE = r"(?:is|are|'s|'re|am|'m|have|has|'ve)?\s*(?:done|finished|complete|completed|ready)"
THEN = rf"""
    \s*[;.!?]\s+ | \s*,?\s* \b (?:(?:and|but)\s+)? (?:
        then (?:\s+next)? | next | afterwards? | thereafter | subsequently | later(?:\s+on)? | finally | lastly
      | secondly | after\s+(?:that|this|which) | (?:once|when|as\s+soon\s+as)\s+(?:that|this|it|you|you've)\s*{DONE}
      | followed\s+by | as\s+well\s+as | in\s+addition | also | plus
    ) \b \s*,?\s*"""
BEFORE = r"\s*,?\s* \b before \b \s*,?\s*"
BUT_FIRST = r"""
    \s*,?\s* \b (?:and|but) \s+ (?:first|before\s+(?:that|this)) \b \s*,?\s*
  | \s*[,;.]\s* before\s+(?:that|this) \b \s*,?\s*"""
AFTER = r"""
    \s*,?\s* \b (?:only\s+)?
    (?: after | (?<!\bat\s) once (?!\s+(?:more|again|and\s+for\s+all)\b) | as\s+soon\s+as ) \b \s*,?\s*"""
AND = r"\s*,?\s* \b (?:and|but|while) \b \s*,?\s* | \s*[,:&]\s* | \s+-+\s+"
MOST = 4  # of AND that are looked at
SURE = 0.3  # doubt below which what stands beside AND is a task by itself
WHOLE = 0.1  # doubt below which a text may be one task all the same: "push the button, the lamp should go dark"
OPENING = r"^ (?:first(?:ly|\s+of\s+all)? | to\s+begin\s+with | begin\s+by | start\s+by | please) \b [\s,:]*"
CLOSING = r"\b (?:first | too | as\s+well | in\s+that\s+order) $"
ENDS = " .!?,;"
FIRST = r"^\s* first(?:ly)? \b | \b first \W* $"  # of a part that is not the first: it is done before the others


def steps(text: str, read: Read, taught: Callable[[str], bool] = lambda _: False) -> tuple[Sentence, ...]:
    """The instructions that a text names, in order; `InputError` where it names none, or more than is known.

    `taught` tells of a part whether it is a taught sentence, which is one task whatever is joined in it.
    """
    for joint in (BUT_FIRST, THEN, BEFORE, AFTER):
        parts = _in_order(_split(joint, text))
        known, unknown = _read_each(parts, read, taught) if len(parts) > 1 else ([], [])
        if known and unknown:
            raise InputError(
                f"the instruction {text[:80]!r} names several tasks, and of {unknown[0][:80]!r} none is known; "
                "nothing is done: give those that are known, or use other words"
            )
        if named := _several(list(reversed(known)) if _backwards(joint, text) else known):
            return named
    joints, alone = list(_compiled(AND).finditer(text)), set[str]()
    for one in joints if len(joints) <= MOST else []:
        parts = _in_order([text[: one.start()], text[one.end() :]])
        known, unknown = _read_each(parts, read, taught) if len(parts) > 1 else ([], [])
        alone |= {part.task for several in known for part in several if part.doubt < SURE}
        if not unknown and (named := _several(known)):
            sure = [one.doubt < SURE for one in named]
            if all(sure) and not _certain(text, read):
                return named
            if any(sure):
                raise InputError(
                    f"the instruction {text[:80]!r} may name several tasks, and not all for certain; nothing is done: "
                    "give them one after the other, or with 'then' between them"
                )
    whole = read(text)
    if whole.doubt >= WHOLE and alone - {whole.task}:
        raise InputError(
            f"the instruction {text[:80]!r} may name {whole.task!r}, and a part of it names "
            f"{', '.join(map(repr, sorted(alone - {whole.task})))}; nothing is done: give that part alone"
        )
    return (whole,)


def _certain(text: str, read: Read) -> bool:
    """Whether the text, read as one instruction, names a task for certain."""
    try:
        return read(text).doubt < WHOLE
    except InputError:
        return False


def _several(known: list[tuple[Sentence, ...]]) -> tuple[Sentence, ...]:
    """The instructions that were found, if they are of more than one task."""
    named = tuple(one for several in known for one in several)
    return named if len({one.task for one in named}) > 1 else ()


def _in_order(parts: list[str]) -> list[str]:
    """The parts without what counts them; one that says that it comes first does so."""
    later = [part for i, part in enumerate(parts) if not (i and _compiled(FIRST).search(part))]
    first = [part for part in parts if part not in later]
    return [bare for part in (*first, *later) if (bare := _bare(part))]


def _read_each(
    parts: list[str], read: Read, taught: Callable[[str], bool]
) -> tuple[list[tuple[Sentence, ...]], list[str]]:
    """What each part names, and the parts that name nothing known."""
    known, unknown = [], []
    for part in parts:
        try:
            known.append((read(part),) if taught(part) else steps(part, read, taught))
        except InputError:
            unknown.append(part)
    return known, unknown


def _backwards(joint: str, text: str) -> bool:
    """Whether what stands last is done first: "B, but first A" and "B after A", not "after A, B"; "before B, A"."""
    leads = _compiled(joint).match(text) is not None
    return joint == BUT_FIRST or (joint == AFTER and not leads) or (joint == BEFORE and leads)


def _split(joint: str, text: str) -> list[str]:
    """The parts beside the joint; what a leading one governs ends at the next comma."""
    parts = _compiled(joint).split(text.strip(ENDS))
    if joint in (BEFORE, AFTER) and len(parts) == 2 and not parts[0]:
        return parts[1].split(",", 1)
    return parts


def _bare(part: str) -> str:
    """Without what only counts the tasks: "first", "as well"."""
    return _compiled(CLOSING).sub("", _compiled(OPENING).sub("", part.strip()).rstrip(ENDS)).rstrip(ENDS)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.VERBOSE)
