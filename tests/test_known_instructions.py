"""What a policy was taught, and which other sentences it takes for it: a classifier that is trained here, in numpy."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file

from policy.errors import InputError
from policy.learning import instruction_classifier
from policy.learning.sentence_variants import Variants
from policy.running.clauses import steps
from policy.running.known_instructions import FILE, KnownInstructions
from policy.running.negation import negations
from policy.running.text import WIDTH, Sentence, Text
from tests import tiny

pytestmark = pytest.mark.slow

TAUGHT = [
    *[("open", text) for text in ("open the drawer", "pull the drawer open", "slide the drawer open", "drawer open")],
    *[("close", text) for text in ("close the drawer", "push the drawer shut", "shut the drawer", "drawer shut")],
    ("put_red", "put the red block in the bowl"),
    ("put_red", "place the red cube into the bowl"),
    ("put_red", "drop the red block in the dish"),
    ("put_blue", "put the blue block in the bowl"),
    ("put_blue", "place the blue cube into the bowl"),
    ("put_blue", "drop the blue block in the dish"),
    (None, "press the green button"),
]


@pytest.fixture(scope="module")
def text() -> Text:
    return Text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    instruction_classifier.write(made, TAUGHT)
    return made


@pytest.fixture(scope="module")
def known(folder: Path) -> KnownInstructions:
    return KnownInstructions(folder, WIDTH, 0.53)


def named(known: KnownInstructions, text: Text, sentence: str) -> list[str]:
    """The tasks that a sentence names, none where it is refused."""

    def read(clause: str) -> Sentence:
        return known.read(text.read(clause))

    try:
        return [one.task for one in steps(sentence, read)]
    except InputError:
        return []


def test_what_was_taught_is_known_in_any_case_and_punctuation(known: KnownInstructions, text: Text) -> None:
    for task, sentence in TAUGHT:
        for form in (sentence, sentence.capitalize() + ".", f"  {sentence.upper()}!"):
            assert named(known, text, form) == [task or sentence]


@pytest.mark.parametrize(
    ("sentence", "task"),
    [
        ("could you open the drawer", "open"),
        ("please shut the drawer now", "close"),
        ("place the red block in the bowl", "put_red"),
        ("now drop the blue cube into the bowl please", "put_blue"),
        ("don't forget to close the drawer", "close"),
        ("please press the green button", "press the green button"),
    ],
)
def test_other_words_for_it_are_known(known: KnownInstructions, text: Text, sentence: str, task: str) -> None:
    assert named(known, text, sentence) == [task]


@pytest.mark.parametrize(
    "sentence",
    [
        *(
            "put the yellow block in the bowl",
            "put the red block in the sink",
            "press the red button",
            "open the window",
        ),
        *("wash the red block", "don't put the red block in the bowl", "leave the drawer open", "close the red block"),
        *(
            "open the drawer or the bowl",
            "open the drawer and sing a song",
            "make coffee",
            "put the drawer in the bowl",
        ),
    ],
)
def test_what_is_none_of_it_is_refused(known: KnownInstructions, text: Text, sentence: str) -> None:
    assert named(known, text, sentence) == []


def test_two_tasks_are_two(known: KnownInstructions, text: Text) -> None:
    assert named(known, text, "open the drawer and put the red block in the bowl") == ["open", "put_red"]
    assert named(known, text, "shut the drawer after you put the blue block in the bowl") == ["put_blue", "close"]


def test_a_refusal_names_what_is_near(known: KnownInstructions, text: Text) -> None:
    with pytest.raises(
        InputError, match=r"unknown instruction 'put the yellow block in the bowl'.*put the \w+ block in"
    ):
        known.read(text.read("put the yellow block in the bowl"))
    with pytest.raises(InputError, match=r"forbids something \('do not'\)"):
        known.read(text.read("don't open the drawer"))


@pytest.mark.parametrize(
    ("sentence", "meant"),
    [
        ("opne the drawer", "'opne': did you mean 'open'"),
        ("please clos the drawer", "'clos': did you mean 'close'"),
        ("put the rad blockk in the bowl", "'blockk': did you mean 'block'"),
        ("press the green butten", "'butten': did you mean 'button'"),
    ],
)
def test_a_slip_of_the_fingers_is_not_taken_for_the_opposite(
    known: KnownInstructions, text: Text, sentence: str, meant: str
) -> None:
    with pytest.raises(InputError, match=meant):
        known.read(text.read(sentence))


def test_other_words_are_no_slips(known: KnownInstructions, text: Text) -> None:
    """An ending, another first letter, or another letter of a short word."""
    slips = {
        word: known._misspelt(word) for word in ("drawers", "bowls", "buttons", "dropped", "stow", "ablock", "rad")
    }
    assert set(slips.values()) == {""}
    assert text.read("nudge Knobs, don't unscrew it").rare == ("nudge", "Knobs", "unscrew")


def test_a_word_that_negates_is_allowed_only_as_it_was_taught() -> None:
    """What one sentence says of the lamp forbids in another."""
    known = KnownInstructions.__new__(KnownInstructions)
    known.taught = [("lamp_off", "get the lamp to stop shining"), ("lamp_off", "leave the lamp off")]
    known.tasks, known._exact, known._words = ["lamp_off"], {}, set()
    known._negations = {"lamp_off": frozenset(n for _, text in known.taught for n in negations(text))}
    known.probabilities = lambda _: np.array([1.0, 0.0])  # type: ignore[method-assign]
    known._w, known._least = {"instructions": np.ones((1, 2), np.float32)}, 0.0
    assert known.read(tiny.sentence("please get the lamp to stop shining", np.ones(2, np.float32))).task == "lamp_off"
    assert known.read(tiny.sentence("leave that lamp off", np.ones(2, np.float32))).task == "lamp_off"
    with pytest.raises(InputError, match=r"forbids something \('stop'\)"):
        known.read(tiny.sentence("stop turning off the lamp", np.ones(2, np.float32)))


def test_it_is_what_was_trained(text: Text) -> None:
    """The tensors read the states themselves, the network in torch their whitened components."""
    read = text.read_all([sentence for _, sentence in TAUGHT])
    states = F.layer_norm(torch.from_numpy(np.stack([one.states for one in read])), (WIDTH,))
    mask = torch.from_numpy(np.stack([one.mask for one in read]))
    torch.manual_seed(0)
    whitening = instruction_classifier._Whitening(states[mask])
    network = instruction_classifier._Network(instruction_classifier.COMPONENTS, 5).eval()
    torch.nn.init.normal_(network.position)
    expected = network(whitening(states) * mask[..., None], mask).softmax(1).detach().numpy()
    shapes = instruction_classifier.classifier_shapes(
        1, WIDTH, *network.attention.weight.T.shape, network.hidden.out_features, 5
    )
    unfolded = whitening.unfolded(network)
    known = object.__new__(KnownInstructions)
    known._w = {name: unfolded[name].reshape(shape) for name, shape in shapes.items()}
    for sentence, row in zip(read, expected, strict=True):
        np.testing.assert_allclose(known.probabilities(sentence), row, atol=1e-4)


def test_a_file_that_is_damaged_or_of_another_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / FILE)
    with pytest.raises(InputError, match="cannot be read"):
        KnownInstructions(tmp_path, WIDTH, 0.53)
    save_file(tensors, tmp_path / FILE)
    with pytest.raises(InputError, match="cannot be read"):  # without the sentences
        KnownInstructions(tmp_path, WIDTH, 0.53)
    for change in ({"position": tensors["position"][:, :5]}, {"other": np.zeros(1)}):
        save_file(tensors | change, tmp_path / FILE, {"sentences": '[["a", "open the drawer"]]'})
        with pytest.raises(InputError, match="does not hold 1 taught sentences"):
            KnownInstructions(tmp_path, WIDTH, 0.53)


def test_whoever_may_read_the_model_may_read_its_instructions(folder: Path) -> None:
    (folder / "spec.json").touch()
    assert (folder / FILE).stat().st_mode == (folder / "spec.json").stat().st_mode


@pytest.mark.heavy  # it is trained once more
def test_the_file_is_small_and_the_same_again(folder: Path, tmp_path: Path) -> None:
    assert (folder / FILE).stat().st_size < 2_000_000
    instruction_classifier.write(tmp_path, TAUGHT)
    assert (tmp_path / FILE).read_bytes() == (folder / FILE).read_bytes()


def test_variants_name_what_they_are_made_of_or_nothing() -> None:
    taught = [
        ("red", "put the red block in the bowl"),
        ("blue", "put the blue block in the bowl"),
        ("open", "open the box"),
    ]
    sentences = Variants(taught, lambda thing, others: thing in others).sentences
    assert sentences["in the bowl, put the red block"] == "red"
    assert sentences["open the box"] == "open" and sentences["put the blue block in the bowl"] == "blue"
    shades = {"crimson", "scarlet", "ruby", "carmine", "vermilion", "cherry"}
    assert {task for text, task in sentences.items() if shades & set(text.split()) and task} == {"red"}
    others = {"yellow", "pink", "orange", "brown", "beige", "golden", "silver", "striped"}
    assert {task for text, task in sentences.items() if others & set(text.split())} == {None}
    assert None in {task for text, task in sentences.items() if "don't" in text.split()}
    assert {sentences[thing] for thing in ("bowl", "red block", "box")} == {None}
    both = {text for text in sentences if "red block and the blue block" in text or "red block as well as" in text}
    assert {sentences[text] for text in both} == {None}
    assert not any(task == "red" for text, task in sentences.items() if {"blue", "box"} & set(text.split()))


def test_which_sentences_were_taught_as_they_stand(known: KnownInstructions) -> None:
    assert known.taught_as_one("Pull the drawer open.") and not known.taught_as_one("open the drawer and close it")
