"""The model card: what a policy was made of, with the commands that made each figure."""

from collections.abc import Sequence
from typing import Any

import yaml

from policy.spec import Spec


def card(spec: Spec, state: dict[str, Any], figures: dict[str, Any], reports: Sequence[dict[str, Any]]) -> str:
    """The README.md of a model folder; `state` is its checkpoint's, `reports` are of its evaluations."""
    cameras = ", ".join(f"{name} {h}x{w}" for name, (h, w) in spec.cameras.items())
    told = "\n\n".join(switching(report) if "switch" in report else evaluation(report) for report in reports)
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
| torch and ONNX Session differ by | {figures["difference"]:.1e} of the range, {figures["frames"]} frames |
| inference, CPU, {figures["threads"]} threads, batch 1 | {figures["latency"]:.2f} ms (median) |

Trained by `{state["command"]}`; size, difference and time of inference measured by
`python -m policy.export {figures["run"]} --out {figures["out"]}`.

## Evaluation

{told or "Not evaluated yet: `python -m sim.evaluate " + str(figures["out"]) + "`."}

## Recipe

```yaml
{yaml.safe_dump(state["recipe"], sort_keys=False, default_flow_style=None, width=100).strip()}
```
"""


def evaluation(report: dict[str, Any]) -> str:
    """The figures of a report.json as a table."""
    lines = ["| | success | episodes |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {t['rate']:.1%} ({t['low']:.1%} to {t['high']:.1%}) | {t['episodes']} |"
        for name, t in report["tasks"].items()
    ]
    lines.append(f"| **mean over tasks** | **{report['mean']:.1%}** | |")
    for name, part in (report.get("held_out_phrasings", {}) | report.get("control", {})).items():
        lines.append(f"| {name.replace('_', ' ')} | {part['mean']:.1%} | |")
    chains = report.get("chains", {})
    if chains.get("episodes"):
        lines.append(f"| done of five in a row | {chains['mean_length']:.2f} | {chains['episodes']} |")
    return "\n".join(lines) + f"\n\nBy `{report['command']}`."


def switching(report: dict[str, Any]) -> str:
    """The figures of changes of mind, with those of the baselines beside them."""
    sections = {"this policy": report, **report["baselines"]}
    rows = {
        f"B is done, told {phase}": [part["switch"][phase] for part in sections.values()] for phase in report["switch"]
    }
    rows |= {
        name: [part[key] for part in sections.values()]
        for key, name in (
            ("object_safety", "what was held is not dropped"),
            ("resume", "A is finished afterwards"),
            ("switch_back", "A -> B -> A"),
            ("three_switches", "three switches in two seconds"),
            ("false_switch", "false switches"),
        )
    }
    lines = [f"| | {' | '.join(sections)} |", "| --- |" + " --- |" * len(sections)]
    lines += [f"| {name} | " + " | ".join(_rate(part) for part in parts) + " |" for name, parts in rows.items()]
    lines += [
        f"| {name} | "
        + " | ".join(f"{part[key][p]:.2f} s" if part[key][p] is not None else "none" for part in sections.values())
        + " |"
        for name, key, p in (("reaction, median", "reaction_s", "p50"), ("time to B, median", "time_to_b_s", "p50"))
    ]
    return "\n".join(lines) + f"\n\nBy `{report['command']}`."


def _rate(part: dict[str, Any]) -> str:
    if not part["episodes"]:
        return "none"
    return f"{part['rate']:.1%} ({part['low']:.1%} to {part['high']:.1%}) of {part['episodes']}"
