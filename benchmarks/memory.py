"""What sequence mixers remember and what a step costs, each beside the others in one run.

python -m benchmarks.memory

recall   A cue is seen in the first of 256 frames of noise; the last frame names it: 4 cues, 25 % by chance.
step     One step of the exported graph after 64 and after 4096 frames of past, ONNX Runtime, 1 thread, batch 1.
         Attention holds the whole past as its state; the others' state has one size.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from policy.errors import exit_code
from policy.learning.interfaces import SequenceMixer
from policy.learning.sequence_mixers import SEQUENCE_MIXERS
from sim.success_rate import success_rate

CUES, FRAMES, WIDTH = 4, 256, 64
NOISE = 8  # numbers of each observation beside the cue


class Recall(nn.Module):
    """Observation of each frame -> feature -> sequence mixer -> which cue was seen in the first."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.read, self.name_it = nn.Linear(CUES + NOISE, WIDTH), nn.Linear(WIDTH, CUES)
        self.mixer = SEQUENCE_MIXERS[name](SEQUENCE_MIXERS[name].Settings(), WIDTH, FRAMES)

    def forward(self, observations: Tensor) -> Tensor:
        """(B, T, CUES + NOISE) to logits (B, CUES) at the last frame."""
        is_first = torch.zeros(observations.shape[:2], dtype=torch.bool)
        is_first[:, 0] = True
        logits: Tensor = self.name_it(self.mixer(self.read(observations), is_first)[:, -1])
        return logits


def recordings(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Observations (count, FRAMES, CUES + NOISE) and the cue (count,) that the first frame shows."""
    cue = torch.randint(CUES, (count,), generator=generator)
    observations = torch.cat(
        [torch.zeros(count, FRAMES, CUES), torch.randn(count, FRAMES, NOISE, generator=generator)], 2
    )
    observations[torch.arange(count), 0, cue] = 1.0
    return observations, cue


def recall(name: str, steps: int, batch: int) -> dict[str, object]:
    """Train on `steps` batches and count 400 recordings that training has not seen."""
    torch.manual_seed(0)
    generator, model = torch.Generator().manual_seed(1), Recall(name)
    optimizer, begun = torch.optim.AdamW(model.parameters(), 2e-3), time.monotonic()
    for step in tqdm(range(steps), desc=name, unit="batch", leave=False):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (1 - step / steps)
        observations, cue = recordings(batch, generator)
        loss = F.cross_entropy(model(observations), cue)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    observations, cue = recordings(400, torch.Generator().manual_seed(1_000_000))
    with torch.no_grad():
        right = torch.cat([model(part) for part in torch.split(observations, 50)]).argmax(1) == cue
    return success_rate({"success": bool(r)} for r in right) | {"minutes": round((time.monotonic() - begun) / 60, 1)}


class Step(nn.Module):
    """The step form as a function of positional tensors."""

    def __init__(self, mixer: SequenceMixer) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """x (1, WIDTH) and the state to the feature and the state after it."""
        x, *values = inputs
        x, state = self.mixer.step(x, dict(zip(self.mixer.state, values, strict=True)))
        return (x, *(state[name] for name in self.mixer.state))


def step_ms(name: str, past: int) -> float:
    """Median milliseconds of a step after `past` frames."""
    torch.manual_seed(0)
    mixer = SEQUENCE_MIXERS[name](SEQUENCE_MIXERS[name].Settings(), 256, past).eval()
    inputs = (torch.randn(1, 256), *(torch.zeros(1, *shape) for shape in mixer.state.values()))
    names = ["x", *mixer.state]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step.onnx"
        torch.onnx.export(Step(mixer).eval(), inputs, path, dynamo=True, verbose=False, input_names=names)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        graph = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feed = {key: value.numpy() for key, value in zip(names, inputs, strict=True)}
        seconds = []
        for _ in range(min(past, 200) + 300):
            begun = time.perf_counter()
            outputs = graph.run(None, feed)
            seconds.append(time.perf_counter() - begun)
            feed |= dict(zip(names[1:], outputs[1:], strict=True))
    return 1e3 * float(np.median(seconds[-300:]))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=600, help="batches of training")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--only", nargs="*", default=list(SEQUENCE_MIXERS))
    parser.add_argument("--out", type=Path, help="also written as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # the exporter's, about its own code
    rows = {}
    print("mixer           recalled after 256 frames      step after 64, 4096 frames")
    for name in args.only:
        cost = {past: step_ms(name, past) for past in (64, 4096)}
        seen = recall(name, args.steps, args.batch)
        rows[name] = {"recall": seen, "step_ms": cost}
        print(
            f"{name:15} {seen['rate']:6.1%} ({seen['low']:.1%} to {seen['high']:.1%}) {seen['minutes']:5.1f} min"
            f"   {cost[64]:.3f} ms, {cost[4096]:.3f} ms",
            flush=True,
        )
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
