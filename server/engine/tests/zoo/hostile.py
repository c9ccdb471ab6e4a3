"""Scripted models that read where they should not, or fail on some records only: refused, or exact and isolated all the same.

A record is `x` [4] and three indices that need not lie within anything.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x)


class MeanOverBatch(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x - x.mean(0) / 2)


class FirstOfBatch(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) * x[0, 0]


class LastOfBatch(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) * x[-1, 0] * x.select(0, -1).sum()


class SecondOfBatch(Base):
    """There is none: a record is a batch of one."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) * x[1:].sum()


class SortOverBatch(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x.sort(0)[0] + x.cumsum(0) + x.flip(0) + x.roll(1, 0))


class AttentionOverBatch(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(torch.softmax(x @ x.t(), -1) @ x)


class SumOfAll(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) * x.sum() / x.numel() + x.std() * x.size(0)


class RowsOfData(Base):
    """functorch lays the records' tables one after the other: an index past the end would be a neighbour's row."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + F.embedding(index, x.t()).sum()


class RowsOfScaledParameter(Base):
    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return F.embedding(index, self.rows * x.t()).sum(1) + self.layer(x)


class RowsOfParameter(RowsOfScaledParameter):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return F.embedding(index, self.rows).sum(1) + self.layer(x)


class ParameterByIndex(RowsOfScaledParameter):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.rows[index].sum(1) + self.layer(x)


class ParameterByIndexSelect(RowsOfScaledParameter):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.rows.index_select(0, index[0]).sum(0, keepdim=True) + self.layer(x)


class Gather(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + x.gather(1, index)


class TakeAlongDim(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + torch.take_along_dim(x, index, 1)


class IndexSelect(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + x.index_select(1, index[0])


class AdvancedIndex(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + x[0][index]


class IndexOfBatch(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + x[index][0, :, 0]


class Take(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + torch.take(x, index)


class Scatter(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(torch.zeros_like(x).scatter(1, index, x[:, :3]))


class ScatterAdd(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x.scatter_add(1, index, x[:, :3]))


class IndexAdd(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x.index_add(1, index[0], x[:, :3]))


class IndexPut(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        y = x.clone()
        y[0, index[0]] = 5.0
        return self.layer(y)


class PutAccumulate(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x.put(index, x[:, :3], accumulate=True))


class OneHot(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x + F.one_hot(index, 4).sum(1))


class InnerLoss(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        y = self.layer(x)
        return y * F.nll_loss(y, index[:, 0])


class InnerCrossEntropy(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        y = self.layer(x)
        return y * F.cross_entropy(y, index[:, 0], reduction="sum")


class Cholesky(Base):
    """Raises where the matrix is not positive definite, which depends on the record."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + torch.linalg.cholesky(torch.diag(x[0, :3])).sum()


class Inverse(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + torch.linalg.inv(torch.diag((index[0] % 4).to(x.dtype))).sum()


class DivideIntegers(Base):
    """The processor traps on an integer division by zero."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + torch.floor_divide(torch.full_like(index, 9), index) + torch.full_like(index, 7) % index


class ShiftIntegers(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + torch.bitwise_left_shift(torch.ones_like(index), index).sign()


class BinCount(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + torch.bincount(index[0], minlength=3)[:3]


class Repeat(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) * torch.repeat_interleave(x[0, :3], index[0]).sum()


class Narrow(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + torch.narrow(x, 1, index[0, 0], 1)


class TensorSplit(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + torch.tensor_split(x, index[0], dim=1)[0].sum()


class BucketizeUnsorted(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + torch.bucketize(x[:, :3], x[0]) + torch.searchsorted(x, x[:, :3])


class GridSample(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        grid = torch.stack([index.to(x.dtype), index.to(x.dtype)], -1)[:, None]
        return self.layer(x) + F.grid_sample(x.view(1, 1, 2, 2), grid, align_corners=False).view(1, 3)


class Fold(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + x.unfold(1, 2, 1).sum(-1) + F.fold(x.view(1, 4, 1), [2, 2], [2, 2]).sum()


class ViewOfStorage(Base):
    """The record's slice of the pass seen as larger than it is."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + x.as_strided([1, 3], [4, 1], 4)


class ExpandedView(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + x.expand(3, 4).t()[:3].sum(1)


class WriteInput(Base):
    """The records lie in memory that is mapped for reading only."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        x.mul_(2.0)
        index.add_(1)
        return self.layer(x)


class WriteExpanded(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        base = torch.zeros(1, 3, dtype=x.dtype)
        base.add_(x[:, :3])
        return self.layer(x) + base


class WriteConstant(Base):
    """A constant of the program is the same tensor in every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(1, 3))

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        total = self.kept.to(x.dtype)
        total += x[:, :3].detach()
        return self.layer(x) + total


class NoGrad(Base):
    """Honest enough: nothing is written."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        with torch.no_grad():
            scale = self.layer(x).sigmoid()
        return self.layer(x) * scale


class Straight(Base):
    """A straight-through estimator: the gradient is not that of the function."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        y = self.layer(x)
        return (y.sign() - y).detach() + y


class ZeroTimesInfinity(Base):
    """Finite output, gradient that is not, on some records."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return torch.where(x[:, :1] > 0, self.layer(x), torch.sqrt(self.layer(x) * 0))


class Huge(Base):
    """Overflows for some records, in the forward pass or in the square of the norm."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) * torch.pow(10.0, 160.0 * x[:, :1])


class Amplify(Base):
    """Chaotic: a difference in the last bit grows to everything."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        y = self.layer(x).sigmoid()
        for _ in range(60):
            y = 3.99 * y * (1 - y)
        return y


class Complex(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(torch.fft.ifft(torch.fft.fft(x)).real)


HOSTILE: list[type[Base]] = [
    MeanOverBatch,
    FirstOfBatch,
    LastOfBatch,
    SecondOfBatch,
    SortOverBatch,
    AttentionOverBatch,
    SumOfAll,
    RowsOfData,
    RowsOfScaledParameter,
    RowsOfParameter,
    ParameterByIndex,
    ParameterByIndexSelect,
    Gather,
    TakeAlongDim,
    IndexSelect,
    AdvancedIndex,
    IndexOfBatch,
    Take,
    Scatter,
    ScatterAdd,
    IndexAdd,
    IndexPut,
    PutAccumulate,
    OneHot,
    InnerLoss,
    InnerCrossEntropy,
    Cholesky,
    Inverse,
    DivideIntegers,
    ShiftIntegers,
    BinCount,
    Repeat,
    Narrow,
    TensorSplit,
    BucketizeUnsorted,
    GridSample,
    Fold,
    ViewOfStorage,
    ExpandedView,
    WriteInput,
    WriteExpanded,
    WriteConstant,
    NoGrad,
    Straight,
    ZeroTimesInfinity,
    Huge,
    Amplify,
    Complex,
]
# Nothing in these is out of the ordinary: they must be admitted.
HONEST = {MeanOverBatch, FirstOfBatch, AttentionOverBatch, RowsOfParameter, Straight, Huge}
# The last bit decides about everything, so there is no oracle; isolation holds all the same.
CHAOTIC = {Amplify}


class TrapOnDivision(Base):
    """-2^63 / -1 has no answer, and where it is truncated the processor traps: the process would die of a record."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        least = torch.full_like(index, -9223372036854775807) - 1
        return self.layer(x) + torch.div(least.repeat(1, 32), index.repeat(1, 32), rounding_mode="trunc")[:, :3].sign()


class TrapInLoss(Base):
    """Many labels, each far out of range."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + F.embedding(index * 1000000007, self.layer.weight)[:, :, 0]


TRAPS: list[type[Base]] = [TrapOnDivision, TrapInLoss]
