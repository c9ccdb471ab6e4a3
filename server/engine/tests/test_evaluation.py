"""A test's sum against the obvious one: the scientist's own module in evaluation mode, one record at a time, in float64."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from abi import Status
from archive import FORMS, Form, archive
from engine import GRID, Engine, EngineError, Evaluator, Program
from oracle import record_loss
from records import Record, Schema

COUNT = 12


def accuracy(loss: str, output: Tensor, label: Tensor) -> float:
    """The part of a record's labels that its output agrees with."""
    if loss == "bce_with_logits":
        return ((output.reshape(-1) > 0) == (label.reshape(-1) > 0.5)).double().mean().item()
    right = [
        int(row.argmax()) == int(y)
        for row, y in zip(output.reshape(-1, output.shape[-1]), label.reshape(-1), strict=True)
        if int(y) != -100
    ]
    return sum(right) / len(right) if right else 0.0


def expected(module: nn.Module, records: Sequence[Record], loss: str, metric: str, bound: float) -> float:
    """The sum of the records' values, dropout off."""
    precise = copy.deepcopy(module).double().eval()
    total = 0.0
    for record in (record.to(torch.float64) for record in records):
        with torch.no_grad():
            output = precise(*(tensor.unsqueeze(0) for tensor in record.inputs.values()))
        if metric == "accuracy":
            total += accuracy(loss, output, record.label)
        else:
            value = record_loss(metric, output, record.label).item()
            total += min(max(value, 0.0), bound) / bound if value == value else 0.0
    return total


def released(evaluator: Evaluator, records: Sequence[Record], slots: Sequence[int] | None = None) -> float:
    for slot in range(len(records)) if slots is None else slots:
        evaluator.add(records, slot, seed=slot + 1)
    return evaluator.release() / GRID


def classes() -> Tensor:
    return torch.randint(3, ())


def some_ignored() -> Tensor:
    label = torch.randint(3, (6,))
    label[torch.rand(6) < 0.4] = -100
    return label


# loss, a record's output shape, labels, metric, bound
MEASURED: list[tuple[str, tuple[int, ...], Callable[[], Tensor], str, float]] = [
    ("cross_entropy", (3,), classes, "accuracy", 1.0),
    ("cross_entropy", (6, 3), some_ignored, "accuracy", 1.0),
    ("cross_entropy", (3,), classes, "cross_entropy", 2.2),
    ("cross_entropy", (6, 3), some_ignored, "cross_entropy", 1.1),
    ("bce_with_logits", (4,), lambda: torch.randint(2, (4,)).double(), "accuracy", 1.0),
    ("bce_with_logits", (4,), lambda: torch.randint(2, (4,)).double(), "bce_with_logits", 0.8),
    ("bce_with_logits", (4,), lambda: torch.rand(4, dtype=torch.float64), "l1", 10.0),
    ("l2", (4,), lambda: torch.randn(4, dtype=torch.float64), "l2", 1.5),
    ("l2", (2, 3), lambda: torch.randn(2, 3, dtype=torch.float64), "mse", 10.0),
    ("l1", (1,), lambda: torch.randn(1, dtype=torch.float64), "l1", 1.0),
]


class Net(nn.Module):
    """Its dropout would change every value."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.dropout, self.layer, self.shape = nn.Dropout(0.5), nn.Linear(5, int(torch.tensor(shape).prod())), [1, *shape]

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.layer(self.dropout(x))).view(self.shape)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("loss", "shape", "label", "metric", "bound"), MEASURED, ids=[f"{r[0]}{r[1]} by {r[3]}" for r in MEASURED])
def test_the_sum_is_that_of_the_module_in_evaluation_mode(
    engine: Engine, loss: str, shape: tuple[int, ...], label: Callable[[], Tensor], metric: str, bound: float, form: Form
) -> None:
    module = Net(shape).double()
    records = [Record({"x": torch.randn(5, dtype=torch.float64) * (i + 1)}, label()) for i in range(COUNT)]
    schema = Schema.of(records[0])
    program = engine.load(archive(module, schema, form), schema, loss)
    want = expected(module, records, loss, metric, bound)
    assert 0 < want < COUNT, "neither all nor nothing"
    assert released(program.evaluator(metric, bound), records) == pytest.approx(want, abs=COUNT / GRID)


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


class Reading(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 5, num_layers=2, dropout=0.5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Dropping(nn.Module):
    def __init__(self, drop: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.head, self.drop = nn.Linear(4, 4), nn.Linear(12, 3), drop
        self.register_buffer("fixed", torch.ones(1, 3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.layer(x) * self.fixed).flatten(1))


class DropConnect(nn.Module):
    """Dropout on a weight, which then is a weight like any other; and on a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.dropout = nn.Parameter(torch.randn(3, 12)), nn.Dropout(0.5)
        self.register_buffer("fixed", torch.ones(1, 12))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1) * self.dropout(self.fixed), self.dropout(self.weight))


class Last(nn.Module):
    """Dropout gives the output."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.dropout = nn.Linear(12, 3), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.dropout(self.layer(x.flatten(1))))


WITH_DROPOUT: dict[str, Callable[[], nn.Module]] = {
    "attention": Attending,
    "lstm": Reading,
    "transformer layer": lambda: nn.Sequential(
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.5, batch_first=True), nn.Flatten(), nn.Linear(12, 3)
    ),
    "alpha": lambda: Dropping(nn.AlphaDropout(0.5)),
    "dropout1d": lambda: Dropping(nn.Dropout1d(0.5)),
    "feature alpha": lambda: Dropping(nn.FeatureAlphaDropout(0.5)),
    "in place": lambda: Dropping(nn.Dropout(0.5, inplace=True)),
    "two in a row": lambda: Dropping(nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))),
    "on weights and constants": DropConnect,
    "at the end": Last,
}


@pytest.mark.parametrize("make", WITH_DROPOUT.values(), ids=WITH_DROPOUT)
def test_dropout_of_every_kind_is_off(engine: Engine, make: Callable[[], nn.Module]) -> None:
    module = make().double().train()
    records = [Record({"x": torch.randn(3, 4, dtype=torch.float64)}, classes()) for _ in range(COUNT)]
    schema = Schema.of(records[0])
    program = engine.load(archive(module, schema, "trace"), schema, "cross_entropy")
    want = expected(module, records, "cross_entropy", "cross_entropy", 4.0)
    for _ in range(2):
        assert released(program.evaluator("cross_entropy", 4.0), records) == pytest.approx(want, abs=1e-6)


def test_native_dropout_is_off(engine: Engine) -> None:
    class Native(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            kept, mask = torch.native_dropout(self.layer(x), 0.5, True)
            return kept + mask.to(x.dtype)

    module = Native().double()
    record = Record({"x": torch.randn(4, dtype=torch.float64)}, torch.randn(3, dtype=torch.float64))
    schema = Schema.of(record)
    program = engine.load(archive(module, schema, "trace"), schema, "l2")
    want = F.mse_loss(module.layer(record.inputs["x"]) + 1, record.label).item()
    assert released(program.evaluator("l2", 100.0), [record]) * 100 == pytest.approx(want, abs=1e-6)


RECORDS = [Record({"x": torch.randn(5)}, classes()) for _ in range(COUNT)]
SCHEMA = Schema.of(RECORDS[0])


@pytest.fixture
def program(engine: Engine) -> Program:
    return engine.load(archive(Net((3,)), SCHEMA, "trace"), SCHEMA, "cross_entropy")


def test_what_is_tested_are_the_weights_that_were_given(engine: Engine) -> None:
    module, trained = Net((3,)), Net((3,))
    program = engine.load(archive(module, SCHEMA, "trace"), SCHEMA, "cross_entropy")
    evaluator = program.evaluator("cross_entropy", 4.0)
    assert evaluator.parameter_count() == 2
    for name, parameter in trained.named_parameters():
        evaluator.set_parameter(name, parameter.detach())
    assert released(evaluator, RECORDS) == pytest.approx(
        expected(trained, RECORDS, "cross_entropy", "cross_entropy", 4.0), abs=1e-4
    )
    with pytest.raises(EngineError):
        evaluator.set_parameter("layer.weight", torch.zeros(2))


def test_empty_slots_count_nothing_and_a_record_what_it_does_alone(program: Program) -> None:
    def value(slots: list[int]) -> int:
        evaluator = program.evaluator("cross_entropy", 4.0)
        for slot in slots:
            evaluator.add(RECORDS, slot)
        return evaluator.release()

    alone = [value([slot]) for slot in range(COUNT)]
    assert all(0 < each < GRID for each in alone)
    assert value([-1, -1]) == 0
    assert value([-1, *range(COUNT), -1]) == sum(alone), "to the last bit"


class Fragile(nn.Module):
    """Fails on ids beyond the table; divides by the second number."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x[:, 0]) / x[:, 1:]


@pytest.mark.parametrize("metric", ["accuracy", "cross_entropy"])
def test_what_fails_or_is_not_finite_counts_nothing(engine: Engine, metric: str) -> None:
    def record(token: int, divisor: int, label: int) -> Record:
        return Record({"x": torch.tensor([token, divisor])}, torch.tensor(label))

    good = [record(0, 1, 0), record(1, 1, 1), record(2, 1, 2)]
    bad = [record(4, 1, 0), record(1 << 40, 1, 0), record(0, 0, 0), record(0, 1, 3), record(0, 1, -1)]
    schema = Schema.of(good[0])
    module = Fragile()
    program = engine.load(archive(module, schema, "trace"), schema, "cross_entropy")
    together = [good[0], *bad[:2], good[1], *bad[2:], good[2]]
    want = expected(module, good, "cross_entropy", metric, 3.0)
    assert released(program.evaluator(metric, 3.0), together) == pytest.approx(want, abs=1e-4)
    assert released(program.evaluator(metric, 3.0), bad) == 0


def test_one_record_moves_the_sum_by_one_at_most(engine: Engine) -> None:
    """However large its loss, and whatever it is made of."""
    schema = Schema.of(Record({"x": torch.zeros(5)}, torch.zeros(1)))
    program = engine.load(archive(Net((1,)), schema, "trace"), schema, "l1")
    for label in (1e30, -1e30, float("inf"), float("nan"), 0.5):
        evaluator = program.evaluator("l1", 1e-3)
        evaluator.add([Record({"x": torch.randn(5)}, torch.tensor([label]))], 0)
        assert 0 <= evaluator.release() <= GRID


def test_noise_is_gaussian_of_the_deviation_asked_for(program: Program) -> None:
    drawn = []
    for _ in range(400):
        evaluator = program.evaluator("accuracy", noise_stddev=5.0)
        evaluator.add(RECORDS, -1)
        drawn.append(evaluator.release() / GRID)
    # Standard errors: 5 / sqrt(400) and 5 / sqrt(800).
    assert abs(statistics.mean(drawn)) < 5 * 0.25
    assert abs(statistics.stdev(drawn) - 5) < 5 * 0.18
    assert len(set(drawn)) == 400


def test_the_noise_comes_from_the_callers_generator(program: Program) -> None:
    def draw(byte: int) -> int:
        return program.evaluator("accuracy", noise_stddev=5.0).release(lambda n: bytes([byte]) * n)

    assert draw(17) == draw(17) != draw(18)


def test_the_sum_is_given_away_once(program: Program) -> None:
    evaluator = program.evaluator("accuracy", noise_stddev=1.0)
    evaluator.release()
    for again in (evaluator.release, lambda: evaluator.add(RECORDS, 0)):
        with pytest.raises(EngineError) as refusal:
            again()
        assert refusal.value.status == Status.INVALID_ARGUMENT


def test_without_privacy_the_sum_is_exact(program: Program) -> None:
    assert released(program.evaluator("accuracy", is_private=False, noise_stddev=9.0), RECORDS) == int(
        released(program.evaluator("accuracy"), RECORDS)
    )


REFUSED = [
    ("cross_entropy", "f1", 1.0, 0.0, Status.INVALID_ARGUMENT),
    ("cross_entropy", "cross_entropy", 0.0, 0.0, Status.INVALID_ARGUMENT),
    ("cross_entropy", "cross_entropy", float("inf"), 0.0, Status.INVALID_ARGUMENT),
    ("cross_entropy", "l2", 1.0, 0.0, Status.LOSS_MISMATCH),
    ("cross_entropy", "accuracy", 1.0, -1.0, Status.INVALID_ARGUMENT),
    ("cross_entropy", "accuracy", 1.0, float("nan"), Status.INVALID_ARGUMENT),
    ("cross_entropy", "accuracy", 1.0, 1e9, Status.INVALID_ARGUMENT),
]


@pytest.mark.parametrize(("loss", "metric", "bound", "noise", "status"), REFUSED)
def test_what_cannot_be_measured_is_refused(
    program: Program, loss: str, metric: str, bound: float, noise: float, status: Status
) -> None:
    with pytest.raises(EngineError) as refusal:
        program.evaluator(metric, bound, noise)
    assert refusal.value.status == status


def test_accuracy_of_a_regression_is_refused(engine: Engine) -> None:
    schema = Schema.of(Record({"x": torch.zeros(5)}, torch.zeros(3)))
    program = engine.load(archive(Net((3,)), schema, "trace"), schema, "l2")
    with pytest.raises(EngineError) as refusal:
        program.evaluator("accuracy")
    assert refusal.value.status == Status.INVALID_ARGUMENT


def test_training_goes_on_as_before_beside_a_test(program: Program) -> None:
    """The program is shared: a test must not leave its mode behind."""

    def contribution() -> Tensor:
        trainer = program.trainer()
        trainer.run_pass(RECORDS, [0, 1, 2], seed=3)
        return torch.cat([value.flatten() for value in trainer.clipped_sum().values()])

    before = contribution()
    released(program.evaluator("accuracy"), RECORDS)
    assert torch.equal(contribution(), before)
