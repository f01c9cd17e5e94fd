"""Instructions of all bags together: those that the sentence encoder cannot read."""

from collections.abc import Callable, Mapping

from policy.data.findings import Finding
from policy.errors import InputError


def check_sentences(sentences: Mapping[str, str], read: Callable[[str], object]) -> list[tuple[str, Finding]]:
    """(bag, finding) of the sentences, each with a bag that has it; `read` raises `InputError` where it cannot."""
    findings = []
    for sentence, bag in sentences.items():
        try:
            read(sentence)
        except InputError as error:
            findings.append((bag, Finding("error", "an instruction cannot be read", str(error), "")))
    return findings
