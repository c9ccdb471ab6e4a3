"""Optimizers, as the trainer runs them: the names, defaults and meanings of torch.optim."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from bastionlab import _numbers, errors
from bastionlab.v1 import training_pb2

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]


@dataclass(frozen=True)
class Optimizer:
    """What all optimizers have. Use one of its kinds."""

    lr: float

    def __new__(cls, *args: Any, **settings: Any) -> Any:
        # torch.optim's take the parameters first, and so will they be called; by then Python would speak of an lr given twice.
        if args and _numbers.as_real(args[0]) is None:
            raise errors.InvalidArgument(
                f"{cls.__name__}: lr is a {type(args[0]).__name__}",
                next=f"leave the parameters out, the server has them: {cls.__name__}(lr=0.001)",
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type == "float":
                value = _numbers.as_real(given := getattr(self, field.name))
                if value is None or value < 0:
                    raise errors.InvalidArgument(
                        f"{type(self).__name__}: {field.name} is {given!r}", next="give a number, at least 0"
                    )
                object.__setattr__(self, field.name, value)  # frozen for others

    def to_message(self) -> training_pb2.Optimizer:
        raise errors.InvalidArgument("Optimizer is no optimizer by itself", next="use Adam, AdamW or SGD")


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent.

    >>> SGD(lr=0.1, momentum=0.9)
    SGD(lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False)
    """

    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise errors.InvalidArgument("SGD: nesterov is for a momentum above 0 and no dampening")

    def to_message(self) -> training_pb2.Optimizer:
        return training_pb2.Optimizer(
            sgd=training_pb2.SGD(
                lr=self.lr,
                momentum=self.momentum,
                dampening=self.dampening,
                weight_decay=self.weight_decay,
                nesterov=self.nesterov,
            )
        )


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam; weight_decay is an L2 penalty.

    >>> Adam(lr=5e-5).betas
    (0.9, 0.999)
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        given: Any = self.betas
        read = [_numbers.as_real(beta) for beta in given] if isinstance(given, (tuple, list)) else []
        betas = tuple(beta for beta in read if beta is not None and 0 <= beta < 1)
        if len(read) != 2 or len(betas) != 2:
            raise errors.InvalidArgument(
                f"{type(self).__name__}: betas is {given!r}",
                next=f"give two numbers, each at least 0 and below 1, for example {type(self).__name__}(betas=(0.9, 0.999))",
            )
        object.__setattr__(self, "betas", betas)

    def to_message(self) -> training_pb2.Optimizer:
        return training_pb2.Optimizer(adam=self._adam())

    def _adam(self) -> training_pb2.Adam:
        beta1, beta2 = self.betas
        return training_pb2.Adam(
            lr=self.lr, beta1=beta1, beta2=beta2, eps=self.eps, weight_decay=self.weight_decay, amsgrad=self.amsgrad
        )


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay decoupled from the gradient.

    >>> AdamW(lr=1e-3).weight_decay
    0.01
    """

    weight_decay: float = 0.01

    def to_message(self) -> training_pb2.Optimizer:
        return training_pb2.Optimizer(adamw=self._adam())
