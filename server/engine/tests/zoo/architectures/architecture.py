"""A whole architecture in a small size: what docs/models.md says of it and what the tests hold it to are one row."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Generator, nn

from zoo.case import Case, Draw


@dataclass(frozen=True, eq=False)
class Architecture(Case):
    # All that the capability report says of how its trainable parameters are measured, in the order of the alphabet.
    measured: str = ""
    # Parameters worth a second look, and how each is measured.
    notable: dict[str, str] = field(default_factory=dict)
    # Why a form is left out; a test sees that it does not work.
    only: str = ""
    remark: str = ""
    # It computes a part in float32 even where it is given float64.
    rounds_to_float32: bool = False
    slow: bool = False


@dataclass(frozen=True, eq=False)
class Refused(Case):
    """An honest model that is not taken, by which operator, and what to do instead."""

    operator: str = ""
    reason: str = ""
    instead: str = ""
    # The architecture of the table that does it so, if one does.
    see: str = ""


def attention_mask(length: int) -> Draw:
    """Ones, then padding; at least two tokens are there."""
    return lambda generator: (torch.arange(length) < torch.randint(2, length + 1, (1,), generator=generator)).long()


def tokens(vocabulary: int, length: int) -> Draw:
    """Labels of a token loss; some positions count for nothing, the first always counts."""

    def draw(generator: Generator) -> torch.Tensor:
        labels = torch.randint(vocabulary, (length,), generator=generator)
        ignored = torch.rand(length, generator=generator) < 0.25
        ignored[0] = False
        return labels.masked_fill(ignored, -100)

    return draw


def several_hot(*shape: int) -> Draw:
    """Labels of a multi-label loss: each class is there or not."""
    return lambda generator: torch.randint(2, shape, generator=generator).double()


def stirred(module: nn.Module, by: float = 0.1) -> nn.Module:
    """Away from the zeros and ones of an initialisation, at which gradients vanish or are all alike."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return module
