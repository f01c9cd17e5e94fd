"""LeRobot's ACT, trained and served in LeRobot's own environment; benchmarks.act starts it, not a person.

python lerobot_act.py train DATA OUT --minutes 10     on a LeRobot data set, with its defaults, without weights
                                                      from elsewhere
python lerobot_act.py serve DATA OUT                  over openpi's websocket protocol; prints ws://host:port
"""

import argparse
import hashlib
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch
from lerobot.configs.types import FeatureType
from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.datasets.utils import dataset_to_policy_features
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.act.processor_act import make_act_pre_post_processors
from websockets.sync.server import ServerConnection, serve

NAME, BATCH = "local/act", 8  # LeRobot's default batch


def config_of(meta: LeRobotDatasetMetadata, chunk: int, rate: float) -> ACTConfig:
    """ACT of all cameras and the state of a data set."""
    features = dataset_to_policy_features(meta.features)
    wanted = (FeatureType.VISUAL, FeatureType.STATE)
    inputs = {k: f for k, f in features.items() if f.type in wanted and k.startswith("observation.")}
    outputs = {"action": features["action"]}
    # Without pretrained weights the vision network learns as fast as the rest.
    return ACTConfig(
        input_features=inputs,
        output_features=outputs,
        chunk_size=chunk,
        n_action_steps=chunk,
        pretrained_backbone_weights=None,
        optimizer_lr=rate,
        optimizer_lr_backbone=rate,
        device="cpu",
    )


def train(data: Path, out: Path, minutes: float, chunk: int, rate: float, threads: int) -> None:
    """Train for a time and save; prints how many samples were seen."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    meta = LeRobotDatasetMetadata(NAME, root=data)
    config = config_of(meta, chunk, rate)
    times = {"action": [i / meta.fps for i in range(chunk)]}
    dataset = LeRobotDataset(NAME, root=data, delta_timestamps=times, video_backend="pyav")
    policy = ACTPolicy(config).train()
    normalise, _ = make_act_pre_post_processors(config, dataset.meta.stats)
    settings = config.get_optimizer_preset()
    optimizer = settings.build(policy.get_optim_params())
    loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, num_workers=1, drop_last=True)
    began, steps, shown = time.monotonic(), 0, 0.0
    while (spent := time.monotonic() - began) < 60 * minutes:
        for batch in loader:
            loss, _ = policy(normalise(batch))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), settings.grad_clip_norm)
            optimizer.step()
            steps += 1
            spent = time.monotonic() - began
            if spent - shown > 15:
                shown = spent
                print(
                    f"{spent / 60:.1f} of {minutes:g} minutes, {steps * BATCH} samples, loss {loss.item():.3f}",
                    flush=True,
                )
            if spent > 60 * minutes:
                break
    policy.save_pretrained(out)
    print(f"done: {steps * BATCH} samples")


class Served:
    """A policy that answers observations."""

    def __init__(self, data: Path, out: Path) -> None:
        torch.set_num_threads(1)
        self.policy = ACTPolicy.from_pretrained(out).eval()
        stats = LeRobotDatasetMetadata(NAME, root=data).stats
        self.normalise, self.unnormalise = make_act_pre_post_processors(self.policy.config, stats)
        learnt = [*sorted(path for path in out.iterdir() if path.is_file()), data / "meta" / "stats.json"]
        self.sha256 = hashlib.sha256(b"".join(path.read_bytes() for path in learnt)).hexdigest()

    def answer(self, observation: dict[str, Any]) -> np.ndarray:
        """Actions (H, A) for pictures (h, w, 3) uint8 and a state."""
        given = {}
        for name in self.policy.config.input_features:
            value = torch.from_numpy(np.array(observation[name]))
            given[name] = value.permute(2, 0, 1).float() / 255 if value.ndim == 3 else value.float()
        chunk = self.policy.predict_action_chunk(self.normalise(given))
        actions: np.ndarray = self.unnormalise(chunk)[0].numpy()
        return actions

    def connection(self, connection: ServerConnection) -> None:
        """One robot."""
        connection.send(msgpack.packb({"sha256": self.sha256}))  # two trainings are two policies
        for message in connection:
            actions = np.ascontiguousarray(self.answer(msgpack.unpackb(message, object_hook=array)), np.float32)
            packed = {b"__ndarray__": True, b"data": actions.tobytes(), b"dtype": "<f4", b"shape": actions.shape}
            connection.send(msgpack.packb({"actions": packed}))


def array(raw: dict[Any, Any]) -> Any:
    """An array of openpi's messages."""
    if b"__ndarray__" not in raw:
        return raw
    return np.ndarray(raw[b"shape"], np.dtype(raw[b"dtype"]), raw[b"data"])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("do", choices=("train", "serve"))
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--chunk", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-5, help="learning rate; the default is LeRobot's")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.do == "train":
        train(args.data, args.out, args.minutes, args.chunk, args.rate, args.threads)
    else:
        with redirect_stdout(sys.stderr):  # the first line is the address
            policy = Served(args.data, args.out)
        with serve(policy.connection, "127.0.0.1", 0, max_size=None) as server:
            print(f"ws://127.0.0.1:{server.socket.getsockname()[1]}", flush=True)
            server.serve_forever()


main()
