"""Train a recipe on bags: `python -m policy.train --recipe chunk --bags data/tabletop/demos --out runs/chunk`.

Run again, the command goes on where it was. With several processes, each taking its share of every batch:
`torchrun --standalone --nproc_per_node 2 -m policy.train ...`.
"""

import argparse
import math
import platform
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from policy.data import cache as dataset
from policy.errors import InputError, exit_code
from policy.learning import checkpoint, recipe
from policy.learning.batches import Batches
from policy.learning.curves import Curves
from policy.learning.model import Policy
from policy.learning.recipe import Recipe
from policy.robot import contract

LOG_STEPS, VALIDATE_STEPS, VALIDATE_WINDOWS = 50, 2000, 1024
SAVE_SECONDS = 120.0


def train(
    recipe_name: str,
    bags: Path,
    out: Path,
    contract_name: str = "tabletop",
    samples: int | None = None,
    minutes: float | None = None,
    weights: Path | None = None,
) -> None:
    """Train until `samples` windows are seen (the recipe's number by default) or `minutes` have been spent.

    `weights` is a run whose weights are taken over, as far as the recipes agree. `InputError` for bags, recipe or
    contract that do not fit, or an `out` that holds another recipe's run.
    """
    if (samples is not None and samples < 1) or (minutes is not None and not minutes > 0):
        raise InputError(f"--samples {samples}, --minutes {minutes}: expected a number above 0")
    # Unless told that there are only CPUs, processes on them do not find each other.
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    wanted = recipe.load(recipe_name)
    robot = contract.load(contract_name)
    if wanted.training.batch % accelerator.num_processes:
        raise InputError(
            f"a batch of {wanted.training.batch} does not divide among "
            f"{accelerator.num_processes} processes; change one of them"
        )
    found = checkpoint.latest(out)
    if found:
        _check_same(found, checkpoint.describe(wanted, replace(robot.spec, switches=wanted.switches)))
    cache = dataset.open_cache(bags, robot)
    torch.manual_seed(wanted.training.seed)
    policy = Policy(wanted, robot.spec, dataset.statistics(cache))
    if weights is not None and not found:
        checkpoint.start(weights, policy)
    out.mkdir(parents=True, exist_ok=True)
    if accelerator.is_main_process:
        (out / "contract.yaml").write_bytes(contract.find(contract_name).read_bytes())
    run = Run(accelerator, wanted, policy, Batches(cache, wanted), out)
    run.spent |= {
        "bags": str(bags),
        "frames": len(cache.state),
        "episodes": len(cache.bounds) - 1,
        "command": f"python -m policy.train --recipe {recipe_name} --bags {bags} --out {out} "
        f"--contract {contract_name}"
        + (f" --samples {samples}" if samples else "")
        + (f" --minutes {minutes:g}" if minutes else "")
        + (f" --weights {weights}" if weights else ""),
    }
    if found:
        run.resume(found)
    run.go(samples or wanted.training.samples, minutes)


class Run:
    """One training run: what changes from step to step, and how it is saved."""

    def __init__(self, accelerator: Accelerator, wanted: Recipe, policy: Policy, batches: Batches, out: Path) -> None:
        self.accelerator, self.recipe, self.settings = accelerator, wanted, wanted.training
        self.batches, self.out, self.step, self.stopping = batches, out, 0, False
        device = accelerator.device
        self.policy = policy.to(device, memory_format=torch.channels_last)
        self.average = {name: p.detach().clone() for name, p in self.policy.named_parameters()}
        self.optimizer = torch.optim.AdamW(_groups(self.policy, self.settings.weight_decay), fused=True)
        self.model = accelerator.prepare(_Loss(self.policy))
        self.half = _half(device)
        self.curves = Curves(out)
        self.spent: dict[str, Any] = {
            "seconds": 0.0,
            "processes": accelerator.num_processes,
            "threads": torch.get_num_threads(),
            "machine": f"{_processor(device)} ({'bfloat16' if self.half else 'float32'})",
        }

    def resume(self, folder: Path) -> None:
        """Go on from a checkpoint."""
        checkpoint.resume(folder, self.policy, self.average, self.optimizer)
        state = checkpoint.read_state(folder)
        self.step, self.spent["seconds"] = state["step"], state["seconds"]
        if self.accelerator.is_main_process:
            self.curves.resume(state["step"], state["window"])
        if state["frames"] != self.spent["frames"]:
            self.say(f"the bags now hold {self.spent['frames']} frames, {state['frames']} when the run began")
        self.say(f"goes on from {folder.name}")

    def go(self, samples: int, minutes: float | None) -> None:
        """Step until the plan is done or somebody asks to stop; save on the way and at the end."""
        self.spent["planned"] = {"samples": samples, "minutes": minutes}
        handlers = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        share = self.accelerator.process_index, self.accelerator.num_processes
        ahead = self.batches.ahead(self.step, *share)
        begun = saved = time.monotonic()
        before, first, done = self.spent["seconds"], self.step, self._done()
        bar = tqdm(
            total=100.0,
            initial=100 * done,
            disable=not self.accelerator.is_main_process,
            mininterval=1 if sys.stderr.isatty() else 15,
            miniters=0,
            bar_format="{percentage:5.1f}%|{bar:20}| {elapsed}, {remaining} left{postfix}",
        )
        try:
            while done < 1 and not self.stopping:
                parts = self._learn(next(ahead), done)
                now = time.monotonic()
                self.spent["seconds"] = before + now - begun
                self._agree()
                done = self._done()
                self._log(parts)
                if now - saved > SAVE_SECONDS:
                    self.save()
                    saved = now
                speed = (self.step - first) * self.settings.batch / (now - begun)
                bar.set_postfix_str(f"loss {self.curves.smooth:.4f}, {speed:.0f} samples/s", refresh=False)
                bar.update(100 * min(done, 1.0) - bar.n)
        finally:
            ahead.close()
            bar.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        self.save()
        self.say(
            f"stopped at step {self.step}; the same command goes on"
            if done < 1
            else f"done: {self.step * self.settings.batch} samples in {self.spent['seconds'] / 60:.1f} "
            f"minutes; next: python -m policy.export {self.out} --out models/<name>"
        )

    def save(self) -> None:
        """Write a checkpoint and the picture of the losses."""
        if self.accelerator.is_main_process:
            state = (
                checkpoint.describe(self.recipe, self.policy.spec)
                | self.spent
                | {"step": self.step, "samples": self.step * self.settings.batch, "window": self.curves.window}
            )
            checkpoint.save(self.out, self.step, self.policy, self.average, self.optimizer, state)
            self.curves.draw()

    def say(self, text: str) -> None:
        """Print once, however many processes there are."""
        if self.accelerator.is_main_process:
            print(text, flush=True)

    def _learn(self, batch: dict[str, Tensor], done: float) -> dict[str, float]:
        """One step; the losses of this process's share."""
        settings, device = self.settings, self.accelerator.device
        # Noise and drop-out are seeded by the step, so that a resumed run draws what it would have drawn.
        torch.manual_seed((settings.seed * 1_000_003 + self.step) * 64 + self.accelerator.process_index)
        warm = min(1.0, (self.step + 1) / max(1, settings.warmup))
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate * warm * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=self.half):
            loss, parts = self.model(batch)
        if not torch.isfinite(loss):
            raise InputError(
                f"the loss is {loss.item()} at step {self.step}: look for extreme values in the "
                "bags, or lower training.rate in the recipe; the last checkpoint is kept"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        nn.utils.clip_grad_norm_(self.policy.parameters(), settings.clip)
        self.optimizer.step()
        self.step += 1
        # Young averages follow quickly, so that the start is forgotten.
        decay = min(settings.average, (1 + self.step) / (10 + self.step))
        weights = [p.detach() for p in self.policy.parameters()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)
        return {"loss": loss.item()} | {name: value.item() for name, value in parts.items()}

    def _log(self, parts: dict[str, float]) -> None:
        self.curves.add(parts)
        if self.step % LOG_STEPS == 0 and self.accelerator.is_main_process:
            validation = self._validate() if self.step % VALIDATE_STEPS == 0 else None
            self.curves.write(self.step, self.step * self.settings.batch, self.spent["seconds"], validation)

    @torch.no_grad()
    def _validate(self) -> float | None:
        """The action loss of the moving average on held-out episodes, None if there are none."""
        trained = {name: p.detach().clone() for name, p in self.policy.named_parameters()}
        self._put(self.average)
        self.policy.eval()
        total = count = 0.0
        for batch in self.batches.validation(VALIDATE_WINDOWS):
            batch = {name: value.to(self.accelerator.device) for name, value in batch.items()}
            with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.half):
                _, parts = self.policy.loss(batch)
            total += parts["action"].item() * len(batch["state"])
            count += len(batch["state"])
        self.policy.train()
        self._put(trained)
        return total / count if count else None

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.policy.named_parameters():
            parameter.copy_(values[name])

    def _agree(self) -> None:
        """Processes stop at the same step and share one clock."""
        if self.accelerator.num_processes > 1:
            mine = torch.tensor([[self.spent["seconds"], float(self.stopping)]])
            told = self.accelerator.gather(mine.to(self.accelerator.device))
            self.spent["seconds"], stopping = told.amax(0).tolist()
            self.stopping = stopping > 0

    def _done(self) -> float:
        """How much of the plan is done, 1 for all: of the minutes if some are given, else of the samples."""
        plan = self.spent["planned"]
        samples = self.step * self.settings.batch / plan["samples"]
        return samples if plan["minutes"] is None else self.spent["seconds"] / 60 / plan["minutes"]

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True


class _Loss(nn.Module):
    """`loss` as a `forward`, which is what distributed training wraps."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.policy.loss(batch)


def _groups(policy: Policy, decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels are decayed; biases, norms and learned tokens are not."""
    matrices = [p for p in policy.parameters() if p.ndim > 1 and p.shape[0] > 1]
    rest = [p for p in policy.parameters() if not (p.ndim > 1 and p.shape[0] > 1)]
    return [{"params": matrices, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]


def _half(device: torch.device) -> bool:
    """Whether bfloat16 is native here: emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def _processor(device: torch.device) -> str:
    """What the training runs on, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def _check_same(found: Path, wanted: dict[str, Any]) -> None:
    """`InputError` if a run's checkpoint is of another recipe or spec than wanted."""
    state = checkpoint.read_state(found)
    for key in ("recipe", "spec"):
        differing = [name for name in wanted[key] if wanted[key][name] != state[key].get(name)]
        if differing:
            raise InputError(
                f"{found.parent} holds a run of another {key} (it differs in "
                f"{', '.join(differing)}); give another --out, or the {key} it was begun with"
            )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m policy.train", description=__doc__.split("\n")[0])
    parser.add_argument("--recipe", default="chunk", help="a name in policy/recipes, or a YAML file")
    parser.add_argument("--bags", type=Path, required=True, help="folder of rosbag2 recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; goes on if it exists")
    parser.add_argument("--contract", default="tabletop", help="a name in policy/contracts, or a YAML file")
    parser.add_argument("--samples", type=int, help="windows to see; the recipe's number by default")
    parser.add_argument("--weights", type=Path, help="folder of a run whose weights to begin with")
    parser.add_argument("--minutes", type=float, help="time to spend instead; the rate is 0 by its end")
    args = parser.parse_args()
    train(args.recipe, args.bags, args.out, args.contract, args.samples, args.minutes, args.weights)


if __name__ == "__main__":
    sys.exit(exit_code(main))
