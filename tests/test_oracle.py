"""SGD with lr = 1 through the whole product equals an obviously right loop over records.

The trainer is the one of the test build (`-tags replay`): it samples every record and adds no noise. The release trainer has no
such switch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import small
import torch
from server_process import REPLAY_SERVER, REPLAY_TRAINER, ServerProcess
from torch import nn

from bastionlab import Connection
from bastionlab.torch import SGD

RECORDS = 60


def conv() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Unflatten(1, (2, 4)), nn.Conv1d(2, 3, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(12, small.CLASSES)
    )


def normed() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(small.FEATURES, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, small.CLASSES))


def gradients(model: nn.Module, data: torch.utils.data.Dataset) -> list[torch.Tensor]:
    """Each record's gradient over all parameters, one record at a time, in float64."""
    model = model.double()
    found = []
    for x, y in data:  # type: ignore[attr-defined]
        model.zero_grad()
        nn.functional.cross_entropy(model(x[None].double()), y[None]).backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))  # type: ignore[union-attr]
    return found


def clamped_losses(model: nn.Module, data: torch.utils.data.Dataset, bound: float) -> list[float]:
    model = model.double()
    losses = [nn.functional.cross_entropy(model(x[None].double()), y[None]).item() for x, y in data]  # type: ignore[attr-defined]
    return [min(loss, bound) for loss in losses]


@pytest.mark.parametrize("metrics", [False, True])
@pytest.mark.parametrize("make", [small.linear, conv, normed])
def test_one_step_of_sgd_moves_by_the_clipped_sum(
    metrics: bool, make: Callable[[], nn.Module], new_server: Callable[..., ServerProcess], connect: Callable[..., Connection]
) -> None:
    server = new_server(program=REPLAY_SERVER, trainer=REPLAY_TRAINER, environment={"BASTIONLAB_REPLAY_NOISE": "0"})
    data = small.dataset(RECORDS)
    per_record = gradients(make(), data)
    # The median norm: half of the records are clipped, half are not.
    clip = float(torch.stack([g.norm() for g in per_record]).median())
    with connect(server) as connection:
        client = connection.client.torch
        client.RemoteDataset(data, privacy_limit=6.0, name="d", progress=False)
        model = make()
        before = [p.detach().double().clone() for p in model.parameters()]
        learner = client.RemoteLearner(
            model,
            client.list_remote_datasets()[0],
            max_batch_size=7,
            loss="cross_entropy",
            optimizer=SGD(lr=1.0),
            max_grad_norm=clip,
            metrics=metrics,
            progress=False,
        )
        run = learner.fit(nb_epochs=1, eps=2.0, batch_size=RECORDS)
        after = [p.detach().double() for p in learner.get_model().parameters()]
    if metrics:
        # The losses have a part of what a record may move, and their mean is known to the width of the grid.
        clip *= math.sqrt(0.95)
        losses = clamped_losses(make(), data, run.plan.loss_bound)
        assert [each.loss for each in run.history] == [pytest.approx(sum(losses) / RECORDS, abs=1e-3)]
    moved = torch.cat([(a - b).flatten() for a, b in zip(after, before, strict=True)])
    wanted = -sum(g * min(1.0, clip / float(g.norm())) for g in per_record) / RECORDS
    assert torch.linalg.norm(moved - wanted) <= 1e-4 * torch.linalg.norm(wanted)  # type: ignore[arg-type]
    off = -sum(g * min(1.0, 1.01 * clip / float(g.norm())) for g in per_record) / RECORDS
    assert torch.linalg.norm(moved - off) > 1e-4 * torch.linalg.norm(off), "the comparison must notice 1%"  # type: ignore[arg-type]
