"""The training loop: steps, validation, checkpoints, and a clean stop; it continues from its checkpoint.

batches -> step (loss, gradient, AdamW, moving average) -> curves every LOG_STEPS
                                                        -> checkpoint every SAVE_SECONDS and at the end
"""

import math
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from policy.errors import InputError
from policy.learning import checkpoint
from policy.learning.batches import Batches
from policy.learning.compiled import compiled
from policy.learning.curves import Curves
from policy.learning.device import has_bfloat16, keep_freed_memory, processor_name
from policy.learning.ema import ExponentialMovingAverage
from policy.learning.model import Policy
from policy.learning.recipe import Recipe

LOG_STEPS, VALIDATE_STEPS, VALIDATE_WINDOWS = 50, 2000, 1024
SAVE_SECONDS = 120.0


class Trainer:
    """One training run, on one or several processes; `run` trains it to the end of its plan."""

    def __init__(
        self,
        accelerator: Accelerator,
        recipe: Recipe,
        policy: Policy,
        batches: Batches,
        out: Path,
        compile_model: bool = False,
    ) -> None:
        self.accelerator, self.recipe, self.settings = accelerator, recipe, recipe.training
        self.batches, self.out, self.step, self.stopping = batches, out, 0, False
        self.saved: int | None = None  # the step of the last checkpoint
        keep_freed_memory()
        device = accelerator.device
        # torch's annotation of `to` lacks memory_format.
        self.policy: Policy = policy.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name in self.settings.frozen:
            self.policy.get_submodule(name).requires_grad_(False)
        self._train_mode()
        self.ema = ExponentialMovingAverage(self.policy, self.settings.ema_decay)
        self.optimizer = torch.optim.AdamW(_parameter_groups(self.policy, self.settings.weight_decay), fused=True)
        self.model = accelerator.prepare(_Loss(self.policy))
        if compile_model:
            self.model = compiled(self.model, device)
        self.bfloat16 = has_bfloat16(device)
        self.curves = Curves(out)
        self.record: dict[str, Any] = {  # written into each checkpoint
            "seconds": 0.0,
            "waited": 0.0,  # seconds of these in which the next batch was not ready
            "processes": accelerator.num_processes,
            "threads": torch.get_num_threads(),
            "machine": f"{processor_name(device)} ({'bfloat16' if self.bfloat16 else 'float32'})",
        }

    def resume(self, folder: Path) -> None:
        """Continue from a checkpoint."""
        checkpoint.resume(folder, self.policy, self.ema.values, self.optimizer)
        state = checkpoint.read_state(folder)
        self.step = self.saved = state["step"]
        self.record["seconds"] = state["seconds"]
        self.record["waited"] = state.get("waited", 0.0)
        if self.accelerator.is_main_process:
            self.curves.resume(state["step"], state["window"])
        if state["frames"] != self.record["frames"]:
            self.print(f"the bags now hold {self.record['frames']} frames, {state['frames']} when the run began")
        self.print(f"continues from {folder.name}")

    def run(self, samples: int, minutes: float | None) -> None:
        """Train until `samples` frames are seen or `minutes` spent; saves at the end.

        SIGINT or SIGTERM ends it after a step, saved as well, with KeyboardInterrupt: half is not taken for the whole.
        """
        self.record["planned"] = {"samples": samples, "minutes": minutes}
        handlers = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        batches = self.batches.ahead(self.step, self.accelerator.process_index, self.accelerator.num_processes)
        start = saved = time.monotonic()
        seconds_before, first_step, progress = self.record["seconds"], self.step, self._progress()
        finished = progress >= 1  # before it has begun
        bar = tqdm(
            total=100.0,
            initial=100 * progress,
            disable=not self.accelerator.is_main_process,
            mininterval=1 if sys.stderr.isatty() else 15,
            miniters=0,
            bar_format="{percentage:5.1f}%|{bar:20}| {elapsed}, {remaining} left{postfix}",
        )
        try:
            while progress < 1 and not self.stopping:
                asked = time.monotonic()
                batch = next(batches)
                self.record["waited"] += time.monotonic() - asked
                losses = self._learn(batch, progress)
                now = time.monotonic()
                self.record["seconds"] = seconds_before + now - start
                self._synchronise()
                progress = self._progress()
                self._log(losses)
                if now - saved > SAVE_SECONDS:
                    self.save()
                    saved = now
                speed = (self.step - first_step) * self.settings.batch_size / (now - start)
                bar.set_postfix_str(f"loss {self.curves.smooth:.4f}, {speed:.0f} samples/s", refresh=False)
                bar.update(100 * min(progress, 1.0) - bar.n)
        finally:
            batches.close()
            bar.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        self.save()
        if progress < 1:
            self.print(f"stopped at step {self.step}; the same command continues")
            raise KeyboardInterrupt
        seen, spent = self.step * self.settings.batch_size, self.record["seconds"] / 60
        if finished:
            plan = f"{samples} samples" if minutes is None else f"{minutes:g} minutes"
            done = f"nothing to do: {seen} samples were seen in {spent:.1f} minutes, and {plan} are asked for; "
        else:
            waited = self.record["waited"] / max(self.record["seconds"], 1e-9)
            done = f"done: {seen} samples in {spent:.1f} minutes, {waited:.1%} of them waiting for data; "
        self.print(f"{done}next: python -m policy.export {self.out} --out models/<name>")

    def save(self) -> None:
        """Write a checkpoint, unless that of this step is there, and the picture of the losses."""
        if not self.accelerator.is_main_process:
            return
        if self.saved != self.step:
            state = (
                checkpoint.describe(self.recipe, self.policy.spec)
                | self.record
                | {"step": self.step, "samples": self.step * self.settings.batch_size, "window": self.curves.window}
            )
            checkpoint.save(self.out, self.step, self.policy, self.ema.values, self.optimizer, state)
            self.saved = self.step
        self.curves.draw()

    def print(self, text: str) -> None:
        """Print once, however many processes there are."""
        if self.accelerator.is_main_process:
            print(text, flush=True)

    def _learn(self, batch: dict[str, Tensor], progress: float) -> dict[str, float]:
        """One step; the losses of this process's share."""
        settings, device = self.settings, self.accelerator.device
        # Noise and dropout are seeded by the step, so that a resumed run draws the same.
        torch.manual_seed((settings.seed * 1_000_003 + self.step) * 64 + self.accelerator.process_index)
        # a short training warms up for a tenth of its time
        warmup = min(1.0, max((self.step + 1) / max(1, settings.warmup_steps), 10 * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            loss, parts = self.model(batch)
        if not torch.isfinite(loss):
            raise InputError(
                f"the loss is {loss.item()} at step {self.step}: look for extreme values in the "
                "bags, or lower training.learning_rate in the recipe; the last checkpoint is kept"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        nn.utils.clip_grad_norm_(self.policy.parameters(), settings.gradient_clip)
        self.optimizer.step()
        self.step += 1
        self.ema.update(self.step)
        return {"loss": loss.item()} | {name: value.item() for name, value in parts.items()}

    def _log(self, losses: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:  # it alone writes them
            return
        self.curves.add(losses)
        if self.step % LOG_STEPS == 0:
            validation = self._validate() if self.step % VALIDATE_STEPS == 0 else None
            self.curves.write(self.step, self.step * self.settings.batch_size, self.record["seconds"], validation)

    def _train_mode(self) -> None:
        """With dropout and noise, but for what is frozen: what comes after it reads what it will when it runs."""
        self.policy.train()
        for name in self.settings.frozen:
            self.policy.get_submodule(name).eval()

    @torch.no_grad()
    def _validate(self) -> float | None:
        """The action loss of the averaged weights on held-out episodes, None if there are none."""
        device, total, count = self.accelerator.device, 0.0, 0
        with self.ema.applied():
            self.policy.eval()
            for batch in self.batches.validation(VALIDATE_WINDOWS):
                batch = {name: value.to(device) for name, value in batch.items()}
                with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
                    _, parts = self.policy.loss(batch)
                learnt = int(batch["mask"].sum())
                total += parts["action"].item() * learnt
                count += learnt
            self._train_mode()
        return total / count if count else None

    def _synchronise(self) -> None:
        """Make all processes stop at the same step and share one clock."""
        if self.accelerator.num_processes > 1:
            mine = torch.tensor([[self.record["seconds"], float(self.stopping)]])
            gathered = self.accelerator.gather(mine.to(self.accelerator.device))
            self.record["seconds"], stopping = gathered.amax(0).tolist()
            self.stopping = stopping > 0

    def _progress(self) -> float:
        """The share of the plan that is done: of the minutes if given, else of the samples."""
        planned = self.record["planned"]
        if planned["minutes"] is not None:
            return float(self.record["seconds"] / 60 / planned["minutes"])
        return float(self.step * self.settings.batch_size / planned["samples"])

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True


class _Loss(nn.Module):
    """`Policy.loss` as a `forward`, which is what distributed training wraps."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.policy.loss(batch)


def _parameter_groups(policy: Policy, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels are decayed; biases, norms, learned tokens, positions and rates are not.

    What is frozen is not trained.
    """
    matrices, rest = list[nn.Parameter](), list[nn.Parameter]()
    for name, p in policy.named_parameters():
        last = name.rpartition(".")[2]
        if p.requires_grad:
            (matrices if p.ndim > 1 and ("weight" in last or last == "taps") else rest).append(p)
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
