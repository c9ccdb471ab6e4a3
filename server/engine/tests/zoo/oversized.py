"""Models that ask for more memory or time than there is."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.forbidden import Base


class Constant(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y + torch.zeros([1 << 45]).sum()


class Activation(Base):
    """Small for one record's batch of one, and not for anything else."""

    def spy(self, y: Tensor) -> Tensor:
        return y + y.repeat(1 << 20, 1 << 22).sum()


class Turns(Base):
    def spy(self, y: Tensor) -> Tensor:
        total = 0
        for i in range(1 << 40):
            total += i
        return y * total


class Endless(Base):
    def spy(self, y: Tensor) -> Tensor:
        go_on = True
        while go_on:
            go_on = y.dim() == 2
        return y


class Steps(Base):
    def spy(self, y: Tensor) -> Tensor:
        for _ in range(1 << 30):
            y = y + 1
        return y


OVERSIZED: list[type[Base]] = [Constant, Activation, Turns, Endless, Steps]
