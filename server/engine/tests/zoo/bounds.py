"""Models that hand the numbers of a record to kernels that take not every number: indices, probabilities, rates."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo import hostile
from zoo.hostile import Base


class IndexCopy(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x.index_copy(1, index[0], x[:, :3]))


class ScatterReduce(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x.scatter_reduce(1, index, x[:, :3], "sum"))


class IndexOfTwo(Base):
    """Of two dimensions at once."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + x.view(1, 2, 2)[:, index[0] // 2, index[0] % 2]


class IndexBehindMask(Base):
    """The mask is no record's, and takes two dimensions."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + x.view(1, 1, 4)[torch.tensor([[True]]), index[0]]


class AddByIndex(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        y = x.clone()
        y[:, index[0]] += 1.0
        return self.layer(y)


class Chance(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x + torch.bernoulli(x))


class ChanceInPlace(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x + torch.zeros_like(x).bernoulli_(x))


class ChanceOfAll(Base):
    """Its probability is the program's own: whatever x is."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x + torch.bernoulli(x, 0.5))


class CrossEntropy(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) + F.binary_cross_entropy(self.layer(x).sigmoid(), x[:, :3])


class CrossEntropyOfInput(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) * F.binary_cross_entropy(x, torch.zeros_like(x))


class Rate(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x + torch.poisson(x))


class Deviation(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(torch.normal(x, x) + torch.normal(0.0, x) + torch.normal(x, 1.0))


class Share(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) * torch.quantile(self.layer(x), x[0], dim=1).sum()


class ShareOfNumbers(Base):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return self.layer(x) * torch.nanquantile(self.layer(x), x[0, 0], dim=1).sum()


class Bits(Base):
    """Operators of Python's numbers are operators of tensors too."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        bits = (index << 1 & 2 | index >> 1) ^ torch.gcd(index, index + 1)
        return self.layer(x) * bits.double()


MODELS: list[type[Base]] = [
    hostile.RowsOfData,
    hostile.RowsOfScaledParameter,
    hostile.RowsOfParameter,
    hostile.ParameterByIndex,
    hostile.ParameterByIndexSelect,
    hostile.Gather,
    hostile.TakeAlongDim,
    hostile.IndexSelect,
    hostile.AdvancedIndex,
    hostile.IndexOfBatch,
    hostile.Scatter,
    hostile.ScatterAdd,
    hostile.IndexAdd,
    hostile.IndexPut,
    hostile.OneHot,
    IndexCopy,
    ScatterReduce,
    IndexOfTwo,
    IndexBehindMask,
    AddByIndex,
    Chance,
    ChanceInPlace,
    ChanceOfAll,
    CrossEntropy,
    CrossEntropyOfInput,
    Rate,
    Deviation,
    Share,
    ShareOfNumbers,
    Bits,
]
