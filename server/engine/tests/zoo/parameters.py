"""Parameters that belong to no layer: broadcast, sliced, multiplied, normalised, used without a record."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.case import Case, floats


class Position(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 5, 4))
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.tanh(x + self.position))


class ClassToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(x.size(0), -1, -1), x], dim=1)
        return self.layer(tokens.softmax(1).sum(1))


class Scalars(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.tensor([0.1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x + self.shift


class Matmul(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class TransposedMatmul(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self.weight.transpose(0, 1)) + F.linear(x, self.weight)


class Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("btd,hdk->bthk", x, self.weight)


class Addmm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class LinearOfView(nn.Module):
    """Layers whose weights are views or functions of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.packed = nn.Parameter(torch.randn(6, 4))
        self.bias = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.packed.chunk(2)
        return F.linear(x, first, self.bias[:3]) * F.linear(x, 2 * second, self.bias[3:])


class WeightNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.direction, self.length = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.rand(3, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.length * self.direction / torch.linalg.vector_norm(self.direction, dim=1, keepdim=True))


class Adapter(nn.Module):
    """A weight made of a frozen part and a product of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frozen", torch.randn(3, 4))
        self.a, self.b = nn.Parameter(torch.randn(2, 4)), nn.Parameter(torch.randn(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.frozen + self.b @ self.a)


class NoRecord(nn.Module):
    """An output that does not depend on the record at all."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.weight)


class LayerOfParameter(nn.Module):
    """Layers on a parameter: neither side of the product is a record's."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 2, 4))
        self.project, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)
        self.mix = nn.Conv1d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        query = self.mix(self.norm(self.project(self.query)))
        return torch.softmax(query @ x.transpose(1, 2), -1) @ x


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.form = nn.Bilinear(4, 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.form(x, x.flip(-1))


class Selected(nn.Module):
    """Each record picks its own row of a parameter by arithmetic, not by an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(5 * x, -1) @ self.rows + self.rows[1] * self.rows[2:].sum(0)


class ViewOfAnother(nn.Module):
    """Two parameters over one storage: autograd knows two, and so must the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Parameter(torch.randn(4, 4))
        self.part = nn.Parameter(self.whole.detach()[:2])

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.whole), self.part)


class HyperNetwork(nn.Module):
    """Layers whose weights are each record's own."""

    def __init__(self) -> None:
        super().__init__()
        self.weights, self.rows = nn.Linear(4, 12), nn.Parameter(torch.randn(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        own = self.weights(x).view(3, 4)
        return F.linear(x, own) + F.linear(x, self.rows * x) + F.linear(x, self.rows + own, own[:, 0])


class Detached(nn.Module):
    """The forward pass has a large weight that the backward pass knows nothing of."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y - 2 * y.detach() + F.linear(x.detach(), 3 * self.layer.weight.detach())


X, T = {"x": floats(4)}, {"x": floats(5, 4)}

CASES = [
    Case("position", Position, T, floats(5, 4)),
    Case("class token", ClassToken, T, floats(3)),
    Case("scalars", Scalars, T, floats(5, 4)),
    Case("matmul", Matmul, X, floats(3)),
    Case("matmul T=5", Matmul, T, floats(5, 3)),
    Case("transposed matmul beside linear", TransposedMatmul, T, floats(5, 3)),
    Case("einsum", Einsum, T, floats(5, 2, 3)),
    Case("addmm", Addmm, X, floats(3)),
    Case("layers over views", LinearOfView, T, floats(5, 3)),
    Case("weight norm by hand", WeightNorm, T, floats(5, 3)),
    Case("adapter in the weight", Adapter, T, floats(5, 3)),
    Case("no record", NoRecord, X, floats(3)),
    Case("layers of a parameter", LayerOfParameter, T, floats(2, 4)),
    Case("bilinear", Bilinear, X, floats(2)),
    Case("rows selected by arithmetic", Selected, X, floats(3)),
    Case("weights of the record's own", HyperNetwork, X, floats(3)),
    Case("detached", Detached, X, floats(3), may_be_refused=True),
    Case("parameters over one storage", ViewOfAnother, X, floats(2), may_be_refused=True),
]
