"""The report of a switch evaluation."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sim.success_rate import success_rate
from sim.switch_evaluation.methods import BASELINES
from sim.switch_evaluation.paired import paired
from sim.switch_evaluation.switch_episode import CONTINUE, PHRASING
from sim.switch_evaluation.switch_jobs import PHASES

Record = dict[str, Any]


def summarise(settings: Record, records: list[Record], refusals: dict[str, Record]) -> Record:
    """report.json: every figure from the records of the episodes; `refusals` has the rates of "ours" and "baseline"."""

    def of(method: str) -> Record:
        played = [r for r in records if r["method"] == method]
        return _section(played, settings["phases"], refusals["ours" if method == "ours" else "baseline"])

    def beside(method: str) -> Record:
        ours, theirs = ([r for r in records if r["method"] == m and not r["skipped"]] for m in ("ours", method))
        return {"paired": paired(ours, theirs, settings["phases"])}

    return {
        "settings": settings,
        "policy": settings["policy"],
        "sha256": settings["sha256"],
        "seed": settings["seed"],
        **of("ours"),
        "baselines": {name: of(name) | beside(name) for name in BASELINES if settings["baseline"]},
    }


def _section(records: list[Record], phases: Sequence[str], refusals: Record) -> Record:
    """All figures of one method; jobs for which no layout was found are only listed."""
    played = [r for r in records if not r["skipped"]]
    runs = {run: [r for r in played if r["run"] == run] for run in {r["run"] for r in records}}
    switches = [r for phase in phases for r in runs[phase]]
    mid = runs.get("mid", [])
    unfinished = [r["resumed"] for r in mid if r["resumed"]]
    resumed = [r for r in unfinished if r["by"]]
    return {
        "switch": {phase: success_rate(runs[phase]) for phase in phases},
        "no_switch": success_rate({"success": success} for r in records for success in r["counterfactual_successes"]),
        "resume": success_rate(resumed)
        | {
            "by": {by: success_rate(r for r in resumed if r["by"] == by) for by in (CONTINUE, PHRASING)},
            "not_possible": len(unfinished) - len(resumed),
        },
        "false_switch": _false_switches(runs["false_switch"]),
        "object_safety": success_rate({"success": r["object_safe"]} for r in mid if r["object_safe"] is not None),
        **refusals,
        "reaction_s": _percentiles(switches, "reaction_s", 50, 99)
        | {"episodes": sum(r["reaction_s"] is not None for r in switches)},
        "time_to_b_s": _percentiles(switches, "time_to_b_s", 50, 90)
        | {"phases": {phase: _percentiles(runs[phase], "time_to_b_s", 50, 90) for phase in phases}},
        "jerk_ratio": _percentiles(switches, "jerk_ratio", 50)["p50"],
        "jerk_ratio_p95": _percentiles(switches, "jerk_ratio", 95)["p95"],
        "three_switches": success_rate(runs["three_switches"]),
        "switch_back": success_rate(runs["switch_back"]),
        "interventions": {
            "limit_violations": sum(r["limit_violations"] for r in played),
            "control_steps": sum(r["steps"] for r in played),
            "safety_monitor": dict(sum((Counter(r["interventions"]) for r in played), Counter())),
        },
        "pairs": _pairs(switches),
        "redraws": sum(r["redraws"] for r in records),
        "skipped": [f"{r['run']}, seed {r['seed']}" for r in records if r["skipped"]],
    }


def _false_switches(records: list[Record]) -> Record:
    """A false switch: any mode but forward, or a failure where the counterfactual succeeds."""
    other = [any(mode != "forward" for mode in r["mode_steps"]) for r in records]
    failed = [r["counterfactual_success"] and not r["success"] for r in records]
    counted = success_rate({"success": a or b} for a, b in zip(other, failed, strict=True))
    counted["false"] = counted.pop("successes")
    return counted | {"other_mode": sum(other), "failed": sum(failed)}


def _percentiles(records: Iterable[Record], field: str, *which: int) -> dict[str, float | None]:
    """Percentiles of the values that are not None; None if there are none."""
    known = [r[field] for r in records if r[field] is not None]
    return {f"p{p}": round(float(np.percentile(known, p)), 4) if known else None for p in which}


def _pairs(switches: list[Record]) -> dict[str, dict[str, Record]]:
    """A -> B -> the rate over all phases, and that of each."""
    table: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for r in switches:
        table[r["tasks"][0]][r["tasks"][1]].append(r)
    return {
        a: {
            b: success_rate(there)
            | {
                "phases": {
                    phase: success_rate(r for r in there if r["run"] == phase)
                    for phase in PHASES
                    if any(r["run"] == phase for r in there)
                }
            }
            for b, there in row.items()
        }
        for a, row in table.items()
    }
