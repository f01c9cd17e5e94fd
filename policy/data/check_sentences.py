"""Instructions that the sentence encoder cannot read, over all bags: each sentence is tried once."""

from collections.abc import Callable, Mapping, Sequence

from policy.data.findings import Finding
from policy.errors import InputError


def check_sentences(
    instructions: Mapping[str, Sequence[str]], read: Callable[[str], object]
) -> list[tuple[str, Finding]]:
    """(bag, finding) of the instructions of each bag; `read` raises `InputError` where it cannot."""
    why = dict[str, str]()
    for sentence in {sentence for of_bag in instructions.values() for sentence in of_bag}:
        try:
            read(sentence)
        except InputError as error:
            why[sentence] = str(error)
    return [
        (bag, Finding("error", "an instruction cannot be read", why[sentence], ""))
        for bag, of_bag in instructions.items()
        for sentence in dict.fromkeys(of_bag)
        if sentence in why
    ]
