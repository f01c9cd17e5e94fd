"""The kinds of evaluation, and which one a folder holds."""

from sim import latency_evaluation, plain_report, shift_evaluation, words_report
from sim.evaluation_page.view import Kind, Record
from sim.switch_evaluation import evaluate_switches

# What only the settings of this kind have; a plain evaluation has none of them.
KINDS: dict[str, Kind] = {
    "phases": evaluate_switches.KIND,
    "shifts": shift_evaluation.KIND,
    "schedules": latency_evaluation.KIND,
    "runs": words_report.KIND,
}


def kind_of(settings: Record) -> Kind:
    """The kind of the evaluation that has these settings."""
    return next((kind for key, kind in KINDS.items() if key in settings), plain_report.KIND)
