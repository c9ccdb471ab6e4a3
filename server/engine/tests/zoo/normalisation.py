"""Normalisations within one record; batch normalisation with frozen statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.case import Case, floats


class HandMadeRMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4) + 0.1 * torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def stirred(module: nn.Module) -> nn.Module:
    """Scales and shifts away from one and zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def frozen_statistics(norm: nn.modules.batchnorm._BatchNorm) -> nn.Module:
    torch.nn.init.uniform_(norm.running_mean, -1, 1)
    torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    return stirred(norm).eval()


def layer_norm_of(shape: list[int], **options: bool) -> nn.Module:
    return stirred(nn.LayerNorm(shape, **options))


CASES = [
    Case("layer norm", lambda: layer_norm_of([5]), {"x": floats(5)}, floats(5)),
    Case("layer norm T=7", lambda: layer_norm_of([5]), {"x": floats(7, 5)}, floats(7, 5)),
    Case("layer norm without bias", lambda: layer_norm_of([5], bias=False), {"x": floats(7, 5)}, floats(7, 5)),
    Case("layer norm of two dimensions", lambda: layer_norm_of([3, 5]), {"x": floats(2, 3, 5)}, floats(2, 3, 5)),
    Case(
        "layer norm without parameters",
        lambda: nn.Sequential(nn.Linear(5, 5), nn.LayerNorm(5, elementwise_affine=False)),
        {"x": floats(7, 5)},
        floats(7, 5),
    ),
    Case("same layer norm twice", lambda: nn.Sequential(*[layer_norm_of([5])] * 2), {"x": floats(7, 5)}, floats(7, 5)),
    Case("group norm", lambda: stirred(nn.GroupNorm(2, 4)), {"x": floats(4, 6)}, floats(4, 6)),
    Case("group norm of planes", lambda: stirred(nn.GroupNorm(4, 4)), {"x": floats(4, 3, 2)}, floats(4, 3, 2)),
    Case("group norm of vectors", lambda: stirred(nn.GroupNorm(2, 8)), {"x": floats(8)}, floats(8)),
    Case(
        "group norm without parameters",
        lambda: nn.Sequential(nn.Conv1d(4, 4, 1), nn.GroupNorm(2, 4, affine=False)),
        {"x": floats(4, 6)},
        floats(4, 6),
    ),
    Case("rms norm", lambda: stirred(nn.RMSNorm(5)), {"x": floats(7, 5)}, floats(7, 5)),
    Case("rms norm by hand", HandMadeRMSNorm, {"x": floats(7, 4)}, floats(7, 4)),
    Case("batch norm 1d, frozen", lambda: frozen_statistics(nn.BatchNorm1d(4)), {"x": floats(4, 6)}, floats(4, 6)),
    Case("batch norm 1d of vectors, frozen", lambda: frozen_statistics(nn.BatchNorm1d(4)), {"x": floats(4)}, floats(4)),
    Case("batch norm 2d, frozen", lambda: frozen_statistics(nn.BatchNorm2d(4)), {"x": floats(4, 3, 2)}, floats(4, 3, 2)),
    Case(
        "conv and batch norm, frozen",
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), frozen_statistics(nn.BatchNorm2d(4)), nn.ReLU()),
        {"x": floats(2, 5, 5)},
        floats(4, 3, 3),
    ),
    Case(
        "instance norm",
        lambda: stirred(nn.InstanceNorm1d(4, affine=True)),
        {"x": floats(4, 6)},
        floats(4, 6),
        may_be_refused=True,
    ),
]
