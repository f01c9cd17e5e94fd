"""The words of the instruction in their order, as tokens; the pooled sentence embedding is nearly blind to order."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from policy.learning.encoders.group_dropout import group_dropout, where_present
from policy.learning.encoders.window_noise import first_rows
from policy.learning.interfaces import Encoder
from policy.learning.normalization import Statistics
from policy.ranges import PART
from policy.spec import Spec


class Words(Encoder):
    """One token for the current sentence and, with `previous`, one for the previous: attention learns what to read.

        states (L, D) -> norm + position -> keys, values     each query: softmax(query . keys) values -> MLP -> token

    Attention pooling as in Set Transformer (Lee et al. 2019); both sentences are rows of the same products. The states
    themselves hardly say where a word stands: two places of "red" differ less (cosine .96) than two colours at one
    place (.66). Hence a learnt position. Noise and dropped words in training stand for the phrasings that no
    demonstration has.
    """

    @dataclass(frozen=True)
    class Settings:
        queries: int = 8
        size: int = 64  # of a query, of a key and of a value: wider ones cost an inference a tenth
        noise: float = 0.3  # training: of the normalised states
        drop_words: float = field(default=0.1, metadata=PART)  # training: share of the tokens that are not read
        dropout: float = field(default=0.1, metadata=PART)  # training: of the hidden units
        previous: bool = False  # the previous instruction, too
        optional: bool = False  # the policy also acts without an instruction

    def __init__(self, settings: Settings, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(settings, spec, width, statistics)
        self.settings, self.tokens = settings, 2 if settings.previous else 1
        self.inputs = tuple(
            f"{which}{part}"
            for which in ("instruction", "previous_instruction")[: self.tokens]
            for part in ("_tokens", "_mask")
        ) + (("instruction_present",) if settings.optional else ())
        self.norm = nn.LayerNorm(spec.text, elementwise_affine=False)
        self.position = nn.Parameter(0.5 * torch.randn(spec.tokens, spec.text))
        self.keys, self.values = nn.Linear(spec.text, settings.size), nn.Linear(spec.text, settings.size)
        self.queries = nn.Parameter(torch.randn(settings.queries, settings.size))
        read = settings.queries * settings.size
        self.current = nn.Sequential(
            nn.Linear(read, width),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(width, width),
            nn.LayerNorm(width),
        )
        if settings.previous:
            last = nn.Linear(width, width)
            self.changed = nn.Sequential(nn.Linear(2 * read, width), nn.GELU(), last)
            nn.init.normal_(last.weight, std=0.01)  # training begins as if the token were absent

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, L, D) and masks (B, L) of one or two sentences to a token for each; see `Encoder.forward`."""
        sentences = self.tokens  # one or two
        read = self.pool(torch.stack(inputs[0 : 2 * sentences : 2], 1), torch.stack(inputs[1 : 2 * sentences : 2], 1))
        tokens = [self.current(read[:, 0])]
        if self.settings.previous:
            tokens.append(self.changed(torch.cat([read[:, 1], read[:, 1] - read[:, 0]], 1)))
        group = torch.stack(tokens, 1)
        return where_present(group, inputs[-1]) if self.settings.optional else group_dropout(group, 0.0, self.training)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, S, L, D) of S sentences, mask (B, S, L) -> what the queries read (B, S, queries * size)."""
        x = self.norm(states) + self.position
        if self.training:
            rows = first_rows(states, self.frames)
            x = x + self.settings.noise * torch.randn_like(x)[rows]
            drawn = torch.rand(mask.shape, device=mask.device)[rows]
            kept = mask & (drawn >= self.settings.drop_words)
            mask = torch.where(kept.any(-1, keepdim=True), kept, mask)
        # of rows, as the exporter keeps the weights of matrices under their names and others transposed, without one
        keys, values = (layer(x.flatten(0, 2)).view(*mask.shape, -1) for layer in (self.keys, self.values))
        scores = self.queries @ keys.transpose(-1, -2) * self.queries.shape[-1] ** -0.5
        weights = torch.where(mask[:, :, None], scores.float(), -1e9).softmax(-1).to(x.dtype)
        read: Tensor = weights @ values
        return read.flatten(2)
