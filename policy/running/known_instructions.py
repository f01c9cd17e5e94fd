"""Which of the tasks that were taught an instruction names, if any: `instructions.safetensors` of a model folder.

    states (L, D) of the sentence's tokens -> several small networks -> probability of each task (K,), and of none

Networks and sentences are written by policy/learning/instruction_classifier.py. Numpy only, about a millisecond.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from policy.errors import InputError
from policy.running.negation import negations
from policy.running.text import TOKENS, Sentence

FILE = "instructions.safetensors"
DOUBT = 0.8  # probability of naming no task above which an instruction is refused; chosen on development sentences
NEAREST = 3  # sentences that a refusal names
SWAPPED, MISSING, ANOTHER = 3, 4, 6  # letters of a word from which on a slip of each kind is taken for one
LONGEST = 80  # characters of an instruction in a message
TEACH_AGAIN = "export the model again with `python -m policy.export <run> --out <folder>`"


class KnownInstructions:
    """The taught sentences with their tasks, and what tells others apart; `InputError` for a file without them.

    N sentences, K tasks, E networks, D width and L tokens of a sentence, W width, Q queries and H hidden units.
    """

    def __init__(self, folder: Path, width: int, likeness: float) -> None:
        self._least = likeness
        path = folder / FILE
        try:
            with safe_open(path, "numpy") as file:
                pairs = json.loads(file.metadata()["sentences"])
                self._w = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
            self.taught = [(str(task), str(sentence)) for task, sentence in pairs]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read ({type(error).__name__}: {error}); the folder of a switching policy holds "
                f"what it was taught to do: {TEACH_AGAIN}"
            ) from None
        self.tasks = list(dict.fromkeys(task for task, _ in self.taught))
        self._check(path, width)
        self._exact = {plain(sentence): task for task, sentence in self.taught}
        words = {word for sentence in self._exact for word in sentence.split()}
        self._words = {word for word in words if not negations(word)}  # "stow" is no slip of "stop"
        self._negations = {task: frozenset[tuple[str, str]]() for task in self.tasks}
        for task, sentence in self.taught:
            self._negations[task] |= negations(sentence)

    def taught_as_one(self, text: str) -> bool:
        """Whether a text is a taught sentence, and so one task whatever is joined in it."""
        return plain(text) in self._exact

    def read(self, sentence: Sentence) -> Sentence:
        """The sentence with its task; `InputError` where it names none, forbids one, or may be misspelt."""
        if (task := self._exact.get(plain(sentence.text))) is not None:
            return replace(sentence, task=task)
        probabilities = self.probabilities(sentence)
        task = self.tasks[int(probabilities[:-1].argmax())]
        if forbids := sorted({word for word, _ in negations(sentence.text) - self._negations[task]}):
            raise InputError(
                f"the instruction {sentence.text[:LONGEST]!r} forbids something "
                f"({', '.join(map(repr, forbids))}), and a policy can only do what an instruction names; "
                "nothing is done: give an instruction that names what is to be done, or 'continue'"
            )
        said = plain(sentence.text).split()  # without the "needn" of "needn't"
        rare = [word.lower() for word in sentence.rare if word.lower() in said]
        if misspelt := {word: near for word in rare if (near := self._misspelt(word))}:
            raise InputError(
                f"the instruction {sentence.text[:LONGEST]!r} has words that may be misspelt ("
                + ", ".join(f"{word!r}: did you mean {near!r}?" for word, near in misspelt.items())
                + "), and a policy may take it for the opposite; nothing is done: say it again"
            )
        likeness = float((self._w["instructions"] @ sentence.pooled).max())
        if likeness < self._least or probabilities[-1] > DOUBT:
            raise InputError(
                f"unknown instruction {sentence.text[:LONGEST]!r}: it names none of the {len(self.tasks)} tasks that "
                f"were taught, of which the nearest are {self._nearest(sentence)}; use words like these, or teach it"
            )
        return replace(sentence, task=task, doubt=float(probabilities[-1]))

    def probabilities(self, sentence: Sentence) -> np.ndarray:
        """Of each task, and last of none of them, (K + 1,): the mean over the networks."""
        w = self._w
        x = sentence.states[sentence.mask]  # (T, D)
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-5))
        token = np.maximum(x @ w["token.weight"] + w["token.bias"] + w["position"][:, : len(x)], 0)  # (E, T, W)
        scores = np.exp(token @ w["attention.weight"])  # (E, T, Q)
        pooled = (scores / scores.sum(1, keepdims=True)).swapaxes(1, 2) @ token  # (E, Q, W)
        mean = np.maximum(x.mean(0, keepdims=True) @ w["mean.weight"] + w["mean.bias"], 0)  # (E, 1, W)
        h = np.concatenate([pooled.reshape(len(pooled), 1, -1), mean], -1)
        h = np.maximum(h @ w["hidden.weight"] + w["hidden.bias"], 0) @ w["out.weight"] + w["out.bias"]  # (E, 1, K + 1)
        h = np.exp(h - h.max(-1, keepdims=True))
        probabilities: np.ndarray = (h / h.sum(-1, keepdims=True)).mean((0, 1))
        return probabilities

    def _misspelt(self, word: str) -> str:
        """The taught word that one slip of the fingers turns into this one, "" where there is none."""
        if word in self._words or (word[-1] in "sd" and word[:-1] in self._words):  # "knobs", "moved"
            return ""
        slips = [(slip, known) for known in self._words if (slip := _slip(word, known))]
        return min(slips, default=(0, ""))[1]

    def _nearest(self, sentence: Sentence) -> str:
        """Taught sentences of the nearest tasks."""
        order = np.argsort(-(self._w["instructions"] @ sentence.pooled))
        nearest = {self.taught[i][0]: self.taught[i][1] for i in reversed(order)}  # of each task the nearest is last
        return ", ".join(repr(nearest[task]) for task in list(reversed(nearest))[:NEAREST])

    def _check(self, path: Path, width: int) -> None:
        """Every tensor is there, finite, with the shape that the others call for."""
        shapes = {name: tensor.shape for name, tensor in self._w.items()}
        e, d, w = shapes.get("token.weight", (0, 0, 0))
        q, h = shapes.get("attention.weight", (0, 0, 0))[-1], shapes.get("hidden.weight", (0, 0, 0))[-1]
        expected = {"instructions": (len(self.taught), width)} | classifier_shapes(e, width, w, q, h, len(self.tasks))
        if shapes != expected or not self.taught or d != width:
            wrong = sorted(n for n in {*shapes, *expected} if shapes.get(n) != expected.get(n))
            what = "; ".join(f"{n}: {shapes.get(n, 'none')}, expected {expected.get(n, 'none')}" for n in wrong[:3])
            raise InputError(f"{path} does not hold {len(self.taught)} taught sentences ({what}); {TEACH_AGAIN}")
        if broken := sorted(name for name, tensor in self._w.items() if not np.isfinite(tensor).all()):
            # not a number is above no doubt: whatever is said would be taken for the first task
            raise InputError(f"{path} holds numbers that are not finite ({', '.join(broken[:3])}); {TEACH_AGAIN}")


def classifier_shapes(e: int, d: int, w: int, q: int, h: int, k: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the networks' tensors, by name."""
    return {
        "token.weight": (e, d, w),
        "token.bias": (e, 1, w),
        "position": (e, TOKENS, w),
        "attention.weight": (e, w, q),
        "mean.weight": (e, d, w),
        "mean.bias": (e, 1, w),
        "hidden.weight": (e, q * w + w, h),
        "hidden.bias": (e, 1, h),
        "out.weight": (e, h, k + 1),
        "out.bias": (e, 1, k + 1),
    }


def _slip(word: str, known: str) -> int:
    """Which slip of the fingers turns a known word into this one, the likeliest first; 0 if it takes another one.

        1  two neighbours that changed places   opne
        2  a letter missing or too much         blok, drawerr    of four letters and more, not the first
        3  another letter                       drawar           of six and more, not the first

    Others are words of their own too often: "nudge" and "budge", "stow" and "snow", "cyan" and "can".
    """
    at = next((i for i, (x, y) in enumerate(zip(word, known, strict=False)) if x != y), min(len(word), len(known)))
    here, there = word[at:], known[at:]
    if len(known) >= SWAPPED and here[:2] == there[1::-1] and here[2:] == there[2:]:
        return 1
    if at == 0:
        return 0
    if len(known) >= MISSING and len(word) != len(known) and (here[1:] == there or here == there[1:]):
        return 2
    return 3 if len(known) >= ANOTHER and len(word) == len(known) and here[1:] == there[1:] else 0


def plain(sentence: str) -> str:
    """The words alone, in lower case."""
    return " ".join(re.findall(r"[\w'-]+", sentence.lower().replace("\u2019", "'")))
