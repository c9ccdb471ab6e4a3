"""Small models of the forms that scientists bring."""

from __future__ import annotations

import dataclasses
import random
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

# mypy: disable-error-code="no-any-return, no-untyped-def"
# A module's call is of no type.


class ModelOutput(OrderedDict[str, Any]):
    """Like transformers': a dict whose fields are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Encoder(nn.Module):
    """Like a Hugging Face classifier: optional inputs, any keyword, dict output, an attention mask, dropout, positions."""

    def __init__(self, words: int = 20, tokens: int = 8, width: int = 8) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.positions = nn.Embedding(tokens, width)
        self.query = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(width, 2)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: object,
    ) -> ModelOutput:
        assert input_ids is not None
        x = self.words(input_ids) + self.positions(torch.arange(input_ids.shape[1])[None])
        scores = self.query(x) @ x.transpose(1, 2)
        if attention_mask is not None:
            scores = scores.masked_fill(attention_mask[:, None, :] == 0, -1e4)
        x = self.norm(self.dropout(scores.softmax(-1)) @ x)
        return ModelOutput(hidden=x, logits=self.classifier(x[:, 0]))


class Forgetful(Encoder):
    """Leaves its mask out where it says nothing: traced on ones, the mask would be lost."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **kwargs: object) -> ModelOutput:  # type: ignore[override]
        return super().forward(input_ids, None if bool(attention_mask.all()) else attention_mask)


class Branching(nn.Module):
    """Decides by a value, and can be scripted."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() > 0):
            return self.head(x)
        return -self.head(x)


class ByShape(nn.Module):
    """Decides by a shape only, which the schema fixes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 8:
            return self.head(x)
        return self.head(x[:, :8])


class Scores(NamedTuple):
    hidden: Tensor
    logits: Tensor


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Scores:
        return Scores(x, self.head(x))


class Tupled(Named):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return self.head(x), x


class Mapped(Named):
    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"hidden": x, "logits": self.head(x)}


@dataclasses.dataclass
class Boxed:
    note: str
    inner: list[Tensor]


class InDataclass(Named):
    def forward(self, x: Tensor) -> Boxed:  # type: ignore[override]
        return Boxed("", [self.head(x), x])


class Textual(Named):
    def forward(self, x: Tensor) -> str:  # type: ignore[override]
        return "spam"


class Tied(nn.Module):
    """A language model whose output layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 10, bias=False)
        self.out.weight = self.words.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.out(self.norm(self.words(input_ids)))


class Pair(nn.Module):
    """Two inputs whose order matters."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(left - 2 * right)


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 2, 3)
        self.norm = nn.BatchNorm1d(2)
        self.head = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x[:, None])).flatten(1))


class Optional(nn.Module):
    """An optional input as torch's own modules write it. It can be compiled, and what is compiled cannot be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x, mask=None):  # noqa: ANN001, ANN201
        if mask is not None:
            x = x * mask
        return self.head(x)


class Chancy(nn.Module):
    """Leaves a layer out by chance. No compiler reads it."""

    def __init__(self, chance: float = 0.5) -> None:
        super().__init__()
        self.chance = chance
        self.deep = nn.Linear(8, 8)
        self.head = nn.Linear(8, 2)

    def draw(self) -> float:
        return torch.rand(()).item()

    def forward(self, x: Tensor, **kwargs: object) -> Tensor:
        if self.draw() < self.chance:
            x = self.deep(x).relu()
        return self.head(x)


class ChancyByPython(Chancy):
    def draw(self) -> float:
        return random.random()


class ChancyByNumPy(Chancy):
    def draw(self) -> float:
        return float(np.random.rand())


class NeverDropped(Chancy):
    """As Hugging Face's layerdrop of 0: it asks chance, which always says the same."""

    def forward(self, x: Tensor, **kwargs: object) -> Tensor:
        return self.head(x if bool(torch.rand([]) < 0.0) else self.deep(x))


class Counting(nn.Module):
    """Reads a value and computes with it: a trace has the number that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **kwargs: object) -> Tensor:
        return self.head((input_ids * attention_mask).float() + int(attention_mask.sum().item()))
