"""Attention, as torch has it and by hand, and what is left of recurrent layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.case import Case, floats, ids


class TorchAttention(nn.Module):
    """Traced in training mode, where the fast path is off."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class TorchAttentionWithWeights(TorchAttention):
    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]


class Masked(TorchAttention):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.attention(x, x, x, key_padding_mask=mask, need_weights=False)[0]


class SelfAttention(nn.Module):
    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.causal = nn.Linear(8, 24), nn.Linear(8, 8), causal

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = [part.view(1, 5, 2, 4).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1)]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(y.transpose(1, 2).reshape(1, 5, 8))


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        scores = self.q(x) @ self.k(x).transpose(-2, -1) / 8**0.5
        scores = scores.masked_fill(mask.unsqueeze(1), float("-inf"))
        return scores.softmax(-1) @ self.v(x)


class Classifier(nn.Module):
    """A transformer in small: embeddings, two encoder layers, a head on the first token."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(11, 8, padding_idx=0), nn.Embedding(5, 8)
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="gelu", batch_first=True) for _ in range(2)
        )
        self.head = nn.Linear(8, 2)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(5))
        for layer in self.encoder:
            x = layer(x)
        return self.head(x[:, 0])


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.cells = kind(4, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(x)[0]


class Cell(nn.Module):
    """A recurrence by hand: one layer used at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(1, 3, dtype=x.dtype)
        for t in range(4):
            state = torch.tanh(self.step(torch.cat([x[:, t], state], dim=1)))
        return state


def padding(generator: torch.Generator) -> Tensor:
    return torch.arange(5) >= torch.randint(2, 6, (1,), generator=generator)


X, OUT = {"x": floats(5, 8)}, floats(5, 8)

CASES = [
    Case("multihead attention", TorchAttention, X, OUT),
    Case("multihead attention with weights", TorchAttentionWithWeights, X, OUT),
    Case("multihead attention with padding", Masked, {"x": floats(5, 8), "mask": padding}, OUT),
    Case("scaled dot product attention", lambda: SelfAttention(False), X, OUT),
    Case("causal attention", lambda: SelfAttention(True), X, OUT),
    Case("attention by hand with padding", ByHand, {"x": floats(5, 8), "mask": padding}, OUT),
    Case("transformer classifier", Classifier, {"ids": ids(11, 5)}, ids(2), "cross_entropy"),
    Case("recurrence by hand", Cell, {"x": floats(4, 4)}, floats(3)),
    Case("lstm", lambda: Recurrent(nn.LSTM), {"x": floats(4, 4)}, floats(4, 3), may_be_refused=True),
    Case("gru", lambda: Recurrent(nn.GRU), {"x": floats(4, 4)}, floats(4, 3), may_be_refused=True),
]
