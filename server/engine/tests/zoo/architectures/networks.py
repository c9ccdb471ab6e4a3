"""Networks with a structure of their own: graphs, points, operators, flows, experts, state spaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.architectures.architecture import Architecture, stirred, tokens
from zoo.case import Draw, floats, ids


class GraphConvolution(nn.Module):
    """A record is a graph of six nodes: their features, and who is next to whom."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        mixing = F.softmax(edges, -1)
        x = F.relu(self.first(mixing @ nodes))
        x = F.relu(self.second(mixing @ x))
        return self.head(x.sum(1))


class GraphAttention(nn.Module):
    """Edges as pairs of indices, gathered and added up as graph libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.score, self.head = nn.Linear(4, 6, bias=False), nn.Linear(12, 1), nn.Linear(6, 3)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        h, source, target = self.features(nodes[0]), edges[0, 0], edges[0, 1]
        weights = F.leaky_relu(self.score(torch.cat([h[source], h[target]], 1))).exp()
        total = torch.zeros_like(h[:, :1]).index_add(0, target, weights)
        mixed = torch.zeros_like(h).index_add(0, target, weights / (total[target] + 1e-9) * h[source])
        return self.head(mixed.mean(0, keepdim=True))


class PointNet(nn.Module):
    """A cloud of points, turned by a matrix of its own, pooled by the largest."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 9))
        self.each = nn.Sequential(nn.Conv1d(3, 8, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv1d(8, 12, 1))
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        turned = x @ self.turn(x.mean(1)).view(1, 3, 3)
        return self.head(self.each(turned.transpose(1, 2)).max(dim=2)[0])


class FourierOperator(nn.Module):
    """A Fourier neural operator: complex weights on the lowest frequencies."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.skip, self.head = nn.Linear(1, 4), nn.Conv1d(4, 4, 1), nn.Linear(4, 1)
        self.modes = nn.Parameter(0.3 * torch.randn(4, 4, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.lift(x).transpose(1, 2)
        spectrum = torch.fft.rfft(y)
        kept = torch.einsum("bix,iox->box", spectrum[:, :, :3], torch.view_as_complex(self.modes))
        spectrum = torch.cat([kept, torch.zeros_like(spectrum[:, :, 3:])], 2)
        return self.head(F.gelu(torch.fft.irfft(spectrum, n=8) + self.skip(y)).transpose(1, 2))


class StateSpace(nn.Module):
    """A long convolution by way of the spectrum, as S4 and its kin do it."""

    def __init__(self) -> None:
        super().__init__()
        self.decay, self.gain = nn.Parameter(torch.rand(4, 3)), nn.Parameter(torch.randn(4, 3))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        time = torch.arange(8, dtype=x.dtype)
        kernel = (self.gain.unsqueeze(-1) * torch.exp(-self.decay.abs().unsqueeze(-1) * time)).sum(1)
        y = torch.fft.irfft(torch.fft.rfft(x.transpose(1, 2), n=16) * torch.fft.rfft(kernel, n=16), n=16)
        return self.head(F.gelu(y[:, :, :8].transpose(1, 2)))


class Capsules(nn.Module):
    """Routing by agreement."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.3 * torch.randn(6, 3, 4, 5))

    def forward(self, x: Tensor) -> Tensor:
        votes = torch.einsum("bni,noij->bnoj", x, self.weight)
        agreement = torch.zeros(1, 6, 3, dtype=x.dtype)
        v = torch.zeros(1, 3, 5, dtype=x.dtype)
        for _ in range(3):
            s = (F.softmax(agreement, 2).unsqueeze(-1) * votes).sum(1)
            squares = (s * s).sum(-1, keepdim=True)
            v = s * squares.sqrt() / (1 + squares)
            agreement = agreement + (votes * v.unsqueeze(1)).sum(-1)
        return (v * v).sum(-1).sqrt()


class TabNet(nn.Module):
    """Steps that choose columns by sparsemax: sorted, summed up, gathered."""

    def __init__(self) -> None:
        super().__init__()
        self.choose = nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.work, self.head = nn.ModuleList(nn.Linear(6, 8) for _ in range(2)), nn.Linear(4, 3)

    def sparsemax(self, z: Tensor) -> Tensor:
        ordered = torch.sort(z, dim=1, descending=True)[0]
        sums, rank = torch.cumsum(ordered, 1), torch.arange(1, 7, dtype=z.dtype).unsqueeze(0)
        size = (1 + rank * ordered > sums).long().sum(1, keepdim=True)
        return F.relu(z - (torch.gather(sums, 1, size - 1) - 1) / size.to(z.dtype))

    def forward(self, x: Tensor) -> Tensor:
        left, out = torch.ones_like(x), torch.zeros(1, 4, dtype=x.dtype)
        for choose, work in zip(self.choose, self.work):  # noqa: B905 - TorchScript's zip knows no strict
            mask = self.sparsemax(choose(x) * left)
            left = left * (1.3 - mask)
            out = out + F.glu(work(mask * x), 1)
        return self.head(out)


class NBeats(nn.Module):
    """Each block explains a part of the past and takes it off."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 10), nn.ReLU(), nn.Linear(10, 11)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(1, 3, dtype=x.dtype)
        for block in self.blocks:
            y = block(x)
            x, out = x - y[:, :8], out + y[:, 8:]
        return out


class NeuralOde(nn.Module):
    """Three Runge-Kutta steps of one learnt field."""

    def __init__(self) -> None:
        super().__init__()
        self.field = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            a = self.field(x)
            b = self.field(x + 0.1 * a)
            c = self.field(x + 0.1 * b)
            x = x + 0.2 / 6 * (a + 2 * b + 2 * c + self.field(x + 0.2 * c))
        return x


class CouplingFlow(nn.Module):
    """RealNVP: half of the numbers scales and shifts the other half."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 4) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            a, b = x.chunk(2, 1)
            shift, scale = layer(a).chunk(2, 1)
            x = torch.cat([b * torch.exp(torch.tanh(scale)) + shift, a], 1)
        return x


class RandomField(nn.Module):
    """The forward recursion of a linear-chain conditional random field."""

    def __init__(self) -> None:
        super().__init__()
        self.emit, self.transitions = nn.Linear(4, 3), nn.Parameter(torch.randn(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.emit(x)
        state = scores[:, 0]
        states = [state]
        for t in range(1, 6):
            state = torch.logsumexp(state.unsqueeze(2) + self.transitions, 1) + scores[:, t]
            states.append(state)
        return torch.stack(states, 1)


class SoftExperts(nn.Module):
    """All experts compute, and a softmax weighs them: nothing is routed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(6, 3), nn.ModuleList(nn.Linear(6, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        answers = []
        for expert in self.experts:
            answers.append(torch.tanh(expert(x)))
        return (F.softmax(self.gate(x), -1).unsqueeze(1) @ torch.stack(answers, 1)).squeeze(1)


class TopExperts(nn.Module):
    """The best two of four experts; all compute, and the gate of the others is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(6, 4), nn.Parameter(0.3 * torch.randn(4, 6, 3))

    def forward(self, x: Tensor) -> Tensor:
        best, which = self.gate(x).topk(2, dim=-1)
        gates = torch.zeros(1, 4, dtype=x.dtype).scatter(1, which, F.softmax(best, -1))
        return torch.einsum("be,eio,bi->bo", gates, self.experts, x)


class KolmogorovArnold(nn.Module):
    """Each edge a sum of radial bumps with learnt heights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", torch.linspace(-2, 2, 5))
        self.heights, self.head = nn.Parameter(0.3 * torch.randn(6, 5, 4)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        bumps = torch.exp(-((x.unsqueeze(-1) - self.grid) ** 2))
        return self.head(torch.einsum("big,igo->bo", bumps, self.heights))


def row(
    name: str, build: Callable[[], nn.Module], inputs: dict[str, Draw], label: Draw, measured: str, **more: Any
) -> Architecture:
    return Architecture(name, lambda: stirred(build()), inputs, label, measured=measured, **more)


CLASSES: dict[str, Any] = {"label": ids(3), "loss": "cross_entropy"}
X = {"x": floats(6)}

ARCHITECTURES = [
    row("Graph convolution", GraphConvolution, {"nodes": floats(6, 4), "edges": floats(6, 6)}, measured="linear", **CLASSES),
    row("Graph attention over edges", GraphAttention, {"nodes": floats(5, 4), "edges": ids(5, 2, 9)}, measured="linear", **CLASSES),
    row("PointNet", PointNet, {"x": floats(7, 3)}, measured="convolution, group_norm, linear", **CLASSES),
    row(
        "Fourier neural operator",
        FourierOperator,
        {"x": floats(8, 1)},
        floats(8, 1),
        "convolution, expand, linear",
        notable={"modes": "expand"},
        remark="complex numbers as pairs of real parameters",
    ),
    row("State space (S4D)", StateSpace, {"x": floats(8, 4)}, floats(8, 2), "expand, linear"),
    row("Capsules", Capsules, {"x": floats(6, 4)}, floats(3), "expand"),
    row("TabNet", TabNet, X, measured="linear", **CLASSES),
    row("N-BEATS", NBeats, {"x": floats(8)}, floats(3), "linear"),
    row("Neural ODE", NeuralOde, {"x": floats(3)}, floats(3), "linear (tied)", remark="a fixed number of steps"),
    row("Coupling flow", CouplingFlow, {"x": floats(4)}, floats(4), "linear"),
    row("Conditional random field", RandomField, {"x": floats(6, 4)}, tokens(3, 6), "expand, linear", loss="cross_entropy"),
    row("Experts behind a soft gate", SoftExperts, X, floats(4), "linear"),
    row(
        "Experts, the best two",
        TopExperts,
        X,
        floats(3),
        "expand, linear",
        remark="every expert computes; routing by indexing rows with a mask is refused",
    ),
    row("Kolmogorov-Arnold network", KolmogorovArnold, X, measured="expand, linear", **CLASSES),
]
