"""The model card: what a policy was made of, with the commands that made each figure."""

from typing import Any

import yaml

from policy.spec import Spec


def card(spec: Spec, state: dict[str, Any], figures: dict[str, Any], report: dict[str, Any] | None) -> str:
    """The README.md of a model folder; `state` is its checkpoint's, `report` an evaluation's report.json."""
    cameras = ", ".join(f"{name} {h}x{w}" for name, (h, w) in spec.cameras.items())
    where = f"{state['machine']}, {state['processes']} process(es) of {state['threads']} threads"
    return f"""# {figures["out"].name}

A language-conditioned policy: images ({cameras}), {len(spec.state)} joint values and an instruction in;
the next {spec.horizon} set-points at {spec.rate:g} Hz out. `policy.onnx` is all of it, `spec.json` its
shapes, `contract.yaml` the robot it was trained for.

| | |
| --- | --- |
| data | {state["episodes"]} episodes, {state["frames"]} frames |
| trained on | {state["samples"]} windows, {state["step"]} steps, seed {state["recipe"]["training"]["seed"]} |
| time | {state["seconds"] / 60:.0f} minutes on {where} |
| size | {figures["parameters"] / 1e6:.2f} M parameters while training, {figures["bytes"] / 1e6:.1f} MB |
| torch and ONNX Runtime differ by | {figures["difference"]:.1e} of the range, {figures["frames"]} frames |
| inference, CPU, {figures["threads"]} threads, batch 1 | {figures["latency"]:.2f} ms (median) |

Trained by `{state["command"]}`; size, difference and time of inference measured by
`python -m policy.export {figures["run"]} --out {figures["out"]}`.

## Evaluation

{evaluation(report) if report else "Not evaluated yet: `python -m sim.evaluate " + str(figures["out"]) + "`."}

## Recipe

```yaml
{yaml.safe_dump(state["recipe"], sort_keys=False, default_flow_style=None, width=100).strip()}
```
"""


def evaluation(report: dict[str, Any]) -> str:
    """The figures of a report.json as a table."""
    lines = ["| | success | episodes |", "| --- | --- | --- |"]
    lines += [f"| {name} | {t['rate']:.1%} ({t['low']:.1%} to {t['high']:.1%}) | {t['episodes']} |"
              for name, t in report["tasks"].items()]
    lines.append(f"| **mean over tasks** | **{report['mean']:.1%}** | |")
    for name, part in (report.get("held_out_phrasings", {}) | report.get("control", {})).items():
        lines.append(f"| {name.replace('_', ' ')} | {part['mean']:.1%} | |")
    chains = report.get("chains", {})
    if chains.get("episodes"):
        lines.append(f"| done of five in a row | {chains['mean_length']:.2f} | {chains['episodes']} |")
    made = f"\n\nBy `{report['command']}`." if "command" in report else ""
    return "\n".join(lines) + made
