"""Models that ask who shares their pass: an empty slot on which they fail, a gradient that asks what the whole pass holds, random
numbers that a neighbour used up. Each once broke a bound."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class FailsOnEmptyOnceMoved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.w = nn.Linear(4, 1, bias=False), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        moved, empty = (self.w != 0).reshape(1, 1), (x.abs().sum() == 0).reshape(1, 1)
        bad = torch.logical_and(moved, empty).long() * 100
        return self.layer(x) + x.gather(1, bad).detach() * 0


class Underflows(nn.Module):
    def __init__(self, product: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.w, self.product = nn.Parameter(torch.zeros(1, 3)), product

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x + (self.w - self.w.detach())) * 1e30


PRODUCTS: dict[str, Callable[[Tensor], Tensor]] = {
    "prod": lambda x: x.prod().reshape(1, 1),
    "prod of a dimension": lambda x: x.prod(1, keepdim=True),
    "cumprod": lambda x: x.cumprod(1)[:, -1:],
    "scatter_reduce": lambda x: torch.zeros_like(x)[:, :1].scatter_reduce(
        1, torch.zeros_like(x).long(), x, "prod", include_self=False
    ),
}


class AsksHowMuchOthersDrew(nn.Module):
    """Reads two stretches of the generator, and knows from the first where the second should begin if nobody drew in between."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1, bias=False)

    def words(self, v: Tensor) -> Tensor:
        u = v + 9223372036854775807
        y = torch.stack([(u >> 32) & 4294967295, u & 4294967295], -1).reshape(-1)
        y = y ^ (y >> 18)
        y = y ^ ((y << 15) & 4022730752)
        t = y
        for _ in range(5):
            t = y ^ ((t << 7) & 2636928640)
        y = t
        for _ in range(3):
            t = y ^ (t >> 11)
        return t & 4294967295

    def twist(self, w: Tensor) -> Tensor:
        y = (w[-624:-397] & 2147483648) | (w[-623:-396] & 2147483647)
        return w[-227:] ^ (y >> 1) ^ ((y & 1) * 2567483615)

    def forward(self, x: Tensor) -> Tensor:
        before = torch.randint(-9223372036854775807, 9223372036854775807, [312])
        drawn = torch.poisson((x[:, 0:1] > 10).to(x.dtype) * 5 * torch.ones([1, 64]))
        after = self.words(torch.randint(-9223372036854775807, 9223372036854775807, [312]))
        w = self.words(before)
        for _ in range(12):
            w = torch.cat([w, self.twist(w)])
        same = (w[624 * 4 : 624 * 4 + 8] == after[:8]).all()
        return self.layer(torch.ones_like(x)) * torch.where(same, 1.0, -1.0) + drawn.sum() * 0


class FailsByChance(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        filled, coin = x.abs().sum() > 0, torch.rand([1, 1]) < 0.5
        bad = torch.logical_and(filled, torch.logical_or(coin, x[:, :1] > 10)).long() * 100
        return self.layer(torch.ones_like(x)) + x.gather(1, bad).detach() * 0
