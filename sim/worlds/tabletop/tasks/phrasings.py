"""The sentences of each task that training may use, from `phrasings.yaml`; held-out ones stand in the task itself."""

from pathlib import Path

from policy import strict_yaml

PHRASINGS: dict[str, tuple[str, ...]] = {
    task: tuple(sentences) for task, sentences in strict_yaml.read(Path(__file__).with_name("phrasings.yaml")).items()
}
