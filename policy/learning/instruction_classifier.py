"""Learns to tell what was taught from what was not, and writes it into a model folder.

It is trained in minutes, on the taught sentences and on those that are made of them
(policy/learning/sentence_variants.py); policy/running/known_instructions.py reads it without torch.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save
from torch import Tensor, nn
from tqdm import tqdm

from policy.errors import InputError
from policy.learning.sentence_parts import joined, words
from policy.learning.sentence_variants import Variants
from policy.running.known_instructions import FILE, classifier_shapes, plain
from policy.running.text import TOKENS, WIDTH, Text

NETWORKS, W, Q, H = 4, 48, 6, 96  # see classifier_shapes
EPOCHS, BATCH, RATE, DECAY, DROPOUT, SMOOTHING = 15, 64, 2e-3, 1e-2, 0.2, 0.05
MOST = 180_000  # sentences that a network sees, each in every epoch; with many there are fewer epochs
UNKNOWN_SHARE = 0.72  # of the weight of all sentences, at most, that those have which name no task
COMPONENTS, LEAST_DEVIATION = 128, 0.15  # of a token's state that are learnt from
ALIKE = 0.62  # cosine from which a thing may be meant where another is named


def write(folder: Path, taught: list[tuple[str | None, str]]) -> None:
    """Write `instructions.safetensors` into a model folder, from pairs of task and sentence.

    A sentence without a task is a task of its own, unless one with a task says the same.
    """
    pairs = merged(taught)
    text = Text()
    tensors = train(pairs, text) | {"instructions": text.embed([sentence for _, sentence in pairs])}
    halves = {name: np.ascontiguousarray(tensor, np.float16) for name, tensor in tensors.items()}
    if broken := [name for name, tensor in halves.items() if not np.isfinite(tensor).all()]:
        raise RuntimeError(f"what tells {len(pairs)} taught sentences apart is not finite: {', '.join(broken)}")
    aside = folder / f".{FILE}.part"
    aside.write_bytes(save(halves, {"sentences": json.dumps(pairs)}))  # save_file's can be read by its owner alone
    aside.rename(folder / FILE)


def merged(taught: list[tuple[str | None, str]]) -> list[tuple[str, str]]:
    """Pairs of task and sentence, of which the same words in any case and punctuation name one task.

    `InputError` where they were taught as two: nothing tells such tasks apart.
    """

    def said(sentence: str) -> str:  # what neither the variants nor the robot tell apart
        return plain(joined(words(sentence)))

    tasks: dict[str, str] = {}
    for task, sentence in sorted((task, sentence) for task, sentence in taught if task):
        if (other := tasks.setdefault(said(sentence), task)) != task:
            raise InputError(
                f"the sentence {sentence!r} is taught as the task {other!r} and as {task!r}, and can name only one; "
                "give both tasks one label, or leave out the recordings that are labelled wrongly"
            )
    for _, sentence in taught:
        tasks.setdefault(said(sentence), plain(sentence))
    return sorted({(tasks[said(sentence)], sentence) for _, sentence in taught})


def train(pairs: list[tuple[str, str]], text: Text, seed: int = 0) -> dict[str, np.ndarray]:
    """The networks' tensors, from (task, sentence) pairs."""
    tasks = list(dict.fromkeys(task for task, _ in pairs))
    variants = Variants(pairs, _Alike(text), seed).sentences
    print(
        f"reads {len(variants)} sentences made of {len(pairs)} that were taught, to know what names no task", flush=True
    )
    read = text.read_all([sentence for sentence in variants if text.readable(sentence)])
    named = [variants[one.text] for one in read]
    labels = torch.tensor([len(tasks) if task is None else tasks.index(task) for task in named])
    longest = max(int(one.mask.sum()) for one in read)
    states = F.layer_norm(torch.from_numpy(np.stack([one.states[:longest] for one in read])), (WIDTH,))
    mask = torch.from_numpy(np.stack([one.mask[:longest] for one in read]))
    whitening = _Whitening(states[mask])
    states = whitening(states) * mask[..., None]
    weight = _weights(torch.bincount(labels, minlength=len(tasks) + 1).float())
    with _one_thread():
        seeds = tqdm(range(seed, seed + NETWORKS), desc="what names no task", unit="network")
        networks = [_fit(len(tasks), states, mask, labels, weight, i) for i in seeds]
    each = [whitening.unfolded(network) for network in networks]
    shapes = classifier_shapes(NETWORKS, WIDTH, W, Q, H, len(tasks))
    return {name: np.stack([one[name].reshape(shape[1:]) for one in each]) for name, shape in shapes.items()}


class _Network(nn.Module):
    """Attention pooling over the tokens beside their mean, then one hidden layer; P components of a token's state."""

    def __init__(self, components: int, tasks: int) -> None:
        super().__init__()
        self.token = nn.Linear(components, W)
        self.position = nn.Parameter(torch.zeros(TOKENS, W))
        self.attention = nn.Linear(W, Q, bias=False)
        self.mean = nn.Linear(components, W)
        self.hidden = nn.Linear(Q * W + W, H)
        self.out = nn.Linear(H, tasks + 1)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states (B, T, P), 0 where mask (B, T) is -> logits (B, K + 1)."""
        mean = states.sum(1) / mask.sum(1, keepdim=True)
        states = self.drop(states)
        token = F.relu(self.token(states) + self.position[: states.shape[1]])
        scores: Tensor = self.attention(token).masked_fill(~mask[..., None], -torch.inf).softmax(1)
        pooled = torch.einsum("btq,btw->bqw", scores, token).flatten(1)
        both = torch.cat([pooled, F.relu(self.mean(mean))], 1)
        logits: Tensor = self.out(self.drop(F.relu(self.hidden(both))))
        return logits


class _Whitening:
    """The largest components of token states (N, D), of about unit variance: faster to learn from."""

    def __init__(self, states: Tensor) -> None:
        self.centre = states.mean(0)
        centred = states - self.centre
        vectors, values, _ = torch.linalg.svd(centred.T @ centred / len(states))
        self.matrix = vectors[:, :COMPONENTS] / values[:COMPONENTS].sqrt().clamp_min(LEAST_DEVIATION)

    def __call__(self, states: Tensor) -> Tensor:
        components: Tensor = (states - self.centre) @ self.matrix
        return components

    def unfolded(self, network: _Network) -> dict[str, np.ndarray]:
        """The tensors of a network that reads the states themselves."""
        tensors = {name.removesuffix(".parameter"): value.detach() for name, value in network.named_parameters()}
        for name in ("token", "mean"):
            weight = self.matrix @ tensors[f"{name}.weight"].T
            tensors[f"{name}.bias"] = tensors[f"{name}.bias"] - self.centre @ weight
            tensors[f"{name}.weight"] = weight
        for name in ("attention", "hidden", "out"):
            tensors[f"{name}.weight"] = tensors[f"{name}.weight"].T
        return {name: value.numpy() for name, value in tensors.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads only wait for each other in networks as small as these: one is ten times faster where others run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _weights(counts: Tensor) -> Tensor:
    """Weights (K + 1,) from the number of sentences of each task and of none: tasks weigh alike, none its share."""
    known = counts[:-1]
    weight = known.mean() / known
    unknown = min(1.0, float(UNKNOWN_SHARE / (1 - UNKNOWN_SHARE) * known.sum() / counts[-1]))
    return torch.cat([weight, torch.tensor([unknown])])


def _fit(tasks: int, states: Tensor, mask: Tensor, labels: Tensor, weight: Tensor, seed: int) -> _Network:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = _Network(states.shape[-1], tasks)
        optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        batches, epochs = max(1, len(labels) // BATCH), min(EPOCHS, max(1, MOST // len(labels)))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=epochs * batches + 1)
        for _ in range(epochs):
            for chosen in torch.split(torch.randperm(len(labels)), BATCH)[:batches]:
                logits = network(states[chosen], mask[chosen])
                loss = F.cross_entropy(logits, labels[chosen], weight, label_smoothing=SMOOTHING)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
                optimiser.step()
                schedule.step()
    return network


class _Alike:
    """Whether a thing may be meant where one of some others is named, by the cosine of their names."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, thing: str, others: frozenset[str]) -> bool:
        new = [word for word in {thing, *others} if word not in self._known]
        self._known |= {
            word: one.pooled for word, one in zip(new, self._text.read_all([f"the {w}" for w in new]), strict=True)
        }
        return any(float(self._known[thing] @ self._known[other]) > ALIKE for other in others)
