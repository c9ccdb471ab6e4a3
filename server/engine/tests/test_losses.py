"""Every loss, on the shapes that it takes, against the oracle; and what each refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from abi import Status
from archive import FORMS, Form, archive
from comparison import assert_same
from engine import Engine, EngineError, Training
from oracle import Expected
from records import Record, Schema

Draw = Callable[[], Tensor]


def tokens_some_ignored() -> Tensor:
    label = torch.randint(3, (6,))
    label[torch.rand(6) < 0.4] = -100
    label[0] = 1
    return label


# loss, a record's output shape, labels
TAKEN: list[tuple[str, str, tuple[int, ...], Draw]] = [
    ("classes", "cross_entropy", (3,), lambda: torch.randint(3, ())),
    ("classes of uint8", "cross_entropy", (3,), lambda: torch.randint(3, (), dtype=torch.uint8)),
    ("classes of int32", "cross_entropy", (3,), lambda: torch.randint(3, (), dtype=torch.int32)),
    ("tokens", "cross_entropy", (6, 3), lambda: torch.randint(3, (6,))),
    ("tokens some ignored", "cross_entropy", (6, 3), tokens_some_ignored),
    ("tokens of int32", "cross_entropy", (6, 3), lambda: tokens_some_ignored().int()),
    ("one token", "cross_entropy", (1, 3), lambda: torch.randint(3, (1,))),
    ("bce", "bce_with_logits", (4,), lambda: torch.randint(2, (4,)).double()),
    ("bce of probabilities", "bce_with_logits", (2, 2), lambda: torch.rand(2, 2, dtype=torch.float64)),
    ("l2", "l2", (4,), lambda: torch.randn(4, dtype=torch.float64)),
    ("mse", "mse", (2, 3), lambda: torch.randn(2, 3, dtype=torch.float64)),
    ("l1", "l1", (4,), lambda: torch.randn(4, dtype=torch.float64)),
    ("l1 of one output", "l1", (1,), lambda: torch.randn(1, dtype=torch.float64)),
]


class Net(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.shape = nn.Linear(5, int(torch.tensor(shape).prod())), [1, *shape]

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).view(self.shape)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("loss", "shape", "label"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_the_clipped_sum_is_the_oracles(
    engine: Engine, loss: str, shape: tuple[int, ...], label: Draw, form: Form, dtype: torch.dtype
) -> None:
    module = Net(shape).to(dtype)
    records = [Record({"x": torch.randn(5) * (i + 1)}, label()).to(dtype) for i in range(7)]
    schema, expected = Schema.of(records[0]), Expected.of(module, records, loss)
    program = engine.load(archive(module, schema, form), schema, loss)
    trainer = program.trainer(Training(pass_size=4, clipping_norm=expected.splitting_norm()))
    trainer.run_pass(records, [0, 1, 2, 3])
    trainer.run_pass(records, [4, 5, 6])
    assert_same(trainer.clipped_sum(), expected.clipped_sum(expected.splitting_norm()), dtype)


REFUSED: list[tuple[str, str, tuple[int, ...], Tensor]] = [
    ("float label for classes", "cross_entropy", (3,), torch.zeros(())),
    ("bool label for classes", "cross_entropy", (3,), torch.zeros((), dtype=torch.bool)),
    ("two labels for one row of classes", "cross_entropy", (3,), torch.zeros(2, dtype=torch.int64)),
    ("labels for fewer tokens", "cross_entropy", (6, 3), torch.zeros(5, dtype=torch.int64)),
    ("one label for tokens", "cross_entropy", (6, 3), torch.zeros((), dtype=torch.int64)),
    ("probabilities for classes", "cross_entropy", (3,), torch.zeros(3)),
    ("too few targets", "bce_with_logits", (4,), torch.zeros(3)),
    ("a target to be broadcast", "l2", (4,), torch.zeros(1)),
    ("transposed target", "l1", (2, 3), torch.zeros(3, 2)),
    ("a target of other dimensions", "mse", (4,), torch.zeros(2, 2)),
]


@pytest.mark.parametrize(("loss", "shape", "label"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_label_that_does_not_fit_is_refused(engine: Engine, loss: str, shape: tuple[int, ...], label: Tensor) -> None:
    schema = Schema.of(Record({"x": torch.zeros(5)}, label))
    with pytest.raises(EngineError) as refusal:
        engine.load(archive(Net(shape), schema, "trace"), schema, loss).rehearse()
    assert refusal.value.status == Status.LOSS_MISMATCH
    assert refusal.value.reason


def test_an_unknown_loss_is_an_invalid_argument(engine: Engine) -> None:
    schema = Schema.of(Record({"x": torch.zeros(5)}, torch.zeros(3)))
    with pytest.raises(EngineError) as refusal:
        engine.load(archive(Net((3,)), schema, "trace"), schema, "hinge")
    assert refusal.value.status == Status.INVALID_ARGUMENT


@pytest.mark.parametrize("output", [torch.int64, torch.bool])
def test_an_output_without_gradient_is_refused(engine: Engine, output: torch.dtype) -> None:
    class Rounded(Net):
        def forward(self, x: Tensor) -> Tensor:
            return (self.layer(x) > 0).to(output)

    schema = Schema.of(Record({"x": torch.zeros(5)}, torch.zeros(3)))
    with pytest.raises(EngineError) as refusal:
        engine.load(archive(Rounded((3,)), schema, "trace"), schema, "l2").rehearse()
    assert refusal.value.status in (Status.LOSS_MISMATCH, Status.INCOMPATIBLE_MODEL)
