"""Embeddings, also tied to the language model's head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.case import Case, floats, ids


class LanguageModel(nn.Module):
    """The head is the embedding's own weight, so a record's gradient has a cross term between the two."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(9, 6), nn.Embedding(5, 6)
        self.mix, self.norm = nn.Linear(6, 6), nn.LayerNorm(6)
        self.head = nn.Linear(6, 9, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(5).unsqueeze(0))
        return self.head(self.norm(x + F.gelu(self.mix(x))))


class FunctionalHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(9, 6)

    def forward(self, ids: Tensor) -> Tensor:
        return torch.matmul(torch.tanh(self.tokens(ids)), self.tokens.weight.t())


class OneHot(nn.Module):
    """An embedding by another name: a dense layer on vectors that are one in one place."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(9, 6)

    def forward(self, ids: Tensor) -> Tensor:
        return self.rows(F.one_hot(ids, 9).to(self.rows.weight.dtype)).sum(1)


class TwoSentences(nn.Module):
    """One embedding used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(9, 6)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.tokens(left).mean(1) * self.tokens(right).mean(1)


class PositionsOnly(nn.Module):
    """Indices that do not come from the record: the same rows for all."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Embedding(5, 4)
        self.register_buffer("order", torch.arange(5).unsqueeze(0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.positions(self.order)


class LayerOfPositions(nn.Module):
    """A layer whose input is no record's: without expansion the records' gradients arrive summed."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Embedding(5, 4)
        self.mix, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.norm(torch.tanh(self.mix(self.positions(torch.arange(5)))))


class Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(9, 6, padding_idx=0)
        self.head = nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.tokens(ids).sum(1))


class NegativePadding(Padded):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(9, 6, padding_idx=-1)


class Frequencies(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(4, 3, scale_grad_by_freq=True)

    def forward(self, ids: Tensor) -> Tensor:
        return self.tokens(ids)


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(4, 3, sparse=True)

    def forward(self, ids: Tensor) -> Tensor:
        return self.tokens(ids)


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.EmbeddingBag(9, 3, mode="sum")

    def forward(self, ids: Tensor) -> Tensor:
        return self.tokens(ids)


class Small(nn.Module):
    """Many repetitions of few rows, 32-bit indices, one more dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(3, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.tokens(ids)


WORDS = {"ids": ids(9, 5)}

CASES = [
    Case("embedding with repetitions", Small, {"ids": ids(3, 12)}, floats(12, 4)),
    Case("embedding of one index", Small, {"ids": ids(3)}, floats(4)),
    Case("embedding of a matrix of indices", Small, {"ids": ids(3, 2, 6)}, floats(2, 6, 4)),
    Case("embedding of 32-bit indices", Small, {"ids": lambda g: ids(3, 12)(g).int()}, floats(12, 4)),
    Case("embedding with padding", Padded, {"ids": ids(3, 7)}, ids(3), "cross_entropy"),
    Case("embedding with padding counted from the end", NegativePadding, {"ids": ids(9, 7)}, ids(3), "cross_entropy"),
    Case("embedding used twice", TwoSentences, {"left": ids(9, 5), "right": ids(9, 4)}, floats(6)),
    Case("language model tied to its embedding", LanguageModel, WORDS, ids(9, 5), "cross_entropy"),
    Case("embedding as a head by matmul", FunctionalHead, WORDS, ids(9, 5), "cross_entropy"),
    Case("one hot", OneHot, WORDS, floats(6)),
    Case("positions only", PositionsOnly, {"x": floats(5, 4)}, floats(5, 4)),
    Case("layers of positions", LayerOfPositions, {"x": floats(5, 4)}, floats(5, 4)),
    Case("scale_grad_by_freq", Frequencies, {"ids": ids(4, 8)}, floats(8, 3), may_be_refused=True),
    Case("sparse embedding", Sparse, {"ids": ids(4, 8)}, floats(8, 3), may_be_refused=True),
    Case("embedding bag", Bag, WORDS, floats(3), may_be_refused=True),
]
