"""The systems that are compared: what each is trained on, what is asked of it, and the control that must fail.

Of each row three policies are trained and evaluated on the same seeds, windows and episodes:

    system       the recipe of the paper
    control      the same without the part that the paper is about
    reference    a chunk under a regression loss (BAKU's shape), on the same recordings
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.systems_data import CUE, HELD_OUT, MODES, TASKS

Change = Mapping[str, Any]  # section of a recipe -> a value, or what is set in it; None: without it
NO_CHANGE: Change = {}


@dataclass(frozen=True)
class Training:
    """A recipe with a change, on recordings of a kind."""

    recipe: str  # a name in policy/recipes
    data: str  # a kind of benchmarks.systems_data
    change: Change = field(default_factory=dict)
    begin: "Training | None" = None  # with the weights of which it begins
    contract: str = "tabletop_states"


@dataclass(frozen=True)
class Asked:
    """What is asked of a policy in an episode."""

    tasks: tuple[str, ...] = TASKS
    start: str = "home"  # as in sim.initial_states
    how: str = "words"  # a name in benchmarks.systems_rollout.ASKING
    forgets: bool = False  # its state is zeroed at each step


@dataclass(frozen=True)
class Variant:
    """A policy: how it is trained, exported and asked."""

    training: Training
    asked: Asked
    exported: Change = field(default_factory=dict)  # changes that need no training, such as the number of steps
    index: str = ""  # the kind of recordings that its index is made of, "" for those it was trained on


@dataclass(frozen=True)
class Row:
    """One system of the table."""

    test: str  # what is shown to work
    control_is: str
    system: Variant
    control: Variant
    reference: Variant

    @property
    def recipe(self) -> str:
        """The recipe that stands for the paper."""
        training = self.system.training
        return (training.begin or training).recipe


UNDECIDED = Asked(start="undecided")
CUED = Asked((CUE,))
LAST_SEEN = {"memory": {"frames": 32, "stride": 4}}
L1: Change = {"head": {"name": "l1"}}


def plain(data: str, asked: Asked) -> Variant:
    """The reference on recordings of a kind, without cameras."""
    training = {"batch_size": 256, "learning_rate": 1.0e-3}
    return Variant(Training("systems/baku", data, {"encoders": {"cameras": None}, "training": training}), asked)


def _of(recipe: str, data: str, asked: Asked, **change: Any) -> Variant:
    return Variant(Training(f"systems/{recipe}", data, change), asked)


def _memory(recipe: str) -> Row:
    """A system that remembers, beside itself without its state."""
    system = _of(recipe, "cue", CUED, **LAST_SEEN)
    forgetful = replace(system, asked=replace(CUED, forgets=True))
    test = "a cue that has left the frame decides what is done"
    return Row(test, "state zeroed at each step", system, forgetful, plain("cue", CUED))


def _gated(recipe: str) -> Row:
    """A system with gates, beside a transformer of its size at the same learning rate."""
    system = _of(recipe, "tasks", UNDECIDED)
    change = {"memory": {"name": "transformer", "frames": 16, "stride": 4, "layers": 4}}
    control = _of(recipe, "tasks", UNDECIDED, **change)
    training = {"training": {"learning_rate": 1.0e-2}}
    system, control = (_with(variant, training) for variant in (system, control))
    test = "four tasks at a learning rate of 1e-2"
    return Row(test, "transformer without gates at that rate", system, control, plain("tasks", UNDECIDED))


def _frozen(recipe: str) -> Row:
    """Pre-training, beside a random encoder that is frozen alike; on a held-out task."""
    asked = Asked((HELD_OUT,))
    change = {
        "objectives": None,
        "training": {"action_weight": 1.0, "frozen": ["encoders", "mixer"]},
    }
    control = Training(f"systems/{recipe}", "held_out", change)
    system = replace(control, begin=Training(f"systems/{recipe}", "tasks"))
    test = "twenty demonstrations of a held-out task on a frozen encoder"
    return Row(test, "random frozen encoder", Variant(system, asked), Variant(control, asked), plain("held_out", asked))


def _with(variant: Variant, change: Change) -> Variant:
    training = variant.training
    return replace(variant, training=replace(training, change={**training.change, **change}))


def _goals(recipe: str, control_is: str, control: Variant) -> Row:
    asked = Asked(how="goal")
    reference = Variant(Training(f"systems/{recipe}", "play", L1), asked)
    test = "each of four goals from play without labels"
    return Row(test, control_is, _of(recipe, "play", asked), control, reference)


def rows() -> dict[str, Row]:
    """Name -> row."""
    rt1 = _of("rt1", "tasks", UNDECIDED)
    around, few = Asked((MODES,)), UNDECIDED
    beso = _of("beso", "play", Asked(how="goal"))
    cbet = _of("cbet", "play", Asked(how="no_goal"))
    transformer = _of("decision_transformer", "mixed", Asked(how="high_return"))
    mamba = _of("decision_mamba", "noisy", UNDECIDED)
    dream = _of("dreamvla", "few", few)
    shuffled = {"objectives": {"forecasting": None, "forecasting_shuffled": 0.2}}
    search = _of("bc_by_search", "tasks", Asked((HELD_OUT,)))
    search = replace(search, index="held_out")
    masked = _of("mtm", "tasks", UNDECIDED)
    baku = plain("tasks", UNDECIDED)
    return {
        "baku": Row(
            "four tasks from scenes that do not show which",
            "shuffled instructions",
            baku,
            replace(baku, asked=replace(UNDECIDED, how="shuffled")),
            baku,
        ),
        "rt1": Row(
            "four tasks from scenes that do not show which",
            "shuffled instructions",
            rt1,
            replace(rt1, asked=replace(UNDECIDED, how="shuffled")),
            plain("tasks", UNDECIDED),
        ),
        "dit": Row(
            "demonstrations in two ways are not averaged",
            "L1 head",
            _of("dit", "modes", around),
            plain("modes", around),
            plain("modes", around),
        ),
        "beso": _goals("beso", "guidance 0", replace(beso, exported={"head": {"guidance": 0.0}})),
        "cbet": _goals("cbet", "unconditioned", cbet),
        "dreamvla": Row(
            "four tasks from fifteen demonstrations each",
            "targets of other frames",
            dream,
            _with(dream, shuffled),
            plain("few", few),
        ),
        "decision_transformer": Row(
            "half of the recordings fail, and success is asked for",
            "a return of 0 is asked for",
            transformer,
            replace(transformer, asked=Asked(how="no_return")),
            plain("mixed", Asked()),
        ),
        "decision_convformer": _memory("decision_convformer"),
        "decision_mamba": Row(
            "30 % of the labels are wrong",
            "without the regulariser",
            mamba,
            _with(mamba, {"objectives": None}),
            plain("noisy", UNDECIDED),
        ),
        "s4": _memory("s4"),
        "lram": _memory("lram"),
        "gtrxl": _gated("gtrxl"),
        "recurrent_linear_transformer": _gated("recurrent_linear_transformer"),
        "inverse_dynamics": _frozen("inverse_dynamics"),
        "dynamo": _frozen("dynamo"),
        "mtm": Row(
            "the mask of a policy, and those of forward and inverse dynamics",
            "the policy's mask is not trained",
            masked,
            _with(masked, {"training": {"action_weight": 0.0}, "objectives": {"masked_trajectory": 1.0e-6}}),
            plain("tasks", UNDECIDED),
        ),
        "bc_by_search": Row(
            "a task that was in no training, from its index alone",
            "an index of other chunks",
            search,
            replace(search, exported={"head": {"shuffled": True}}),
            plain("held_out", Asked((HELD_OUT,))),
        ),
    }
