"""Frozen batch normalisation written out, for the oracle.

libtorch's own gradient of it is wrong for a batch of one image whose output's gradient lies channels last, as it does behind
`flatten(2).transpose(1, 2)`: it takes the numbers in the order of memory. The oracle's batches are of one; the engine's layer has
no such image, for it folds what follows the channels into one dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WrittenOut(nn.Module):
    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.register_buffer("mean", norm.running_mean)
        self.register_buffer("variance", norm.running_var)

    def forward(self, x: Tensor) -> Tensor:
        mean, scale, shift, variance = (
            t.view([1, -1] + [1] * (x.dim() - 2)) for t in (self.mean, self.weight, self.bias, self.variance)
        )
        return (x - mean) * torch.rsqrt(variance + self.eps) * scale + shift


def with_batch_norm_written_out(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            assert not child.training
            setattr(module, name, WrittenOut(child))
        else:
            with_batch_norm_written_out(child)
    return module
