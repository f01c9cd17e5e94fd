"""The systems that are compared: what each is trained on, what is asked of it, and the control that must fail.

Of each row three policies are evaluated on the same seeds and episodes; each training has as many frames:

    system       the recipe of the paper
    control      the same without the part that the paper is about
    reference    a chunk under a regression loss (BAKU's shape), on the recordings of what is asked for

Where the paper is about a training before (`begin`), or about tasks that are known from an index alone, the system
learns from recordings that others of its row do not see; the table says what each learnt from, and from how much.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.systems_data import CUE, HELD_OUT, MODES, PICTURES, TASKS

Change = Mapping[str, Any]  # section of a recipe -> a value, or what is set in it; None: without it
NO_CHANGE: Change = {}


@dataclass(frozen=True)
class Training:
    """A recipe with a change, on recordings of a kind."""

    recipe: str  # a name in policy/recipes
    data: str  # a kind of benchmarks.systems_data
    change: Change = field(default_factory=dict)
    begin: "Training | None" = None  # with the weights of which it begins

    @property
    def stages(self) -> "tuple[Training, ...]":
        """What it begins with, and itself."""
        return (*(self.begin.stages if self.begin else ()), self)


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
    others: Mapping[str, Variant] = field(default_factory=dict)  # measured beside them
    share: float = 1  # of --samples: more where frames of one window teach less, fewer for policies that see

    @property
    def variants(self) -> dict[str, Variant]:
        """All of them, by name."""
        return {"system": self.system, "control": self.control, "reference": self.reference, **self.others}

    @property
    def recipe(self) -> str:
        """The recipe that stands for the paper."""
        training = self.system.training
        return (training.begin or training).recipe


UNDECIDED = Asked(start="undecided")
CUED = Asked((CUE,))
NEW = Asked((HELD_OUT,))
GOAL = Asked(how="goal")
WINDOW = {"frames": 32, "stride": 4}
L1: Change = {"head": {"name": "l1"}}
SEEN = 0.25  # of the frames, where the whole policy learns from pictures


def plain(data: str, asked: Asked) -> Variant:
    """The reference on recordings of a kind: with cameras of the size that systems have, or without."""
    seen = data.startswith(PICTURES)
    cameras = {"size": 64, "stem": 16, "channels": 32, "blocks": 1, "keypoints": 32}
    encoders: dict[str, Any] = {"cameras": cameras if seen else None}
    if not seen:  # the state is all that there is to see
        encoders["proprioception"] = {"noise": 0.02, "group_dropout": 0.0}
    training = {"batch_size": 64 if seen else 256, "learning_rate": 1.0e-3}
    return Variant(Training("systems/baku", data, {"encoders": encoders, "training": training}), asked)


def _of(recipe: str, data: str, asked: Asked, **change: Any) -> Variant:
    return Variant(Training(f"systems/{recipe}", data, change), asked)


def _with(variant: Variant, **change: Any) -> Variant:
    training = variant.training
    return replace(variant, training=replace(training, change={**training.change, **change}))


def _memory(recipe: str) -> Row:
    """A system that remembers, beside itself without its state and beside attention over the same frames."""
    system = _of(recipe, "cue", CUED, memory=WINDOW)
    return Row(
        "a cue that has left the frame decides what is done",
        "state zeroed at each step",
        system,
        replace(system, asked=replace(CUED, forgets=True)),
        plain("cue", CUED),
        {
            "transformer": _with(system, memory={"name": "transformer", **WINDOW}),
            "no memory": _with(system, memory={"name": "none", **WINDOW}),
        },
        share=3,
    )


def _gated(recipe: str, layers: int) -> Row:
    """A system with gates in its `layers`, beside a transformer of its depth at the same learning rate."""
    system = _of(recipe, "tasks", UNDECIDED, training={"learning_rate": 1.0e-2})
    return Row(
        "four tasks at a learning rate of 1e-2",
        "transformer without gates at that rate",
        system,
        _with(system, memory={"name": "transformer", "frames": 16, "stride": 4, "layers": layers}),
        plain("tasks", UNDECIDED),
        share=3,
    )


def _frozen(recipe: str) -> Row:
    """Pre-training of what reads pictures, beside a random encoder that is frozen alike; on a held-out task."""
    before, after = PICTURES + "tasks", PICTURES + "held_out"
    frozen = {"action_weight": 1.0, "frozen": ["encoders", "mixer"]}
    control = _of(recipe, after, NEW, objectives=None, training=frozen)
    forward = Training(f"systems/{recipe}", before, {"objectives": {recipe: None, "forward_prediction": 1.0}})

    def begun(training: Training) -> Variant:
        return replace(control, training=replace(control.training, begin=training))

    system = begun(Training(f"systems/{recipe}", before))
    return Row(
        "twenty demonstrations of a held-out task on a frozen encoder of pictures",
        "random frozen encoder",
        system,
        control,
        plain(after, NEW),
        {"nearest neighbours": _with(system, head={"name": "retrieval"}), "forward prediction": begun(forward)},
    )


def _goals(recipe: str, control_is: str, control: Variant) -> Row:
    """A system that is asked for goals, from play."""
    return Row(
        "each of four goals from play without labels",
        control_is,
        _of(recipe, "play", GOAL),
        control,
        Variant(Training(f"systems/{recipe}", "play", L1), GOAL),
    )


def _exported(variant: Variant, **head: Any) -> Variant:
    """The same weights under other settings of the head."""
    return replace(variant, exported={"head": head})


def rows() -> dict[str, Row]:
    """Name -> row."""
    baku, rt1, beso = plain("tasks", UNDECIDED), _of("rt1", "tasks", UNDECIDED), _of("beso", "play", GOAL)
    shuffled = replace(UNDECIDED, how="shuffled")
    around, few = Asked((MODES,), how="every_way"), _of("dreamvla", PICTURES + "few", Asked())
    once, returns = Asked((MODES,)), _of("decision_transformer", "mixed", Asked(how="high_return"))
    mamba, masked = _of("decision_mamba", "noisy", UNDECIDED), _of("mtm", "tasks", UNDECIDED)
    search = replace(_of("bc_by_search", "tasks", NEW), index="held_out")
    four = "four tasks from scenes that do not show which"
    return {
        "baku": Row(four, "shuffled instructions", baku, replace(baku, asked=shuffled), baku),
        "rt1": Row(four, "shuffled instructions", rt1, replace(rt1, asked=shuffled), baku),
        "dit": Row(
            "both ways round a block among six tries from one layout",
            "L1 head",
            _of("dit", "modes", around),
            plain("modes", around),
            plain("modes", around),
            {"either way": _of("dit", "modes", once), "either way, L1": plain("modes", once)},
        ),
        "beso": replace(
            _goals("beso", "guidance 0", _exported(beso, guidance=0.0)),
            others={"30 steps": _exported(beso, steps=30), "no guidance": _exported(beso, guidance=1.0)},
        ),
        "cbet": _goals("cbet", "unconditioned", _of("cbet", "play", Asked(how="no_goal"))),
        "dreamvla": Row(
            "four tasks from fifteen demonstrations each, from pictures",
            "targets of other frames",
            few,
            _with(few, objectives={"forecasting": None, "forecasting_shuffled": 0.2}),
            plain(PICTURES + "few", Asked()),
            {"no forecasting": _with(few, objectives=None), "L1 head": _with(few, **L1)},
            share=SEEN,
        ),
        "decision_transformer": Row(
            "half of the recordings fail, and success is asked for",
            "a return of 0 is asked for",
            returns,
            replace(returns, asked=Asked(how="no_return")),
            plain("mixed", Asked()),
        ),
        "decision_convformer": _memory("decision_convformer"),
        "decision_mamba": Row(
            "30 % of the labels are wrong",
            "without the regulariser",
            mamba,
            _with(mamba, objectives=None, training={"action_weight": 1.0}),
            plain("noisy", UNDECIDED),
            {"without the fine branch": _with(mamba, mixer={"name": "transformer", "layers": 2})},
        ),
        "s4": _memory("s4"),
        "lram": _memory("lram"),
        "gtrxl": _gated("gtrxl", 4),
        "recurrent_linear_transformer": _gated("recurrent_linear_transformer", 2),
        "inverse_dynamics": _frozen("inverse_dynamics"),
        "dynamo": _frozen("dynamo"),
        "mtm": Row(
            "the mask of a policy rolls out",
            "a mask that was in no training",
            masked,
            _with(
                masked,
                objectives={"masked_trajectory": None, "masked_trajectory_inverse": 1.0},
            ),
            baku,
            {"imitation alone": _with(masked, objectives=None, training={"action_weight": 1.0})},
        ),
        "bc_by_search": Row(
            "a task that was in no training, from its index alone",
            "an index of other chunks",
            search,
            _exported(search, shuffled=True),
            plain("held_out", NEW),
        ),
    }
