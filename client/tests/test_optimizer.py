"""Optimizers carry the defaults of torch.optim, and refuse what it would."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch

from bastionlab import errors
from bastionlab.torch import SGD, Adam, AdamW
from bastionlab.torch.optimizer import Optimizer


@pytest.mark.parametrize(("ours", "theirs"), [(SGD, torch.optim.SGD), (Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW)])
def test_defaults_are_those_of_torch(ours: type[Any], theirs: Any) -> None:
    expected = inspect.signature(theirs).parameters
    for field in dataclasses.fields(ours):
        if field.default is not dataclasses.MISSING:
            assert field.default == expected[field.name].default, field.name


@pytest.mark.parametrize(
    "make",
    [
        lambda: Adam(lr=-1.0),
        lambda: Adam(lr=math.nan),
        lambda: Adam(lr="fast"),  # type: ignore[arg-type]
        lambda: Adam(lr=True),
        lambda: Adam(eps=-1e-8),
        lambda: Adam(betas=(0.9, 1.0)),
        lambda: Adam(betas=(0.9,)),  # type: ignore[arg-type]
        lambda: Adam(betas=None),  # type: ignore[arg-type]
        lambda: Adam(betas="ab"),  # type: ignore[arg-type]
        lambda: Adam(lr=10**400),
        lambda: AdamW(weight_decay=-0.1),
        lambda: SGD(lr=0.1, momentum=math.inf),
        lambda: SGD(lr=0.1, nesterov=True),
        lambda: Optimizer(lr=0.1).to_message(),
    ],
)
def test_what_cannot_be(make: Any) -> None:
    with pytest.raises(errors.InvalidArgument):
        make()


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_parameters_are_left_out(kind: Any) -> None:
    parameters = torch.nn.Linear(2, 2).parameters
    for arguments, settings in (((parameters(),), {}), ((parameters(),), {"lr": 0.1}), ((list(parameters()), 0.1), {})):
        with pytest.raises(errors.InvalidArgument, match="leave the parameters out") as refused:
            kind(*arguments, **settings)
        assert f"{kind.__name__}(lr=" in refused.value.next


def test_scalars_of_numpy_and_torch_are_numbers() -> None:
    given = Adam(lr=np.float64(0.5), betas=[np.float64(0.5), torch.tensor(0.25)], eps=torch.tensor(0.125))  # type: ignore[arg-type]
    assert given == Adam(lr=0.5, betas=(0.5, 0.25), eps=0.125)
    assert hash(given) == hash(copy.copy(given))
    assert {type(given.lr), type(given.eps)} == {float}
    for bad in (torch.tensor([0.1]), np.bool_(True), np.float64("nan")):
        with pytest.raises(errors.InvalidArgument, match="lr is"):
            Adam(lr=bad)  # type: ignore[arg-type]


def test_every_field_is_sent() -> None:
    sgd = SGD(lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.01, nesterov=True).to_message().sgd
    assert (sgd.lr, sgd.momentum, sgd.dampening, sgd.weight_decay, sgd.nesterov) == (0.1, 0.9, 0.0, 0.01, True)
    adam = AdamW(lr=0.1, betas=(0.8, 0.7), eps=0.5, weight_decay=0.01, amsgrad=True).to_message().adamw
    assert (adam.lr, adam.beta1, adam.beta2, adam.eps, adam.weight_decay, adam.amsgrad) == (0.1, 0.8, 0.7, 0.5, 0.01, True)
