"""The whole product, audited in one run: records that have a coordinate of the model each are included by a coin, and the released
weights are asked which are. That tells of epsilon at most the claim, and not far less; where noise is missing it tells of more."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from auditing import Audit, epsilon_of_gaussian
from server_process import ServerProcess
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from bastionlab import Connection
from bastionlab.torch import SGD

CANARIES = 20_000
DELTA = 1e-5  # of the dataset
EVERY = 50  # of the run that samples: one slot in so many


class OneCoordinateEach(nn.Module):
    """The gradient of a canary's loss is its own coordinate, and that of a record with x = 0 is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(CANARIES, 1)
        nn.init.zeros_(self.rows.weight)

    def forward(self, number: Tensor, x: Tensor) -> Tensor:
        return self.rows(number) * x


@pytest.fixture(scope="module")
def included() -> np.ndarray:
    return np.random.default_rng(1234).random(CANARIES) < 0.5


@pytest.fixture
def canaries(included: np.ndarray) -> TensorDataset:
    """The label is far below every output: under l1 the gradient is x, which is clipped to 1."""
    x = 8 * torch.from_numpy(included).float().unsqueeze(1)
    return TensorDataset(torch.arange(CANARIES), x, torch.full((CANARIES, 1), -1e6))


def test_the_bounds_have_power() -> None:
    """On numbers of a Gaussian mechanism: below its epsilon and not far below; above, with half of the noise."""
    generator, delta = np.random.default_rng(7), 1e-6
    included = generator.random(CANARIES) < 0.5
    deviation = 1.2
    eps = epsilon_of_gaussian(1 / deviation, delta)
    for noise, least, most in ((deviation, 0.75 * eps, eps), (deviation / 2, 1.5 * eps, math.inf)):
        audit = Audit(included + generator.normal(0, noise, CANARIES), included, delta)
        assert least < audit.gaussian(0.5) <= most
    right = Audit(included + generator.normal(0, deviation, CANARIES), included, delta)
    assert eps / 4 < right.one_run(200) <= eps


def test_what_is_released_tells_as_much_as_is_claimed_and_no_more(
    server: ServerProcess, connect: Callable[..., Connection], canaries: TensorDataset, included: np.ndarray
) -> None:
    with connect(server) as connection:
        client = connection.client.torch
        client.RemoteDataset(Pairs(canaries), privacy_limit=6.0, delta=DELTA, name="canaries", progress=False)
        dataset = client.list_remote_datasets()[0]
        learner = client.RemoteLearner(
            OneCoordinateEach(),
            dataset,
            max_batch_size=4096,
            loss="l1",
            optimizer=SGD(lr=1.0),
            max_grad_norm=1.0,
            metrics=False,
            progress=False,
        )
        before = 0.0

        def scores(nb_epochs: float, eps: float, batch_size: int) -> tuple[np.ndarray, float]:
            """What the run added to each coordinate, in clipping norms, and the delta that it claims."""
            nonlocal before
            plan = learner.plan(nb_epochs=nb_epochs, eps=eps, batch_size=batch_size)
            learner.fit(nb_epochs=nb_epochs, eps=eps, batch_size=batch_size)
            weights = learner.get_model().rows.weight.detach().double().numpy().ravel()
            moved, before = -(weights - before) * batch_size, weights
            return moved, plan.delta

        # Every record in each of two steps: a Gaussian mechanism.
        moved, delta = scores(2.0, 4.0, CANARIES)
        audit = Audit(moved / 2, included, delta)
        found, one_run = audit.gaussian(0.5), audit.one_run(200)
        assert 2.0 <= found <= 4.0, f"{found} of 4"
        assert 1.0 <= one_run <= 4.0, f"{one_run} of 4"
        # One step that samples few: most that is hidden is hidden by the sampling.
        moved, delta = scores(1 / EVERY, 1.0, CANARIES // EVERY)
        found = Audit(moved, included, delta).any_mechanism(2.0)
        assert found <= 1.0, f"{found} of 1, on a sample"


class Pairs(torch.utils.data.Dataset):
    """Records of two inputs."""

    def __init__(self, rows: TensorDataset) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[list[Tensor], Tensor]:
        number, x, label = self.rows[index]
        return [number, x], label
