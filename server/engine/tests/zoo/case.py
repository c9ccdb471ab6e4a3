"""A tiny model with the records it is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from archive import FORMS, Form
from records import Record, Schema

Draw = Callable[[Generator], Tensor]


def floats(*shape: int) -> Draw:
    return lambda generator: torch.randn(shape, generator=generator, dtype=torch.float64)


def ids(count: int, *shape: int) -> Draw:
    return lambda generator: torch.randint(count, shape, generator=generator)


@dataclass(frozen=True, eq=False)
class Case:
    name: str
    build: Callable[[], nn.Module]
    inputs: dict[str, Draw]
    label: Draw
    loss: str = "l2"
    forms: tuple[Form, ...] = FORMS
    may_be_refused: bool = False  # outside the list: refused by name is as good as right

    def module(self, dtype: torch.dtype) -> nn.Module:
        """In training mode, unless the model put a part of itself into evaluation mode."""
        torch.manual_seed(7)
        return self.build().to(dtype)

    def records(self, count: int, dtype: torch.dtype) -> list[Record]:
        """Float labels grow with the index, so that norms spread."""
        generator = Generator().manual_seed(11)
        records = []
        for index in range(count):
            label = self.label(generator)
            if label.is_floating_point() and self.loss != "bce_with_logits":
                label = label * (0.1 + 0.5 * index)
            records.append(Record({name: draw(generator) for name, draw in self.inputs.items()}, label).to(dtype))
        return records

    def schema(self, dtype: torch.dtype) -> Schema:
        return Schema.of(self.records(1, dtype)[0])

    def takes_floats(self) -> bool:
        return any(tensor.is_floating_point() for tensor in self.records(1, torch.float32)[0].inputs.values())
