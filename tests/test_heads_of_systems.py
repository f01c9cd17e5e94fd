"""What the heads of published systems promise beyond what every head does (tests/test_recipes.py)."""

import pytest
import torch

from policy.learning import recipe
from policy.learning.heads import HEADS
from policy.learning.heads.bins import Bins
from policy.learning.heads.bins_offset import BinsOffset
from policy.learning.heads.diffusion import Diffusion
from policy.learning.heads.retrieval import Retrieval
from policy.learning.interfaces import Head
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.robot.contract import load
from tests import small

SPEC = load("tabletop").spec


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 3), ("heun", 8)])
def test_diffusion_gives_the_same_at_few_steps_and_at_many(sampler: str, steps: int) -> None:
    """Of a distribution that is one chunk for each feature, which a trained network knows at any noise."""
    torch.manual_seed(0)
    few = Diffusion(Diffusion.Settings(hidden=32, layers=1, sampler=sampler, steps=steps), 8, 4, 2)
    many = Diffusion(Diffusion.Settings(hidden=32, layers=1, sampler=sampler, steps=30), 8, 4, 2)
    features, target, mask = torch.randn(6, 8), torch.randn(6, 4, 2), torch.ones(48, 4, dtype=torch.bool)
    optimizer = torch.optim.Adam(few.parameters(), 5e-3)
    for _ in range(300):
        loss = few.loss(features.repeat(8, 1), target.repeat(8, 1, 1), mask, None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    many.load_state_dict(few.state_dict())
    noise = torch.randn(6, 4, 2)
    with torch.no_grad():
        chunks = [head.sample(features, noise, None) for head in (few, many)]
    assert (chunks[0] - chunks[1]).abs().mean() < 0.15 and (chunks[0] - target).abs().mean() < 0.2


def test_guidance_leads_from_what_is_done_without_conditions_to_what_is_done_with_them_and_beyond() -> None:
    torch.manual_seed(0)
    heads = {
        g: Diffusion(Diffusion.Settings(hidden=16, layers=1, steps=1, guidance=g), 8, 4, 2) for g in (0.0, 1.0, 2.0)
    }
    assert [head.guided for head in heads.values()] == [True, False, True]
    with torch.no_grad():
        for parameter in heads[1.0].parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    for head in heads.values():
        head.load_state_dict(heads[1.0].state_dict())
    features, absent, noise = torch.randn(3, 8), torch.randn(3, 8), torch.randn(3, 4, 2)
    with torch.no_grad():
        with_them, without = (heads[1.0].sample(f, noise, None) for f in (features, absent))
        torch.testing.assert_close(heads[0.0].sample_guided(features, absent, noise, None), without)
        beyond = heads[2.0].sample_guided(features, absent, noise, None)
    assert (with_them - without).abs().max() > 1e-3
    torch.testing.assert_close(beyond, without + 2 * (with_them - without), atol=1e-4, rtol=1e-4)


def test_a_guided_policy_reads_its_conditions_and_at_guidance_0_ignores_them() -> None:
    raw = recipe.dump(recipe.load("systems/beso")) | {"width": 16}
    raw["head"] |= {"hidden": 16, "layers": 1}
    made = {}
    for guidance in (0.0, 2.0):
        raw["head"]["guidance"] = guidance
        made[guidance] = Policy(recipe.parse(raw), SPEC, identity_statistics(SPEC)).eval()
    with torch.no_grad():
        for parameter in made[2.0].parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    made[0.0].load_state_dict(made[2.0].state_dict())
    given = {name: torch.randn(2, *shape) for name, (_, shape) in made[2.0].spec.inputs().items()}
    given["goal_present"] = torch.ones(2, dtype=torch.bool)
    other = given | {"goal_state": given["goal_state"] + 1}
    with torch.no_grad():
        changed = {g: (p(*given.values())[0] - p(*other.values())[0]).abs().max() for g, p in made.items()}
    assert changed[0.0] == 0 and changed[2.0] > 1e-3


def test_retrieval_gives_the_chunk_of_the_nearest_frame_and_a_shuffled_index_that_of_another() -> None:
    keys, chunks = 3 * torch.randn(20, 8), torch.randn(20, 4, 2)
    found = Retrieval(Retrieval.Settings(hidden=8, entries=50), 8, 4, 2)
    found.index(keys, chunks)
    torch.testing.assert_close(found.sample(keys + 0.01, None, None), chunks, atol=1e-2, rtol=0)
    other = Retrieval(Retrieval.Settings(hidden=8, entries=40, shuffled=True), 8, 4, 2)
    other.index(keys, chunks)
    assert (other.sample(keys, None, None) - chunks).abs().mean() > 0.3
    between = Retrieval(Retrieval.Settings(hidden=8, entries=3), 8, 4, 2)
    between.index(torch.tensor([-1.0, 1.0])[:, None].expand(2, 8), chunks[:2])
    torch.testing.assert_close(between.sample(torch.zeros(1, 8), None, None)[0], chunks[:2].mean(0))


def test_the_same_weights_with_the_index_of_other_recordings_do_another_thing() -> None:
    made = Policy(recipe.parse(small.shrink("systems/bc_by_search")), SPEC, identity_statistics(SPEC)).eval()
    given, chunks = small.batch(SPEC), []
    given.pop("is_first")
    with torch.no_grad():
        for further in (0.0, 1.0):
            whole = given | {"actions": given["actions"] + further}
            made.index({name: value[part] for name, value in whole.items()} for part in (slice(7), slice(7, 10)))
            chunks.append(made(*(given[name] for name in made.inputs))[0])
    torch.testing.assert_close(chunks[1], chunks[0] + 1.0, atol=1e-4, rtol=0)


def test_heads_do_not_read_targets_that_are_not_learnt() -> None:
    """Of their neighbours: what lies there is what was done under the next instruction."""
    for name, kind in HEADS.items():
        torch.manual_seed(0)
        head = kind(small.settings(kind, hidden=16), 8, 4, 2)
        features, target, mask = torch.randn(6, 8), torch.randn(6, 4, 2), torch.ones(6, 4, dtype=torch.bool)
        head.prepare(torch.randn(100, 4, 2))
        mask[:, 2:] = False
        with torch.no_grad():
            for parameter in head.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
        losses = []
        for further in (0.0, 3.0):
            torch.manual_seed(1)
            other = target.clone()
            other[:, 2:] += further
            losses.append(head.loss(features, other, mask, None).item())
        assert losses[0] == losses[1], name


def test_bins_become_wider_where_new_data_go_beyond_them_and_are_learnt_anew() -> None:
    torch.manual_seed(0)
    head = Bins(Bins.Settings(bins=8, hidden=8), 4, 2, 3)
    old = torch.randn(50, 2, 3)
    old[..., 2] = 0.0  # it never moved
    head.prepare(old)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    assert head.go_on(old) == "" and head.go_on(0.5 * old) == ""
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
    new = 0.5 * old
    new[:, 1, 2] = torch.linspace(-1, 2, 50)
    assert "in 1 of 6 numbers" in head.go_on(new)
    assert (head.low[1, 2], head.high[1, 2]) == (-1, 2), "which it can be asked for now"
    others = torch.ones(2, 3, dtype=torch.bool)
    others[1, 2] = False
    assert torch.equal(head.low[others], before["low"][others]) and torch.equal(
        head.high[others], before["high"][others]
    )
    assert not torch.equal(head.logits.weight, before["logits.weight"])
    assert torch.equal(head.layers[0].weight, before["layers.0.weight"]), "what comes before them is kept"


def test_a_centre_is_drawn_in_float16_as_in_float32() -> None:
    """What hardly ever is drawn does not become certain where the numbers from 0 to 1 are coarse."""
    head = BinsOffset(BinsOffset.Settings(bins=8, hidden=4), 4, 2, 3)
    with torch.no_grad():
        head.centres.copy_(torch.arange(8.0)[:, None, None].expand_as(head.centres))
        head.offsets.weight.zero_(), head.offsets.bias.zero_()
        head.logits.weight.zero_()
        head.logits.bias.copy_(torch.tensor([0.0] + [-20.0] * 7))
        noise = torch.cat([torch.full((1, 8), 6.0), torch.full((1, 8), -6.0), 3 * torch.randn(50, 8)])
        for kind in (torch.float32, torch.float16):
            drawn = head.to(kind).sample(torch.zeros(52, 4, dtype=kind), noise.to(kind), None)
            assert (drawn == 0).all(), kind


def test_heads_are_asked_for_what_they_declare() -> None:
    """So that nobody asks which head it is."""
    for name, kind in HEADS.items():
        head = kind(kind.Settings(), 16, 4, 2)
        assert bool(head.indexed) == (kind.index is not Head.index), name
        assert not head.guided or kind.sample_guided is not Head.sample_guided, name
