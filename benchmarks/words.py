"""What a policy makes of sentences, without moving: which it takes for a task, and which it refuses.

python -m benchmarks.words models/tabletop                   the frozen sentences of the world
python -m benchmarks.words models/tabletop --development     those that its refusal was developed on

reworded, new_words, order   a task in other words      known as that task
negated                      "don't ..."                 refused
near_misses, far             what is not there           refused
pairs                        two tasks in one sentence   both in their order, or refused
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import yaml

from policy.errors import InputError, exit_code
from policy.running.session import Session
from sim.success_rate import wilson_interval
from sim.worlds import load

Sets = dict[str, list[tuple[str, tuple[str, ...]]]]  # name -> (sentence, the tasks that it names)


class Read(NamedTuple):
    """A sentence and what was made of it."""

    sentence: str
    meant: tuple[str, ...]  # tasks; none where it is to be refused
    named: tuple[str, ...]  # none where it was refused

    @property
    def wrong(self) -> bool:
        """It was taken for what it does not mean; to refuse is never wrong."""
        return bool(self.named) and self.named != self.meant


def frozen(world: str, known: set[str]) -> Sets:
    """The frozen sentences of a world whose tasks are all known."""
    tasks, sentences = load(world).tasks, load(world).sentences
    sets: Sets = {
        "reworded": [(text, (name,)) for name, task in tasks.items() for text in task.reworded],
        "new_words": [(text, (name,)) for name, task in tasks.items() for text in task.new_words],
        "order": [(text, (name,)) for name, texts in sentences.order.items() for text in texts],
        "negated": [(text, ()) for text in sentences.negated],
        "near_misses": [(text, ()) for text in sentences.near_misses],
        "pairs": [(text, tuple(pair)) for text, pair in sentences.pairs.items()],
    }
    return {name: [one for one in texts if known.issuperset(one[1])] for name, texts in sets.items()}


def development() -> Sets:
    """The sentences that the refusal was developed on; none is among the frozen ones."""
    raw = yaml.safe_load(Path(__file__).with_name("words_development.yaml").read_text())
    tasks: Sets = {
        name: [(text, (task,)) for task, texts in raw[name].items() for text in texts]
        for name in ("reworded", "new_words", "not_negated")
    }
    refused: Sets = {name: [(text, ()) for text in raw[name]] for name in ("negated", "near_misses", "far")}
    return tasks | refused | {"pairs": [(text, tuple(pair)) for text, pair in raw["pairs"].items()]}


def read(session: Session, sentence: str, meant: tuple[str, ...]) -> Read:
    """What a session makes of a sentence."""
    try:
        return Read(sentence, meant, tuple(one.task for one in session.steps(sentence)))
    except InputError:
        return Read(sentence, meant, ())


def main() -> None:
    """Read all, and print a table; with --list also what was refused or taken for something else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="models/tabletop")
    parser.add_argument("--world", default="tabletop")
    parser.add_argument("--development", action="store_true", help="not the frozen sentences")
    parser.add_argument("--list", action="store_true", help="the sentences, too")
    args = parser.parse_args()
    session = Session(args.model, threads=1, provider="cpu")
    known = set(session.tasks)
    if not known:
        raise InputError(f"{args.model} does not know what it was taught: give a switching policy")
    print("| set | sentences | refused | 95 % | taken for what they do not mean | 95 % |", "| --- " * 6 + "|", sep="\n")
    listed = []
    for name, texts in (development() if args.development else frozen(args.world, known)).items():
        results = [read(session, *one) for one in texts]
        refused, wrong = sum(not one.named for one in results), sum(one.wrong for one in results)
        n = len(results)
        print(f"| `{name}` | {n} | {refused} | {_interval(refused, n)} | {wrong} | {_interval(wrong, n)} |")
        listed += [(name, one) for one in results if one.wrong or (one.meant and not one.named)]
    for name, one in listed if args.list else []:
        print(f"{name}: {one.sentence!r} -> {' then '.join(one.named) or 'refused'}")


def _interval(count: int, of: int) -> str:
    low, high = wilson_interval(count, of)
    return f"{100 * low:.1f} to {100 * high:.1f} %"


if __name__ == "__main__":
    sys.exit(exit_code(main))
