"""The committed prefix of a chunk: what the graph reads of it, and what a loop commits."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from policy.errors import InputError
from policy.learning import recipe
from policy.learning.heads import HEADS
from policy.learning.interfaces import Prefix
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.onnx_graph import DTYPES
from policy.robot.contract import load
from policy.running.commitment import Commitment
from policy.running.loop import InferenceLoop
from policy.running.schedule import STRATEGIES, Schedule
from policy.running.session import Session
from policy.spec import Chunk
from tests import small
from tests.tiny import write_model

SPEC, DT = load("tabletop").spec, 50_000_000


def policy(head: str) -> Policy:
    torch.manual_seed(0)
    raw = small.shrink("chunk")
    raw["encoders"]["committed"] = {}
    raw["head"] = {"name": head, **({"hidden": 8, "heads": 2} if head == "flow" else {"hidden": 8})}
    made = Policy(recipe.parse(raw), SPEC, identity_statistics(SPEC)).eval()
    with torch.no_grad():  # some layers begin at zero, as if their input were absent
        for part in (made.encoders["committed"], made.head):
            for parameter in part.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    if made.head.indexed:
        made.head.index(torch.zeros(20, 16), torch.randn(20, SPEC.horizon, len(SPEC.action)))
    return made


def inputs(made: Policy, steps: list[int]) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    named = {
        name: torch.randint(0, 256, (len(steps), *shape), dtype=torch.uint8)
        if dtype == "uint8"
        else torch.randn(len(steps), *shape).to(DTYPES[dtype])
        for name, (dtype, shape) in made.spec.inputs().items()
    }
    return named | {"committed_steps": torch.tensor(steps)}


@pytest.mark.parametrize("head", HEADS)
def test_the_chunk_begins_with_what_is_committed_and_reads_nothing_beyond(head: str) -> None:
    made = policy(head)
    named = inputs(made, [0, 3, 8])
    rows = torch.arange(SPEC.horizon)[None, :, None] >= named["committed_steps"][:, None, None]
    noise = named | {"committed": torch.where(rows, 1e6 * torch.randn_like(named["committed"]), named["committed"])}
    with torch.no_grad():
        first, second = made(*named.values())[0], made(*noise.values())[0]
        other = made(*(named | {"committed": named["committed"] + 0.3}).values())[0]
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    prefix = made.prefix(noise)
    assert prefix is not None and not prefix.chunk[~prefix.mask].any(), "a head is given nothing beyond it"
    for chunk, committed, steps in zip(first, named["committed"], (0, 3, 8), strict=True):
        torch.testing.assert_close(chunk[:steps], committed[:steps], atol=1e-4, rtol=0)
    assert torch.equal(other[0], first[0]), "nothing is committed"
    if head != "bins":  # the most probable bin may stay the same
        assert not torch.allclose(other[1, 3:], first[1, 3:])


def test_flow_learns_only_what_comes_after_the_prefix() -> None:
    torch.manual_seed(0)
    head = HEADS["flow"](HEADS["flow"].Settings(hidden=8, heads=2), 4, 6, 2)
    target, mask = torch.randn(3, 6, 2), torch.ones(3, 6, dtype=torch.bool)
    committed = torch.arange(6) < torch.tensor([2, 0, 5])[:, None]
    prefix = Prefix(torch.where(committed[..., None], target, 0.0), committed)
    losses = []
    for wrong in (0.0, 100.0):
        torch.manual_seed(1)
        under = torch.where(committed[..., None], wrong, target)
        losses.append(head.loss(torch.zeros(3, 4), under, mask & ~committed, prefix).item())
    assert losses[0] == losses[1]


def chunk(stamp: int, values: list[float], committed: int = 0) -> Chunk:
    return Chunk(stamp * DT, DT, np.array(values, np.float32)[:, None], 1, None, committed)


def schedule(name: str) -> Schedule:
    made = STRATEGIES[name]()
    made.switch(1, 0)
    return made


def ahead(made: Schedule, now: int) -> dict[int, float]:
    times, actions = made.ahead(now * DT)
    return dict(zip((times / DT).tolist(), actions[:, 0].astype(float).round(3).tolist(), strict=True))


def test_rtc_joins_a_chunk_after_its_committed_steps_whenever_it_comes() -> None:
    for now in (0, 1, 2):
        made = schedule("rtc")
        made.add(chunk(0, [1, 2, 3, 4, 5, 6]), 0)
        assert made.committed(DT, 2, DT).ravel().tolist() == [2, 3]
        assert made.add(chunk(1, [2, 3, 40, 50, 60], committed=2), now * DT)
        expected = {1: 1, 2: 2, 3: 3, 4: 40, 5: 50, 6: 60}
        assert ahead(made, now) == {time: value for time, value in expected.items() if time > now}


def test_rtc_discards_a_chunk_later_than_its_committed_steps_and_the_old_one_goes_on() -> None:
    made = schedule("rtc")
    made.add(chunk(0, [1, 2, 3, 4, 5, 6]), 0)
    assert not made.add(chunk(1, [2, 3, 40, 50], committed=2), 4 * DT)
    assert ahead(made, 4) == {5: 5, 6: 6}


def test_ensemble_is_the_weighted_mean_of_all_chunks_and_a_switch_empties_it() -> None:
    made = schedule("ensemble")
    made.add(chunk(0, [0, 0, 0, 0]), 0)
    made.add(chunk(1, [1, 1, 1, 1]), DT)
    weights = np.exp(-0.01 * np.arange(2))
    mean = round(float(weights[1] / weights.sum()), 3)
    assert ahead(made, 1) == {2: mean, 3: mean, 4: mean, 5: 1}
    made.switch(1, 0)
    made.add(chunk(2, [7, 7]), 2 * DT)
    assert ahead(made, 2) == {3: 7, 4: 7}


def test_as_many_steps_are_committed_as_the_slowest_of_the_last_chunks_took_and_one_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    commitment = Commitment(DT, 16)
    assert commitment.steps(switching=False) == 0, "nothing is known before the first chunk"
    for delay in (DT // 2, 2 * DT, DT // 2):
        commitment.measured(delay, 2, in_time=True)
    assert commitment.steps(switching=False) == 3 and commitment.steps(switching=True) == 2
    for _ in range(20):
        commitment.measured(DT // 2, 2, in_time=True)
    assert commitment.steps(switching=False) == 2, "only the last 20 count"
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            commitment.measured(12 * DT, 8, in_time=False)
    assert commitment.given_up and commitment.steps(switching=False) == 0 and "3 chunks in a row" in caplog.text
    for _ in range(20):
        commitment.measured(DT, 0, in_time=True)
    assert commitment.steps(switching=False) == 2 and not commitment.given_up, "they come in time again"


def test_a_strategy_that_the_policy_cannot_serve_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    session = Session(tmp_path / "model")
    assert InferenceLoop(session, lambda: None).schedule == "replace"
    assert InferenceLoop(session, lambda: None, schedule="ensemble").schedule == "ensemble"
    with pytest.raises(InputError, match="rtc: this policy does not read"):
        InferenceLoop(session, lambda: None, schedule="rtc")
    with pytest.raises(InputError, match="did you mean 'replace'"):
        InferenceLoop(session, lambda: None, schedule="replaced")
