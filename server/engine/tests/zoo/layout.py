"""Models whose kernels read beyond a tensor: by a scale that overflows, a raw pointer, strides of zero, overlapping windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Weighted(nn.Module):
    """Contributes the weight, with a sign that says what was seen."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1, 1))


class Scale(Weighted):
    def forward(self, x: Tensor) -> Tensor:
        seen = torch._C._nn.upsample_bilinear2d(x.reshape(1, 1, 1, 4), [2, 4], False, 1e-40, 1.0)
        return torch.where(seen[:, 0, 0, 0:1] > 10, self.w, -self.w)


class Scale1(Weighted):
    def forward(self, x: Tensor) -> Tensor:
        seen = torch._C._nn.upsample_linear1d(x.reshape(1, 1, 4), [2], False, 1e-40)
        return torch.where(seen[:, 0, 0:1] > 10, self.w, -self.w)


class Packed(Weighted):
    def forward(self, x: Tensor) -> Tensor:
        one, sizes = torch.ones(1, 1), torch.ones(2).long()
        out, _ = torch._VF.rnn_tanh(torch.ones(2, 1) * x[0, 0], sizes, torch.ones(1, 1, 1), [one, one], False, 1, 0.0, True, False)
        return self.w + out.sum()


class Polygamma(Weighted):
    def forward(self, x: Tensor) -> Tensor:
        return self.w + torch.polygamma(1, x)[:, :1]  # whose gradient is the second


class Expanded(Weighted):
    def forward(self, x: Tensor) -> Tensor:
        m = x[:, 0:1] * 1.0
        for _ in range(15):
            m = m.expand(1, 2).median(1)[0].reshape(1, 1)
        return self.w * torch.where(m < -99, -1.0, 1.0).reshape(1, 1)


class Windows(Weighted):
    def forward(self, x: Tensor) -> Tensor:
        filled = (x[:, :1].expand(1, 64) * 1.0).sum()
        w = x.reshape(64)[45:64].unfold(0, 16, 1).reshape(1, 4, 16)
        y = F.scaled_dot_product_attention(w, w, w)
        seen = torch.logical_and(y > 70000.0, y < 80000.0).any()
        return self.w * torch.where(seen, -1.0, 1.0).reshape(1, 1) + 0 * filled.detach()


class InnermostRecords(Weighted):
    """Indexing with tensors on both sides of a slice leaves the records innermost in memory."""

    def forward(self, x: Tensor) -> Tensor:
        i = torch.tensor([0, 1])
        m = x.reshape(2, 1, 2)[i, :, i]
        for _ in range(15):
            m = m.expand(2, 2).median(1, keepdim=True)[0]
        return self.w * torch.where(m.min() < -99, -1.0, 1.0).reshape(1, 1)
