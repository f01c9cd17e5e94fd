"""Extended long short-term memory over frames (xLSTM: Extended Long Short-Term Memory, Beck et al. 2024).

    matrix cell    C = f C + i k v^T,  n = f n + i k,    h = C^T q / max(|n q|, 1)     in chunks of a window at once
    scalar cell    c = f c + i z,      n = f n + i,      h = o c / n                   its gates read the last h

As A Large Recurrent Action Model: xLSTM enables Fast Inference for Robotics Tasks (Schmied et al. 2024) uses it. The
input gate is exponential: all is kept divided by exp(m), m the largest exponent so far, which changes no output.
"""

from dataclasses import dataclass, field
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.errors import InputError
from policy.learning.attention_heads import check_heads
from policy.learning.interfaces import SequenceMixer, State
from policy.learning.sequence_mixers.scan import scan
from policy.learning.sequence_mixers.segments import shifted
from policy.ranges import NOT_NEGATIVE, at_least

NEVER = -1e30  # the exponent of what is not read
SMALL = 1e-6
Cell = tuple[Tensor, Tensor, Tensor]  # C (B, heads, d, d), n (B, heads, d), m (B, heads)


class MatrixLayer(nn.Module):
    """A matrix cell of E = 2 * width channels between projections, added to its input."""

    def __init__(self, width: int, heads: int, chunk: int, taps: int) -> None:
        super().__init__()
        inner, self.heads, self.chunk = 2 * width, heads, chunk
        self.norm = nn.LayerNorm(width)
        self.enter, self.out = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)
        self.taps = nn.Parameter(torch.randn(taps, inner) / taps)  # [i]: of i frames ago
        self.query_key, self.value = nn.Linear(inner, 2 * inner, bias=False), nn.Linear(inner, inner, bias=False)
        self.gates = nn.Linear(inner, 2 * heads)
        self.head_norm = nn.LayerNorm(inner // heads)
        with torch.no_grad():  # remembers long when training begins, and takes in little
            self.gates.weight.mul_(0.1)
            self.gates.bias[:heads] = -1.0
            self.gates.bias[heads:] = torch.linspace(3.0, 6.0, heads)

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width), is_first (B, T) to the shape of x."""
        u, z = self.enter(self.norm(x)).chunk(2, -1)
        q, k, v, enter, forget = self._read(sum(shifted(u, is_first, i) * tap for i, tap in enumerate(self.taps)), u)
        d = q.shape[-1]
        cell = (
            q.new_zeros(len(q), self.heads, d, d),
            q.new_zeros(len(q), self.heads, d),
            q.new_zeros(len(q), self.heads),
        )
        outputs = []
        for begin in range(0, x.shape[1], self.chunk):
            part = slice(begin, begin + self.chunk)
            h, cell = _chunk(
                q[:, part], k[:, part], v[:, part], enter[:, part], forget[:, part], is_first[:, part], cell
            )
            outputs.append(h)
        return self._leave(x, z, torch.cat(outputs, 1))

    def step(self, x: Tensor, cell: Cell, before: Tensor) -> tuple[Tensor, Cell, Tensor]:
        """x (B, width), the cell and before (B, taps - 1, E), the newest last, to the same."""
        u, z = self.enter(self.norm(x)).chunk(2, -1)
        before = torch.cat([before, u[:, None]], 1)
        q, k, v, enter, forget = self._read((before.flip(1) * self.taps).sum(1), u)
        matrix, total, m = cell
        largest = torch.maximum(forget + m, enter)
        kept, taken = (forget + m - largest).exp()[..., None], (enter - largest).exp()[..., None]
        matrix = kept[..., None] * matrix + taken[..., None] * k[..., :, None] * v[..., None, :]
        total = kept * total + taken * k
        read = (matrix * q[..., :, None]).sum(-2)
        h = read / torch.maximum((total * q).sum(-1).abs(), (-largest).exp())[..., None]
        return self._leave(x, z, h), (matrix, total, largest), before[:, 1:]

    def _read(self, convolved: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """u (..., E) to q, k, v (..., heads, d) and the logarithms of both gates (..., heads), in float32."""
        convolved = F.silu(convolved)
        q, k = self.query_key(convolved).float().chunk(2, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in (q, k, self.value(u).float()))
        enter, forget = self.gates(convolved).float().chunk(2, -1)
        return q, k * k.shape[-1] ** -0.5, v, enter, F.logsigmoid(forget)

    def _leave(self, x: Tensor, z: Tensor, h: Tensor) -> Tensor:
        added: Tensor = self.out(self.head_norm(h.to(x.dtype)).flatten(-2) * F.silu(z))
        return x + added


class ScalarLayer(nn.Module):
    """A scalar cell for each channel, whose gates read the last output of their head, added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.read, self.out = nn.Linear(width, 4 * width), nn.Linear(width, width)
        size = width // heads
        self.carry = nn.Parameter(torch.randn(heads, size, 4 * size) * 0.2 * size**-0.5)
        with torch.no_grad():
            self.read.bias[2 * width : 3 * width] = torch.linspace(3.0, 6.0, width)  # remembers long

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width), is_first (B, T) to the shape of x."""
        read, kept = self.read(self.norm(x)), (~is_first).to(x.dtype)[:, :, None, None]
        cell, outputs = x.new_zeros(len(x), 4, x.shape[-1], dtype=torch.float32), []
        for t in range(x.shape[1]):
            cell = self._next(read[:, t], cell * kept[:, t])
            outputs.append(cell[:, 3])
        added: Tensor = self.out(torch.stack(outputs, 1).to(x.dtype))
        return x + added

    def step(self, x: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, width) and the cell (B, 4, width): c, n, m, h, to the same."""
        cell = self._next(self.read(self.norm(x)), cell)
        return x + self.out(cell[:, 3].to(x.dtype)), cell

    def _next(self, read: Tensor, cell: Tensor) -> Tensor:
        c, n, m, h = cell.unbind(1)
        size = h.shape[-1] // self.heads
        carried = (h.view(-1, self.heads, 1, size) @ self.carry.float()).view(-1, self.heads, 4, size)
        gates = read.float().view(-1, 4, h.shape[-1]) + carried.transpose(1, 2).flatten(2)
        z, enter, forget, leave = gates.unbind(1)
        forget = F.logsigmoid(forget)
        largest = torch.maximum(forget + m, enter)
        kept, taken = (forget + m - largest).exp(), (enter - largest).exp()
        c, n = kept * c + taken * z.tanh(), kept * n + taken
        return torch.stack([c, n, largest, leave.sigmoid() * c / n.clamp(min=SMALL)], 1)


class XLSTM(SequenceMixer):
    """Layers with a matrix cell, then layers with a scalar cell; the state has one size, however long the past."""

    @dataclass(frozen=True)
    class Settings:
        layers: int = 2  # in all
        scalar: int = field(default=1, metadata=NOT_NEGATIVE)  # of them, the last ones
        heads: int = 4
        chunk: int = 16  # frames of a window that a matrix cell computes at once
        taps: int = field(default=4, metadata=at_least(2))  # frames of the short convolution

    def __init__(self, settings: Settings, width: int, frames: int) -> None:
        super().__init__(settings, width, frames)
        s = self.settings = settings
        if s.scalar > s.layers:
            raise InputError(
                f"memory: {s.scalar} scalar of {s.layers} layers in the recipe; expected no more than there are"
            )
        check_heads("memory", width, s.heads)
        self.width = width
        matrix = [MatrixLayer(width, s.heads, s.chunk, s.taps) for _ in range(s.layers - s.scalar)]
        self.matrix = cast("list[MatrixLayer]", nn.ModuleList(matrix))
        scalar = [ScalarLayer(width, s.heads) for _ in range(s.scalar)]
        self.scalar = cast("list[ScalarLayer]", nn.ModuleList(scalar))
        self.norm = nn.LayerNorm(width)

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The cells of each layer, and the inputs of its short convolution."""
        s, d, shapes = self.settings, 2 * self.width // self.settings.heads, dict[str, tuple[int, ...]]()
        if layers := len(self.matrix):
            shapes = {"matrix": (layers, s.heads, d, d), "total": (layers, s.heads, d), "exponent": (layers, s.heads)}
            shapes |= {"inputs": (layers, s.taps - 1, 2 * self.width)}
        return shapes | ({"scalar": (s.scalar, 4, self.width)} if s.scalar else {})

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width), is_first (B, T) bool to (B, T, width)."""
        for layer in [*self.matrix, *self.scalar]:
            x = layer(x, is_first)
        normed: Tensor = self.norm(x)
        return normed

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, width) to (B, width), and the state after it."""
        after: dict[str, list[Tensor]] = {name: [] for name in self.state}
        for i, matrix in enumerate(self.matrix):
            cell = state["matrix"][:, i], state["total"][:, i], state["exponent"][:, i]
            x, cell, before = matrix.step(x, cell, state["inputs"][:, i])
            for name, value in zip(("matrix", "total", "exponent", "inputs"), (*cell, before), strict=True):
                after[name].append(value)
        for i, scalar in enumerate(self.scalar):
            x, values = scalar.step(x, state["scalar"][:, i])
            after["scalar"].append(values)
        return self.norm(x), {name: torch.stack(parts, 1) for name, parts in after.items()}


def _chunk(
    q: Tensor, k: Tensor, v: Tensor, enter: Tensor, forget: Tensor, is_first: Tensor, cell: Cell
) -> tuple[Tensor, Cell]:
    """The outputs (B, L, heads, d) of a chunk of L frames, all at once, and the cell after it."""
    matrix, total, m = cell
    segment = is_first.int().cumsum(1)
    kept = (~is_first[..., None]).to(forget.dtype)
    forget = scan(kept, kept * forget)  # (B, L, heads): the sum since the chunk or the recording began
    time = torch.arange(q.shape[1], device=q.device)
    seen = (segment[:, :, None] == segment[:, None]) & (time[:, None] >= time)  # (B, L, L): t reads s
    exponent = forget[:, :, None] - forget[:, None] + enter[:, None]  # (B, t, s, heads)
    exponent = torch.where(seen[..., None], exponent, NEVER)
    carried = torch.where(segment[..., None] == 0, forget + m[:, None], NEVER)  # (B, L, heads): of the cell
    largest = torch.maximum(exponent.amax(2), carried)
    weights = (exponent - largest[:, :, None]).exp() * torch.einsum("bthd,bshd->btsh", q, k)
    kept = (carried - largest).exp()[..., None]
    read = torch.einsum("btsh,bshd->bthd", weights, v) + kept * torch.einsum("bthd,bhde->bthe", q, matrix)
    norm = weights.sum(2) + kept[..., 0] * torch.einsum("bthd,bhd->bth", q, total)
    h = read / torch.maximum(norm.abs(), (-largest).exp())[..., None]
    last, m = (exponent[:, -1] - largest[:, -1:]).exp(), largest[:, -1]  # (B, s, heads): what the last frame reads
    matrix = kept[:, -1, :, :, None] * matrix + torch.einsum("bsh,bshd,bshe->bhde", last, k, v)
    return h, (matrix, kept[:, -1] * total + torch.einsum("bsh,bshd->bhd", last, k), m)
