"""LeRobot's policies and data set, timed in its own environment; benchmarks.peer starts it, not a person.

One request a line on standard input, as JSON, one answer a line on standard output:

    {"build": "act" | "diffusion", "cameras": 2, "size": 96, "state": 18, "action": 8, "chunk": 16, "threads": 2}
    {"infer": n}             milliseconds of n inferences, batch 1
    {"learn": n, "batch": b} seconds of n training steps, on a batch that is there
    {"export": path}         the whole of ACT as ONNX, by a wrapper of a few lines, as LeRobot has none
    {"open": folder, "chunk": 16, "rate": 20}    a data set; {"windows": n}  seconds of n random windows of it
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy

STEPS = 10  # of the diffusion policy's sampler


class Peer:
    """One policy or data set at a time."""

    def build(self, build: str, cameras: int, size: int, state: int, action: int, chunk: int, threads: int) -> int:
        """A policy from scratch, with its defaults; how many parameters it has."""
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        picture = PolicyFeature(FeatureType.VISUAL, (3, size, size))
        inputs = {f"observation.images.{i}": picture for i in range(cameras)}
        inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (state,))
        outputs = {"action": PolicyFeature(FeatureType.ACTION, (action,))}
        common: dict[str, Any] = {"input_features": inputs, "output_features": outputs, "device": "cpu"}
        common |= {"pretrained_backbone_weights": None}
        if build == "act":
            config = ACTConfig(chunk_size=chunk, n_action_steps=chunk, **common)
            self.policy = ACTPolicy(config)
        else:
            config = DiffusionConfig(
                horizon=chunk, n_action_steps=chunk - 1, noise_scheduler_type="DDIM", num_inference_steps=STEPS,
                crop_shape=None, **common,
            )  # fmt: skip
            self.policy = DiffusionPolicy(config)
        self.steps = config.n_obs_steps
        self.shapes = {name: feature.shape for name, feature in inputs.items()}
        self.chunk, self.action = chunk, action
        return sum(p.numel() for p in self.policy.parameters())

    def _batch(self, size: int) -> dict[str, torch.Tensor]:
        batch = {name: torch.rand(size, *shape) for name, shape in self.shapes.items()}
        return batch | {
            "action": torch.rand(size, self.chunk, self.action),
            "action_is_pad": torch.zeros(size, self.chunk, dtype=torch.bool),
        }

    def infer(self, infer: int) -> list[float]:
        """From pictures that are normalised already to a chunk; no processing before or after it."""
        self.policy.eval()
        batch = self._batch(1)
        names = [name for name in self.shapes if "images" in name]
        took = []
        for _ in range(infer):
            began = time.perf_counter()
            if self.steps == 1:
                self.policy.predict_action_chunk({name: batch[name] for name in self.shapes})
            else:
                stacked = {"observation.state": batch["observation.state"][:, None].expand(-1, self.steps, -1)}
                images = torch.stack([batch[name] for name in names], 1)[:, None]
                stacked["observation.images"] = images.expand(-1, self.steps, -1, -1, -1, -1)
                with torch.no_grad():
                    self.policy.diffusion.generate_actions(stacked)
            took.append(1e3 * (time.perf_counter() - began))
        return took

    def learn(self, learn: int, batch: int) -> list[float]:
        """Loss, gradient and AdamW; the batch is in memory already."""
        self.policy.train()
        optimizer = torch.optim.AdamW(self.policy.get_optim_params(), lr=1e-5)
        given, took = self._batch(batch), []
        for _ in range(learn):
            began = time.perf_counter()
            loss, _ = self.policy(given)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), 10.0)
            optimizer.step()
            took.append(time.perf_counter() - began)
        return took

    def export(self, export: str) -> int:
        """ACT as one graph: pictures and state to the chunk; bytes of it."""
        names = list(self.shapes)
        policy = self.policy.eval()

        class Whole(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = policy.model

            def forward(self, *inputs: Any) -> Any:
                batch: dict[str, Any] = dict(zip(names, inputs, strict=True))
                batch["observation.images"] = [batch[name] for name in names if "images" in name]
                return self.model(batch)[0]

        inputs = tuple(self._batch(1)[name] for name in names)
        torch.onnx.export(Whole(), inputs, export, input_names=names, output_names=["action"], dynamo=False)
        return Path(export).stat().st_size

    def open(self, open: str, chunk: int, rate: float) -> int:
        """A data set whose items hold a chunk of actions; how many frames it has."""
        times = {"action": [i / rate for i in range(chunk)]}
        self.data = LeRobotDataset("local/bench", root=open, delta_timestamps=times, video_backend="pyav")
        return len(self.data)

    def windows(self, windows: int) -> float:
        """Random windows, one after the other, in this process."""
        chosen = np.random.default_rng(0).integers(0, len(self.data), windows)
        began = time.perf_counter()
        for i in chosen:
            self.data[int(i)]
        return time.perf_counter() - began


def main() -> None:
    """Answer until standard input ends."""
    peer, out = Peer(), sys.stdout
    sys.stdout = sys.stderr  # what the libraries print is no answer
    print(json.dumps("ready"), file=out, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(peer, next(iter(request)))(**request)
        print(json.dumps(answer), file=out, flush=True)


main()
