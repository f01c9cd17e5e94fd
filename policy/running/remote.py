"""A policy that another process or machine serves, in the place of a loaded graph.

frame -> Tracker -> RemoteSession.run --- observation ---> policy server
                                    <---- answer -------
"""

import hashlib
import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from policy.errors import InputError
from policy.robot.contract import Contract
from policy.running import policy_mapping
from policy.running.policy_client import SCHEMES, PolicyClient, PolicyServerError
from policy.running.policy_mapping import PolicyMapping
from policy.running.policy_messages import observation, outputs
from policy.running.session import Session
from policy.running.text import Sentence, clean


class RemoteSession(Session):
    """A policy behind ws://host:port, for one robot; the protocol is that of openpi's policy servers.

    `contract` is the robot's; `mapping` the YAML that docs/serving.md explains, None where the server's metadata has
    it, as that of `policy.serve` does. An instruction goes out as it is: whether the policy knows it cannot be told.
    An answer may take `timeout_s`, by default as long as its chunk would last: a later one has no set-point to come.
    Raises `InputError` where the server is not there or the mapping does not fit, and `PolicyServerError` in `run`.
    """

    def __init__(
        self, url: str, contract: Contract, mapping: str | Path | None = None, timeout_s: float | None = None
    ) -> None:
        given = policy_mapping.load(mapping, contract) if mapping else None
        self._client, self._lock = PolicyClient(url), Lock()
        self._used = self._anew = False  # something was asked on this connection; the next is to be another robot's
        try:
            self._client.connect()
        except PolicyServerError as error:
            raise InputError(str(error)) from None
        self._described = None if given else self._client.metadata.get("mapping")
        try:
            self._mapping = given or self._sent(url, contract)
            self.spec, self.contract, self.provider = self._mapping.spec(contract), contract, url
            self._taught = [] if self._described is None else _taught(self._client.metadata, url)
        except BaseException:
            self._client.close()  # whoever tries again leaves no connection behind
            raise
        self._known, self.parity = None, None  # what knows its instructions, how it differs from its export
        self._client.timeout = timeout_s or self._mapping.horizon / self._mapping.rate

    def _sent(self, url: str, contract: Contract) -> PolicyMapping:
        """The mapping that the server's metadata holds."""
        if self._described is None:
            keys = ", ".join(map(str, self._client.metadata))[:200] or "no keys"
            raise InputError(
                f"policy server {url} sent metadata with {keys}, which do not say what its observations and answers "
                "are; give a mapping, a YAML file as in docs/serving.md"
            )
        return policy_mapping.parse(self._described, contract, f"metadata of {url}")

    @property
    def tasks(self) -> list[str]:
        """What the policy was taught, by name; none where its server does not say."""
        return list(dict.fromkeys(task for task, _ in self._taught))

    @property
    def taught(self) -> list[tuple[str, str]]:
        """Task and sentence of all that the policy was taught; none where its server does not say."""
        return self._taught

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what its server and the mapping say of it."""
        described = json.dumps([self._client.metadata, asdict(self._mapping)], default=str, sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()

    def embed(self, text: str) -> Sentence:
        """The instruction as it is; `InputError` for an empty one."""
        nothing = np.zeros((self.spec.tokens, self.spec.text), np.float32)
        return Sentence(clean(text), nothing[0], nothing, np.zeros(self.spec.tokens, bool))

    def robot(self) -> AbstractContextManager[None]:
        """One robot alone has the connection."""
        return nullcontext()

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Session.run`, B = 1; `PolicyServerError` where no answer comes that can be used.

        `Refused` where the policy does not know the instruction.
        """
        with self._lock:
            if self._anew:
                self._client.renew()
                self._anew = False
            self._used = True
            answer = self._client.infer(observation(self._mapping, self.spec, feed))
            if self._described is not None and self._client.metadata.get("mapping") != self._described:
                raise PolicyServerError(
                    f"policy server {self.provider}: it serves another policy than before; configure the node again"
                )
        try:
            return outputs(self._mapping, self.spec, answer, feed["state"][0], self.contract.turns)
        except InputError as error:
            raise PolicyServerError(f"policy server {self.provider}: {error}") from None

    def forget(self) -> None:
        """A robot begins anew: so does the server, for which a new connection is one."""
        self._anew, self._used = self._anew or self._used, False

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._client.close()


def _taught(metadata: dict[str, Any], url: str) -> list[tuple[str, str]]:
    """Task and sentence of all that a policy was taught, as the metadata of its server say."""
    pairs = metadata.get("taught", [])
    if not isinstance(pairs, list) or any(
        not isinstance(pair, list) or len(pair) != 2 or any(not isinstance(text, str) for text in pair)
        for pair in pairs
    ):
        raise InputError(
            f"policy server {url} sent metadata with taught: {str(pairs)[:80]}, expected pairs of a task and a sentence"
        )
    return [(task, sentence) for task, sentence in pairs]


def open_session(
    model: str | Path,
    threads: int = 2,
    provider: str = "auto",
    contract: Contract | None = None,
    mapping: str | Path | None = None,
    timeout_s: float | None = None,
) -> Session:
    """A model folder as `Session` opens it, or the policy behind ws://host:port for the robot of a contract."""
    if not str(model).startswith(SCHEMES):
        if mapping:
            raise InputError(f"got a mapping, {mapping}, for {model}; only a served policy, ws://host:port, has one")
        return Session(model, threads, provider)
    if contract is None:
        raise InputError(f"{model} is a served policy, which has no contract of its own; give that of the robot")
    return RemoteSession(str(model), contract, mapping, timeout_s)
