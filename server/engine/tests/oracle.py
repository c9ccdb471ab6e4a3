"""The obviously right way: one record at a time, autograd on the scientist's own module with a batch of one, in float64.

It knows nothing of the engine: no vmap, no book-keeping, no passes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from records import Record

Gradient = dict[str, Tensor]


def record_loss(name: str, output: Tensor, label: Tensor) -> Tensor:
    """A record's loss; output has its batch dimension of one, label has none."""
    if name == "cross_entropy":
        classes = output.shape[-1]
        return F.cross_entropy(output.reshape(-1, classes), label.reshape(-1).long(), ignore_index=-100)
    target = label.unsqueeze(0).to(output.dtype)
    if output.shape != target.shape:
        raise ValueError(f"output {tuple(output.shape)} against label {tuple(target.shape)}")
    if name == "bce_with_logits":
        return F.binary_cross_entropy_with_logits(output, target)
    if name in ("l2", "mse"):
        return ((output - target) ** 2).mean()
    if name == "l1":
        return (output - target).abs().mean()
    raise ValueError(name)


def model_output(result: object) -> Tensor:
    """A tensor, else the field `logits`, else the first tensor."""
    if isinstance(result, Tensor):
        return result
    if isinstance(result, dict):
        logits, values = result.get("logits"), tuple(result.values())
    elif isinstance(result, tuple | list):
        logits, values = getattr(result, "logits", None), tuple(result)
    else:
        raise TypeError(type(result))
    return logits if isinstance(logits, Tensor) else next(value for value in values if isinstance(value, Tensor))


def record_gradient(module: nn.Module, record: Record, loss: str, named: bool = False) -> Gradient:
    """The gradient of one record's loss, zero where a parameter is not used; zero everywhere if it is not finite."""
    names, parameters = zip(*trainable(module).items(), strict=True)
    batch = {name: tensor.unsqueeze(0) for name, tensor in record.inputs.items()}
    zero = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in zip(names, parameters, strict=True)}
    try:
        result = module(**batch) if named else module(*batch.values())
        value = record_loss(loss, model_output(result), record.label)
    except (IndexError, RuntimeError, ArithmeticError):
        return zero
    if not value.requires_grad:
        return zero
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    found = {n: g.to_dense().double() for n, g in zip(names, gradients, strict=True) if g is not None}
    finite = all(bool(gradient.isfinite().all()) for gradient in found.values())
    return zero | found if finite else zero


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def norm(gradient: Gradient) -> float:
    """The flat L2 norm over all trainable parameters."""
    return float(torch.linalg.vector_norm(torch.cat([g.reshape(-1) for g in gradient.values()])))


def clip_factor(gradient: Gradient, clipping_norm: float) -> float:
    length = norm(gradient)
    return 1.0 if length <= clipping_norm else clipping_norm / length


@dataclass(frozen=True)
class Expected:
    gradients: list[Gradient]

    @staticmethod
    def of(module: nn.Module, records: Sequence[Record], loss: str, named: bool = False) -> Expected:
        """In float64 whatever the module's precision, on the very same numbers."""
        precise = copy.deepcopy(module).double()
        return Expected([record_gradient(precise, record.to(torch.float64), loss, named) for record in records])

    def norms(self) -> list[float]:
        return [norm(gradient) for gradient in self.gradients]

    def factors(self, clipping_norm: float) -> list[float]:
        return [clip_factor(gradient, clipping_norm) for gradient in self.gradients]

    def weighted_sum(self, factors: Sequence[float]) -> Gradient:
        names = self.gradients[0].keys()
        pairs = list(zip(factors, self.gradients, strict=True))
        return {name: sum((f * g[name] for f, g in pairs), torch.zeros(())) for name in names}

    def clipped_sum(self, clipping_norm: float) -> Gradient:
        return self.weighted_sum(self.factors(clipping_norm))

    def plain_sum(self) -> Gradient:
        return self.weighted_sum([1.0] * len(self.gradients))

    def splitting_norm(self) -> float:
        """A clipping norm that clips about half of the records and leaves the others alone."""
        norms = sorted(self.norms())
        middle = len(norms) // 2
        return (norms[middle - 1] + norms[middle]) / 2
