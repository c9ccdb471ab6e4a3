"""How records come in and outputs go out: names, order, dtypes, packing, tuples, dicts."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from abi import Status
from archive import FORMS, Form, archive
from comparison import assert_same
from engine import Engine, EngineError, Training
from oracle import Expected
from records import Record, Schema


def check(engine: Engine, module: nn.Module, records: list[Record], form: Form, named: bool = False) -> None:
    """Same clipped sum as the oracle's."""
    module = module.double()
    schema, expected = Schema.of(records[0], named), Expected.of(module, records, "l2", named)
    program = engine.load(archive(module, schema, form), schema, "l2")
    trainer = program.trainer(Training(pass_size=len(records), clipping_norm=expected.splitting_norm()))
    trainer.run_pass(records, list(range(len(records))))
    assert_same(trainer.clipped_sum(), expected.clipped_sum(expected.splitting_norm()), torch.float64)


def label(index: int) -> Tensor:
    return torch.randn(4, dtype=torch.float64) * (index + 1)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(3, 4)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.first(first) * torch.tanh(self.second(second))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", [["first", "second"], ["second", "first"]], ids=["in order", "swapped"])
def test_named_inputs_go_by_name(engine: Engine, order: list[str], form: Form) -> None:
    records = [Record({name: torch.randn(3).double() for name in order}, label(i)) for i in range(5)]
    check(engine, Named(), records, form, named=True)


@pytest.mark.parametrize("form", FORMS)
def test_positional_inputs_go_by_position(engine: Engine, form: Form) -> None:
    records = [Record({name: torch.randn(3).double() for name in ("second", "first")}, label(i)) for i in range(5)]
    check(engine, Named(), records, form)


def test_an_optional_input_may_be_left_out(engine: Engine) -> None:
    class Optional(Named):
        def forward(self, first: Tensor, mask: Tensor | None = None, second: Tensor | None = None) -> Tensor:
            out = self.first(first)
            if mask is not None:
                out = out * mask
            if second is not None:
                out = out + self.second(second)
            return out

    records = [Record({name: torch.randn(3).double() for name in ("second", "first")}, label(i)) for i in range(5)]
    check(engine, Optional(), records, "script", named=True)


def test_an_unknown_name_is_refused(engine: Engine) -> None:
    record = Record({"first": torch.zeros(3), "third": torch.zeros(3)}, torch.zeros(4))
    schema = Schema.of(record, named=True)
    program = archive(Named(), Schema.of(Record({"first": torch.zeros(3), "second": torch.zeros(3)}, label(0))), "trace")
    with pytest.raises(EngineError) as refusal:
        engine.load(program, schema, "l2").rehearse()
    assert refusal.value.status == Status.FORWARD_FAILED
    assert "third" in refusal.value.reason or "second" in refusal.value.reason


class Fields(NamedTuple):
    hidden: Tensor
    logits: Tensor


class Outputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer, self.other = nn.Linear(3, 4), nn.Linear(3, 2)


class FirstOfTuple(Outputs):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.answer(x), self.other(x)


class FirstOfList(Outputs):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.answer(x), self.other(x)]


class LogitsOfDict(Outputs):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"hidden": self.other(x), "logits": self.answer(x)}


class FirstOfDict(Outputs):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"answer": self.answer(x), "other": self.other(x)}


class LogitsOfNamedTuple(Outputs):
    def forward(self, x: Tensor) -> Fields:
        return Fields(self.other(x), self.answer(x))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("output", [FirstOfTuple, FirstOfList, LogitsOfDict, FirstOfDict, LogitsOfNamedTuple])
def test_the_output_is_the_tensor_that_is_meant(engine: Engine, output: type[Outputs], form: Form) -> None:
    if output is LogitsOfNamedTuple and form == "trace":
        pytest.xfail("tracing turns a named tuple into a tuple")
    check(engine, output(), [Record({"x": torch.randn(3).double()}, label(i)) for i in range(5)], form)


def test_an_output_without_a_tensor_is_refused(engine: Engine) -> None:
    class Number(Outputs):
        def forward(self, x: Tensor) -> int:
            return x.size(0)

    schema = Schema.of(Record({"x": torch.zeros(3)}, torch.zeros(4)))
    with pytest.raises(EngineError) as refusal:
        engine.load(archive(Number(), schema, "script"), schema, "l2").rehearse()
    assert refusal.value.status in (Status.LOSS_MISMATCH, Status.INCOMPATIBLE_MODEL, Status.FORWARD_FAILED)


class Cast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, odd: Tensor, x: Tensor) -> Tensor:
        return self.layer(x.to(torch.float64) + odd.sum())


INPUT_TYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
]


@pytest.mark.parametrize("dtype", INPUT_TYPES, ids=str)
def test_records_are_packed_without_padding_in_every_dtype(engine: Engine, dtype: torch.dtype) -> None:
    """Five odd bytes in front put every tensor, and the label, off its alignment."""
    records = []
    for index in range(5):
        odd = torch.randint(0, 3, (5,), dtype=torch.uint8)
        x = torch.randint(-3, 4, (3,)).abs().to(dtype) if dtype != torch.bool else torch.rand(3) < 0.5
        records.append(Record({"odd": odd, "x": x}, label(index)))
    check(engine, Cast(), records, "trace")


@pytest.mark.parametrize("shape", [(), (1,), (2, 1, 3)], ids=str)
def test_inputs_of_any_rank(engine: Engine, shape: tuple[int, ...]) -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.reshape(1, -1).sum(1, keepdim=True))

    records = [Record({"x": torch.randn(shape).double()}, label(i)) for i in range(5)]
    check(engine, Sum(), records, "trace")


def test_trainable_parameters_are_those_of_the_module(engine: Engine) -> None:
    """A buffer that asks for a gradient is none, and a frozen parameter is none."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)
            self.frozen = nn.Linear(3, 4).requires_grad_(False)
            self.register_buffer("asks", torch.ones(4, dtype=torch.float64, requires_grad=True))

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) + self.frozen(x) * self.asks

    module = Mixed().double()
    schema = Schema.of(Record({"x": torch.zeros(3).double()}, torch.zeros(4).double()))
    for form in FORMS:
        trainer = engine.load(archive(module, schema, form), schema, "l2").trainer()
        parameters = trainer.parameters()
        assert list(parameters) == ["layer.weight", "layer.bias"]
        assert torch.equal(parameters["layer.weight"], module.layer.weight)
        assert torch.equal(parameters["layer.bias"], module.layer.bias)


def test_a_model_without_trainable_parameters_is_refused(engine: Engine) -> None:
    schema = Schema.of(Record({"x": torch.zeros(3)}, torch.zeros(4)))
    module = nn.Linear(3, 4).requires_grad_(False)
    with pytest.raises(EngineError) as refusal:
        engine.load(archive(module, schema, "trace"), schema, "l2")
    assert refusal.value.status in (Status.INCOMPATIBLE_MODEL, Status.LOSS_MISMATCH)
    assert refusal.value.reason


def test_the_schema_must_fit_the_model(engine: Engine) -> None:
    program = archive(Named(), Schema.of(Record({"a": torch.zeros(3), "b": torch.zeros(3)}, label(0))), "trace")
    wrong = {
        "too wide": Record({"a": torch.zeros(3), "b": torch.zeros(5)}, torch.zeros(4)),
        "wrong dtype": Record({"a": torch.zeros(3), "b": torch.zeros(3, dtype=torch.int64)}, torch.zeros(4)),
        "one input too few": Record({"a": torch.zeros(3)}, torch.zeros(4)),
        "one input too many": Record({n: torch.zeros(3) for n in "abc"}, torch.zeros(4)),
    }
    for name, record in wrong.items():
        schema = Schema.of(record)
        with pytest.raises(EngineError) as refusal:
            engine.load(program, schema, "l2").rehearse()
        assert refusal.value.status == Status.FORWARD_FAILED, name
        assert refusal.value.reason, name
