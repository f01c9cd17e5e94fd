"""Sentences like those that were taught: some still name the same task, most name none that is known.

    taught     put the red block in the bowl
    the same   could you place the crimson block inside the bowl
    none       put the yellow block in the bowl      another colour, direction, thing, relation
               wash the red block                    another doing
               don't put the red block in the bowl   negated
               put the red block in the bowl and then open the drawer

They are what the refusal of unknown instructions is trained on, beside what was taught.
"""

import itertools
import random
from collections.abc import Callable, Iterable
from functools import cache
from typing import TypeVar

from policy.learning.sentence_parts import Form, Parsed, Part, joined, things, word_lists, words

POLITE, SYNONYMS, PHRASES, OTHERS, THINGS, ACTIONS, NEGATED, JOINED = (
    4,
    4,
    2,
    3,
    3,
    3,
    3,
    2,
)  # made of each sentence or part
FEW, ROUNDS = 100, 4  # of fewer taught sentences more are made, up to four times
COURTEOUS = 0.25  # share of the sentences that name nothing and are put politely

T = TypeVar("T")
Alike = Callable[[str, frozenset[str]], bool]  # whether a word means about the same as one of these


class Variants:
    """Sentences made of those that were taught, with the task that each names, None where it names none."""

    def __init__(self, taught: list[tuple[str, str]], alike: Alike, seed: int = 0) -> None:
        self.sentences: dict[str, str | None] = {}
        self._rng, self._lists = random.Random(seed), word_lists()
        self._taught = {joined(words(sentence)): task for task, sentence in taught}
        self._things = things(self._taught)
        self._parsed = [(task, Parsed(sentence, self._things)) for sentence, task in self._taught.items()]
        vocabulary = {word for _, parsed in self._parsed for word in parsed.words}
        self._others = [
            thing
            for thing in self._lists.words["things"]
            if not vocabulary & set(thing.split()) and not alike(thing, self._things)
        ]
        self._known_things = self._things | {thing for thing in self._lists.words["things"] if " " not in thing}
        self._synonyms = _synonyms(self._parsed)
        self._used: dict[str, set[int | str]] = {}  # rows of the word lists, by kind
        for part in (part for _, parsed in self._parsed for part in parsed.parts):
            self._used.setdefault(part.kind, set()).add(part.row)
        self._thing = cache(self._thing_of)  # of few phrases, each compared with every sentence
        self._forms = {self._form(parsed) for _, parsed in self._parsed}
        self._outlines = {self._outline(parsed) for _, parsed in self._parsed}
        self._phrases = sorted({joined(p.words[a:b]) for _, p in self._parsed for a, b in self._noun_phrases(p)})
        self._same_things: dict[tuple[str, Form], list[str]] = {}  # of a task: phrases of one colour and one thing
        for task, phrase in sorted(
            {(t, joined(p.words[a:b])) for t, p in self._parsed for a, b in self._noun_phrases(p)}
        ):
            self._same_things.setdefault((task, self._thing(phrase)), []).append(phrase)
        alone = {p.words[0] for _, p in self._parsed if len(p.phrases) < 2}
        self._actions = [action for action in self._lists.words["actions"] if action.split()[0] not in alone]
        for task, parsed in self._parsed:
            self.sentences[joined(parsed.words)] = task
        rounds = self._parsed * min(ROUNDS, -(-FEW // len(self._parsed)))
        for task, parsed in rounds:
            self._same(task, parsed)
            self._another_part(parsed)
            self._another_doing(parsed)
            self._negated(parsed)
            self._joined(task, parsed)
        self._unrelated()
        for task, parsed in rounds:
            for sentence in self._fronted(parsed):
                self._add(sentence, task)
            self._joined(task, parsed)
        for _, parsed in rounds:
            self._coordinated(parsed)
        for phrase in self._phrases:
            self._add_unknown(joined(words(phrase)[1:]))  # "drawer": nothing is said of what to do with it

    def _add(self, sentence: str, task: str | None) -> None:
        self.sentences.setdefault(joined(words(sentence)), task)

    def _add_unknown(self, sentence: str, checked: bool = True) -> None:
        """A sentence that names no task, unless its parts are those of one that was taught."""
        sentence = joined(words(sentence))
        if sentence in self._taught or (checked and self._form(Parsed(sentence, self._known_things)) in self._forms):
            return
        if checked and self._rng.random() < COURTEOUS:
            sentence = self._rng.choice(self._lists.words["addressed"]).format(sentence)
        self._add(sentence, None)

    # -- the same task

    def _same(self, task: str, parsed: Parsed) -> None:
        core = joined(parsed.words)
        imperative = parsed.words[0] in self._lists.words["imperatives"]
        frames = self._lists.words["polite" if imperative else "addressed"]
        for frame in self._some(frames, POLITE if imperative else POLITE // 2):
            self._add(frame.format(core), task)
        for sentence in self._reworded(task, parsed):
            polite = imperative and self._rng.random() < COURTEOUS
            self._add(self._rng.choice(frames).format(sentence) if polite else sentence, task)

    def _reworded(self, task: str, parsed: Parsed) -> Iterable[str]:
        """With other words that mean the same."""
        for part in parsed.parts:
            if part.kind in ("colour", "direction"):
                for word in self._some(self._lists.rows[f"{part.kind}s"][int(part.row)], 2):
                    yield parsed.replaced(part.start, part.end, word)
        for start, end in self._noun_phrases(parsed):
            phrase = joined(parsed.words[start:end])
            for other in self._some(self._same_things[task, self._thing(phrase)], PHRASES):
                yield parsed.replaced(start, end, other)
        own = self._form(parsed)
        for at, n in itertools.product(range(len(parsed.words)), (2, 1)):
            phrase = " ".join(parsed.words[at : at + n])
            for row in self._lists.rows["synonyms"]:
                if phrase in row[:6] and at + n <= len(parsed.words):
                    for word in self._some([w for w in row if w != phrase], SYNONYMS):
                        sentence = parsed.replaced(at, at + n, word)
                        if self._form(Parsed(sentence, self._known_things)) not in self._forms - {own}:
                            yield sentence

    def _fronted(self, parsed: Parsed) -> Iterable[str]:
        """With the place first: "in the bowl, put the red block"; which on which is not told by what comes first."""
        if len(parsed.phrases) == 2:
            (first, end), (second, last), words = *parsed.phrases, parsed.words
            imperative = first == 1 and last == len(words) and words[0] in self._lists.words["imperatives"]
            between = [(part.start, part.end) for part in parsed.parts if part.kind == "relation"]
            if imperative and second == end + 1 and (end, second) in between:
                yield joined([*words[end:], ",", *words[:end]])

    # -- none

    def _another_part(self, parsed: Parsed) -> None:
        for part in parsed.parts:
            for word in self._instead(part):
                sentence = parsed.replaced(part.start, part.end, word)
                known = Parsed(sentence, self._known_things)
                if part.kind not in ("colour", "direction") or self._outline(known) not in self._outlines:
                    self._add_unknown(sentence)
        if len(parsed.phrases) == 2:  # the red block on the blue block: the blue block on the red block
            (a, b), (c, d) = parsed.phrases
            w = parsed.words
            self._add_unknown(joined([*w[:a], *w[c:d], *w[b:c], *w[a:b], *w[d:]]))

    def _instead(self, part: Part) -> list[str]:
        """Other words of the same kind."""
        if part.kind == "thing":
            return [*self._some(self._others, THINGS), self._rng.choice(sorted(self._things))]
        rows = self._lists.rows[f"{part.kind}s"]
        if part.kind == "opposite":
            row = rows[int(part.row) // 2]
            return [row[1] if int(part.row) % 2 == 0 else row[0]]
        if part.kind == "relation":
            return [self._rng.choice([row[0] for row in rows[2:] if row != rows[int(part.row)]])]
        used = self._used[part.kind]
        unused = self._some([row for i, row in enumerate(rows) if i not in used], OTHERS)
        taught = [rows[i] for i in sorted(int(row) for row in used) if i != part.row]
        return [self._rng.choice(row[:2]) for row in unused] + [row[0] for row in taught]

    def _another_doing(self, parsed: Parsed) -> None:
        for start, end in self._noun_phrases(parsed):
            phrase = joined(parsed.words[start:end])
            for action in self._some(self._actions, ACTIONS):
                self._add_unknown(f"{action} {phrase}")
            move = self._rng.choice(["put", "move", "push", "place", "slide", "drop"])
            self._add_unknown(f"{move} {phrase} {self._rng.choice(self._lists.words['places'])}")
            self._add_unknown(parsed.replaced(start, end, self._rng.choice(self._phrases)))
            self._add_unknown(self._rng.choice(self._lists.words["left_alone"]).format(phrase))

    def _negated(self, parsed: Parsed) -> None:
        core = joined(parsed.words)
        for frame in self._some(self._lists.words["negated"], NEGATED):
            self._add_unknown(frame.format(core), checked=False)
        for asserts, denies in self._lists.rows["negated_clauses"]:
            if f" {asserts} " in f" {core} ":
                self._add_unknown(f" {core} ".replace(f" {asserts} ", f" {denies} ", 1), checked=False)
                return

    def _joined(self, task: str, parsed: Parsed) -> None:
        core, frames = joined(parsed.words), self._lists.words["joined"]
        for other_task, parsed_other in self._some(self._parsed, JOINED):
            if other_task != task:
                self._add_unknown(self._rng.choice(frames).format(core, joined(parsed_other.words)), checked=False)
        doing = f"{self._rng.choice(self._actions)} the {self._rng.choice(self._lists.words['things'])}"
        for other in (doing, self._rng.choice(self._lists.words["unrelated"])):
            self._add_unknown(self._rng.choice(frames).format(core, other), checked=False)

    def _coordinated(self, parsed: Parsed) -> None:
        """Two things where one was taught: "put the red block and the green block in the bowl"."""
        for start, end in self._noun_phrases(parsed):
            phrase = joined(parsed.words[start:end])
            others = [other for other in self._phrases if self._thing(other) != self._thing(phrase)]
            for other in self._some(others, 1):
                both = self._rng.choice(("{} and {}", "both {} and {}", "{} as well as {}")).format(phrase, other)
                self._add_unknown(parsed.replaced(start, end, both), checked=False)

    def _unrelated(self) -> None:
        for sentence in self._lists.words["unrelated"]:
            self._add_unknown(sentence)
        doings = [*self._actions, *self._lists.words["moves"]]
        for thing in self._others:
            self._add_unknown(f"{self._rng.choice(doings)} the {thing}")
            self._add_unknown(f"put the {thing} {self._rng.choice(self._lists.words['places'])}")
        for phrase in self._phrases:
            self._add_unknown(phrase)

    # -- parts

    def _noun_phrases(self, parsed: Parsed) -> list[tuple[int, int]]:
        return [(a, b) for a, b in parsed.phrases if parsed.words[b - 1] not in self._lists.abstract]

    def _thing_of(self, phrase: str) -> Form:
        return Parsed(phrase, self._things).form(self._synonyms, "colour", "thing")

    def _form(self, parsed: Parsed) -> Form:
        return parsed.form(self._synonyms, "colour", "direction", "thing", "relation", "opposite")

    def _outline(self, parsed: Parsed) -> Form:
        return parsed.form(self._synonyms, "colour", "direction", "opposite")

    def _some(self, of: list[T], n: int) -> list[T]:
        return self._rng.sample(of, min(n, len(of)))


def _synonyms(parsed: list[tuple[str, Parsed]]) -> dict[str, str]:
    """Things that stand for each other: thing -> one of them.

    Those of the word lists do, and those that two sentences of one task have where all else in them is the same, as
    "drop the red cube in the bowl" and "drop the red block into the bowl".
    """
    stands_for: dict[str, str] = {}

    def one(thing: str) -> str:
        while thing in stands_for:
            thing = stands_for[thing]
        return thing

    same: dict[tuple[str, ...], set[str]] = {}
    for task, sentence in parsed:
        for part in sentence.parts:
            if part.kind == "thing":
                same.setdefault((task, *sentence.beside(part)), set()).add(str(part.row))
    things = {str(part.row) for _, sentence in parsed for part in sentence.parts if part.kind == "thing"}
    rows = [things.intersection(row) for row in word_lists().rows["synonyms"]]
    for alike in [*same.values(), *rows]:
        for a, b in itertools.pairwise(sorted(alike)):
            if one(a) != one(b):
                stands_for[one(a)] = one(b)
    return {thing: one(thing) for thing in stands_for}
