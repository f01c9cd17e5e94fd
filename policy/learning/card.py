"""The model card: data, training, figures and recipe of a policy, with the commands that made each figure."""

from collections.abc import Sequence
from typing import Any

import yaml

from policy.spec import Spec


def model_card(spec: Spec, state: dict[str, Any], figures: dict[str, Any], reports: Sequence[dict[str, Any]]) -> str:
    """The README.md of a model folder; `state` is that of its checkpoint, `reports` are report.json of evaluations."""
    cameras = ", ".join(f"{name} {h}x{w}" for name, (h, w) in spec.cameras.items())
    tables = "\n\n".join(switching_table(r) if "switch" in r else evaluation_table(r) for r in reports)
    machine = f"{state['machine']}, {state['processes']} process(es) of {state['threads']} threads"
    return f"""# {figures["out"].name}

A language-conditioned policy: images ({cameras}), {len(spec.state)} values of state and an instruction in;
the next {spec.horizon} set-points at {spec.rate:g} Hz out. `policy.onnx` is the whole policy, `spec.json` describes
its inputs and outputs, `contract.yaml` the robot it was trained for.

| | |
| --- | --- |
| data | {state["episodes"]} episodes, {state["frames"]} frames |
| trained on | {state["samples"]} frames, {state["step"]} steps, seed {state["recipe"]["training"]["seed"]} |
| time | {state["seconds"] / 60:.0f} minutes on {machine} |
| size | {figures["parameters"] / 1e6:.2f} M parameters while training, {figures["bytes"] / 1e6:.1f} MB |
| torch and ONNX Runtime differ by | {figures["difference"]:.1e} of the action range, {figures["frames"]} frames |
| inference, CPU, {figures["threads"]} threads, batch 1 | {figures["latency"]:.2f} ms (median) |

Trained by `{state["command"]}`; size, difference and time of inference measured by
`python -m policy.export {figures["run"]} --out {figures["out"]}`.

## Evaluation

{tables or "Not evaluated yet: `python -m sim.evaluate " + str(figures["out"]) + "`."}

## Recipe

```yaml
{yaml.safe_dump(state["recipe"], sort_keys=False, default_flow_style=None, width=100).strip()}
```
"""


def evaluation_table(report: dict[str, Any]) -> str:
    """Success rates of a report.json as a Markdown table."""
    lines = ["| | success | episodes |", "| --- | --- | --- |"]
    lines += [f"| {name} | {_interval(task)} | {task['episodes']} |" for name, task in report["tasks"].items()]
    lines.append(f"| **mean over tasks** | **{report['mean']:.1%}** | |")
    for name, part in (report.get("held_out_phrasings", {}) | report.get("control", {})).items():
        if part["mean"] is not None:
            lines.append(f"| {name.replace('_', ' ')} | {part['mean']:.1%} | |")
    chains = report.get("chains", {})
    if chains.get("mean_length") is not None:
        lines.append(f"| tasks done of five in a row | {chains['mean_length']:.2f} | {chains['episodes']} |")
    elif chains.get("episodes"):  # some came to an end for want of tasks
        lines.append(f"| chains of up to five tasks without a failure | {_interval(chains)} | {chains['episodes']} |")
    return "\n".join(lines) + f"\n\nBy `{report['command']}`."


def switching_table(report: dict[str, Any]) -> str:
    """Figures of switches, with those of the baselines beside them, as a Markdown table."""
    columns = {"this policy": report, **report["baselines"]}
    rows = {
        f"B succeeds, {phase} switch": [part["switch"][phase] for part in columns.values()]
        for phase in report["switch"]
    }
    rows |= {
        name: [part[key] for part in columns.values()]
        for key, name in (
            ("object_safety", "the held object is not dropped"),
            ("resume", "A succeeds afterwards"),
            ("switch_back", "A -> B -> A"),
            ("three_switches", "three switches in two seconds"),
            ("false_switch", "false switches"),
        )
    }
    lines = [f"| | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    lines += [f"| {name} | " + " | ".join(_rate(part) for part in parts) + " |" for name, parts in rows.items()]
    lines += [
        f"| {name} | "
        + " | ".join(
            f"{part[key]['p50']:.2f} s" if part[key]["p50"] is not None else "none" for part in columns.values()
        )
        + " |"
        for name, key in (("reaction, median", "reaction_s"), ("time to B, median", "time_to_b_s"))
    ]
    return "\n".join(lines) + f"\n\nBy `{report['command']}`."


def _rate(part: dict[str, Any]) -> str:
    if not part["episodes"]:
        return "none"
    return f"{_interval(part)} of {part['episodes']}"


def _interval(part: dict[str, Any]) -> str:
    return f"{part['rate']:.1%} ({part['low']:.1%} to {part['high']:.1%})"
