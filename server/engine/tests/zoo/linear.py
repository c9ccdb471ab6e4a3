"""nn.Linear in every shape, and the activations between."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.case import Case, floats, ids


class SameLinearTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.tanh(self.layer(x)))


class OutsideItsModule(nn.Module):
    """The norm of what the module itself does is next to nothing; all the gradient comes by the functional use."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return 1e-6 * self.layer(x) + 100 * F.linear(x, self.layer.weight)


class AutoEncoder(nn.Module):
    """One weight, as it is and transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(F.linear(x, self.weight)), self.weight.t())


class SharedBias(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.bias = self.first.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.norm = nn.Linear(4, 8), nn.Linear(8, 4), nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class LowRank(nn.Module):
    """LoRA: a frozen layer and a trained difference of rank two."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(6, 4).requires_grad_(False)
        self.a, self.b = nn.Linear(6, 2, bias=False), nn.Linear(2, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2.0 * self.b(self.a(x))


class UnusedLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(5, 4)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.left(left) * self.right(right)


def frozen(module: nn.Sequential, *names: str) -> nn.Module:
    for name in names:
        module.get_parameter(name).requires_grad_(False)
    return module


def mlp(*activations: nn.Module) -> nn.Module:
    layers: list[nn.Module] = []
    for activation in activations:
        layers += [nn.Linear(5, 5), activation]
    return nn.Sequential(*layers, nn.Linear(5, 3))


X, T = {"x": floats(5)}, {"x": floats(7, 5)}

CASES = [
    Case("linear", lambda: nn.Linear(5, 3), X, floats(3)),
    Case("linear without bias", lambda: nn.Linear(5, 3, bias=False), X, floats(3)),
    Case("linear T=1", lambda: nn.Linear(5, 3), {"x": floats(1, 5)}, floats(1, 3)),
    Case("linear T=7", lambda: nn.Linear(5, 3), T, floats(7, 3)),
    Case("linear T=7 without bias", lambda: nn.Linear(5, 3, bias=False), T, floats(7, 3)),
    Case("linear wide, T=2", lambda: nn.Linear(70, 60), {"x": floats(2, 70)}, floats(2, 60)),
    Case("linear narrow, T=90", lambda: nn.Linear(2, 1), {"x": floats(90, 2)}, floats(90, 1)),
    Case("linear of four dimensions", lambda: nn.Linear(5, 3), {"x": floats(2, 3, 5)}, floats(2, 3, 3)),
    Case("relu, tanh, sigmoid", lambda: mlp(nn.ReLU(), nn.Tanh(), nn.Sigmoid()), X, floats(3)),
    Case("gelu, gelu tanh, silu", lambda: mlp(nn.GELU(), nn.GELU("tanh"), nn.SiLU()), X, floats(3)),
    Case("elu, leaky relu, softplus", lambda: mlp(nn.ELU(), nn.LeakyReLU(), nn.Softplus()), X, floats(3)),
    Case("softmax, log softmax, hardtanh", lambda: mlp(nn.Softmax(-1), nn.LogSoftmax(-1), nn.Hardtanh()), X, floats(3)),
    Case("prelu", lambda: mlp(nn.PReLU()), X, floats(3)),
    Case("identity, flatten, dropout of nothing", lambda: mlp(nn.Identity(), nn.Flatten(), nn.Dropout(0.0)), X, floats(3)),
    Case("activations in place", lambda: mlp(nn.ReLU(inplace=True), nn.SiLU(inplace=True)), X, floats(3)),
    Case("classifier", lambda: mlp(nn.ReLU()), X, ids(3), "cross_entropy"),
    Case("same linear twice", SameLinearTwice, X, floats(5)),
    Case("same linear twice, T=7", SameLinearTwice, T, floats(7, 5)),
    Case("weight used outside its module", OutsideItsModule, X, floats(3)),
    Case("weight used outside its module, T=7", OutsideItsModule, T, floats(7, 3)),
    Case("autoencoder tied by a transpose", AutoEncoder, X, floats(5)),
    Case("autoencoder tied by a transpose, T=7", AutoEncoder, T, floats(7, 5)),
    Case("shared bias", SharedBias, {"x": floats(6, 4)}, floats(6, 4)),
    Case("residual", Residual, {"x": floats(6, 4)}, floats(6, 4)),
    Case("low rank", LowRank, {"x": floats(3, 6)}, floats(3, 4)),
    Case("unused layer", UnusedLayer, {"x": floats(4)}, floats(2)),
    Case("two inputs", TwoInputs, {"left": floats(3), "right": floats(5)}, floats(4)),
    Case("frozen first layer", lambda: frozen(mlp(nn.Tanh()), "0.weight", "0.bias"), X, floats(3)),
    Case("frozen last layer", lambda: frozen(mlp(nn.Tanh()), "2.weight", "2.bias"), X, floats(3)),
    Case("frozen weights, biases trained", lambda: frozen(mlp(nn.Tanh()), "0.weight", "2.weight"), T, floats(7, 3)),
    Case("frozen biases, weights trained", lambda: frozen(mlp(nn.Tanh()), "0.bias", "2.bias"), T, floats(7, 3)),
]
