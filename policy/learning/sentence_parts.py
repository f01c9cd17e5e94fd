"""The parts of a sentence that decide which task it names: colours, directions, things and how they stand together.

"put the red block in the bowl"    red: colour | block: thing | in: relation | bowl: thing
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Form = tuple[tuple[str, int | str], ...]  # kind and row of each part
DETERMINERS = ("the", "a", "an", "that", "this")


class Part(NamedTuple):
    """Words `start` .. `end` of a sentence, and the row of the word lists that they are of; for a thing the word."""

    start: int
    end: int
    kind: str  # "colour", "direction", "relation", "opposite" or "thing"
    row: int | str


@dataclass(frozen=True, slots=True)
class WordLists:
    """policy/learning/word_lists.yaml."""

    rows: dict[str, list[list[str]]] = field(default_factory=dict)  # words of one row mean the same
    words: dict[str, list[str]] = field(default_factory=dict)

    @property
    def abstract(self) -> frozenset[str]:
        """Heads of phrases that are no things, as in "the end of the rail"."""
        return frozenset(self.words["abstract"])


@cache
def word_lists() -> WordLists:
    """The word lists that come with the package."""
    raw: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("word_lists.yaml").read_text())
    rows = {key: value for key, value in raw.items() if isinstance(value, list)}
    texts = {key: value for key, value in raw.items() if isinstance(value, str)}
    split = {key: re.split(r"\s*;\s*" if ";" in value else r"\s+", value.strip()) for key, value in texts.items()}
    return WordLists(rows, {key: [" ".join(entry.split()) for entry in value] for key, value in split.items()})


def words(sentence: str) -> list[str]:
    """The words and marks of a sentence, in lower case."""
    return re.findall(r"[a-z0-9'-]+|[^\sa-z0-9'-]", sentence.lower().replace("\u2019", "'"))


def joined(parts: list[str]) -> str:
    """The sentence of these words."""
    return re.sub(r" ([,.;:!?])", r"\1", " ".join(parts))


class Parsed:
    """A sentence with its parts; `things` are the words that are known to be things."""

    def __init__(self, sentence: str, things: frozenset[str]) -> None:
        self.words = words(sentence)
        self.phrases = self._noun_phrases(things)  # (start, end) of "the red block"
        heads = {end - 1 for _, end in self.phrases if self.words[end - 1] not in word_lists().abstract}
        self.parts = self._parts(heads, things)

    def form(self, synonyms: dict[str, str], *kinds: str) -> Form:
        """The parts of some kinds in order, things by their synonym: what two sentences of one task share."""
        return tuple(
            (part.kind, synonyms.get(str(part.row), part.row) if part.kind == "thing" else part.row)
            for part in self.parts
            if part.kind in kinds
        )

    def beside(self, part: Part) -> tuple[str, ...]:
        """The other words that say something, and where the part stands among them."""
        function = word_lists().words["function"]
        return tuple(
            "" if at == part.start else word
            for at, word in enumerate(self.words)
            if at == part.start or word not in function
        )

    def replaced(self, start: int, end: int, by: str) -> str:
        """The sentence with other words in place of some."""
        return joined([*self.words[:start], *words(by), *self.words[end:]])

    def _noun_phrases(self, things: frozenset[str]) -> list[tuple[int, int]]:
        lists, found = word_lists(), []
        ending = {*lists.words["function"], *lists.words["imperatives"]} - {"one"}
        for start in (at for at, word in enumerate(self.words) if word in DETERMINERS):
            end = start + 1
            while end < len(self.words) and self.words[end].isalpha() and self.words[end] not in ending:
                end += 1
            # "the drawer shut": the last word is how it is to be, not what it is
            while end - start > 2 and self.words[end - 1] in {"shut", "closed", "open", "left", "right"}:
                end -= 1
            # "the lamp burning": what follows a thing that is known is no part of it
            end = next((at for at in range(end, start + 1, -1) if self.words[at - 1] in things), end)
            if end > start + 1:
                found.append((start, end))
        return found

    def _parts(self, heads: set[int], things: frozenset[str]) -> list[Part]:
        parts, at, table = [], 0, _table()
        while at < len(self.words):
            longest = min(3, len(self.words) - at)
            phrases = ((n, " ".join(self.words[at : at + n])) for n in range(longest, 0, -1))
            n, kind, row = next(((n, *table[phrase]) for n, phrase in phrases if phrase in table), (1, "", 0))
            if kind not in ("colour", "direction") and (at in heads or self.words[at] in things):
                n, kind = 1, "thing"
            if kind:
                parts.append(Part(at, at + n, kind, self.words[at] if kind == "thing" else row))
            at += n
        return parts


def things(sentences: Iterable[str]) -> frozenset[str]:
    """What the sentences speak of: what stands last in "the block" or "the red block".

    The last word of other phrases, such as "the wooden box", is one only where no word in them is known as a thing:
    "the lamp burning" is about a lamp.
    """
    colours = {word for row in word_lists().rows["colours"] for word in row}
    known, others = set[str](), []
    for sentence in sentences:
        parsed = Parsed(sentence, frozenset())
        for start, end in parsed.phrases:
            if parsed.words[end - 1] not in word_lists().abstract:
                plain = colours.issuperset(parsed.words[start + 1 : end - 1])
                known.add(parsed.words[end - 1]) if plain else others.append(parsed.words[start + 1 : end])
    return frozenset(known | {phrase[-1] for phrase in others if not known.intersection(phrase)})


@cache
def _table() -> dict[str, tuple[str, int]]:
    """Phrase -> kind and row."""
    rows = word_lists().rows
    opposites = {w: ("opposite", 2 * i + (w != row[0])) for i, row in enumerate(rows["opposites"]) for w in row}
    kinds = {"relation": rows["relations"], "direction": rows["directions"], "colour": rows["colours"]}
    return opposites | {w: (kind, i) for kind, table in kinds.items() for i, row in enumerate(table) for w in row}
