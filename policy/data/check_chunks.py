"""What a contract's horizon makes of a recording: judged anew at each use, as the horizon may change afterwards."""

from collections.abc import Sequence

import numpy as np

from policy.data.findings import Finding
from policy.data.runs import Run
from policy.robot.contract import Contract


def check_chunks(contract: Contract, runs: Sequence[Run]) -> list[Finding]:
    """Chunks that end before the next frame, and episodes that are shorter than a chunk."""
    findings = []
    chunk = contract.horizon / contract.rate
    steps = np.concatenate([np.diff(run.stamps) for run in runs] or [np.empty(0)]) * 1e-9
    step = float(np.median(steps)) if len(steps) > 1 else 0.0
    if step > chunk + 0.5 / contract.rate:
        findings.append(
            Finding(
                "error",
                f"camera {next(iter(contract.cameras))} is too slow for the policy",
                f"an image every {step:.3g} s, and a chunk of {contract.horizon} actions at {contract.rate:g} Hz lasts "
                f"{chunk:.3g} s",
                "raise `horizon` or lower `rate` in the contract, or record a faster camera",
            )
        )
    parts = [part for run in runs for part in run.parts]
    if short := [part for part in parts if part.end - part.first < contract.horizon]:
        findings.append(
            Finding(
                "warning",
                "episodes are shorter than a chunk",
                f"{len(short)} of {len(parts)} have fewer than {contract.horizon} frames, the first one "
                f"{short[0].end - short[0].first} ({short[0].instruction!r})",
                "record to the end of the task, or lower `horizon` in the contract",
            )
        )
    return findings
