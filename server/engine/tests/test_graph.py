"""The canonical graph: what leaves the intake is enough to train from, and whoever builds a program from it believes none of it."""

from __future__ import annotations

import mmap
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from abi import OperandKind, Status
from archive import archive
from engine import Engine, EngineError, Training
from graphs import Operand, OwnGraph, Parameter, Step, own
from records import Record, Schema


class Model(nn.Module):
    """Something of everything: a tied table, a frozen layer, lists of numbers and of tensors, a text, a constant mask."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.norm = nn.LayerNorm(4)
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 1.0]))

    def forward(self, ids: Tensor, x: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.frozen(self.words(ids))))  # [1, 3, 4]
        h = torch.cat([h * self.mask.view(1, 3, 1), x], 1)
        h = nn.functional.dropout(h, 0.0, True)
        return torch.einsum("btd,vd->btv", h, self.words.weight).mean(1)


def record(i: int) -> Record:
    generator = torch.Generator().manual_seed(i)
    ids = torch.randint(0, 11, (3,), generator=generator)
    return Record({"ids": ids, "x": torch.randn(2, 4, generator=generator)}, torch.tensor(i % 11))


RECORDS = [record(i) for i in range(6)]
SCHEMA = Schema.of(RECORDS[0])
LOSS = "cross_entropy"


@pytest.fixture(scope="module")
def graph(engine: Engine) -> Callable[[], OwnGraph]:
    torch.manual_seed(1)
    intake = engine.read(archive(Model(), SCHEMA, "script"), SCHEMA)
    return lambda: own(intake)


def sums(engine: Engine, given: OwnGraph) -> dict[str, Tensor]:
    trainer = engine.build(given.to_c(), SCHEMA, LOSS, keep=given).trainer(Training(pass_size=4))
    trainer.run_pass(RECORDS, [0, 1, 2, 3])
    trainer.run_pass(RECORDS, [4, 5, -1])
    return trainer.clipped_sum()


def test_the_graph_is_all_that_training_needs(engine: Engine, graph: Callable[[], OwnGraph]) -> None:
    torch.manual_seed(1)
    trainer = engine.load(archive(Model(), SCHEMA, "script"), SCHEMA, LOSS).trainer(Training(pass_size=4))
    trainer.run_pass(RECORDS, [0, 1, 2, 3])
    trainer.run_pass(RECORDS, [4, 5, -1])
    expected = trainer.clipped_sum()
    got = sums(engine, graph())
    assert list(got) == list(expected) == ["words.weight", "norm.weight", "norm.bias"]
    for name, value in expected.items():
        assert torch.equal(got[name], value), name


def test_a_graph_names_frozen_and_trainable_parameters_and_each_tensor_once(graph: Callable[[], OwnGraph]) -> None:
    given = graph()
    trainable = {p.name: bool(p.trainable) for p in given.parameters}
    assert trainable == {
        b"words.weight": True,
        b"frozen.weight": False,
        b"frozen.bias": False,
        b"norm.weight": True,
        b"norm.bias": True,
    }
    used = {o.integer for o in given.operands if o.kind == OperandKind.TENSOR} | {p.tensor for p in given.parameters}
    assert used == set(range(len(given.tensors)))
    assert all(step.op is not None and not step.op.endswith(b"_") for step in given.steps)


def test_tensors_without_elements_are_not_shared(engine: Engine) -> None:
    class Empty(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)
            self.one, self.two = (nn.Parameter(torch.zeros(0), requires_grad=False) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)

    schema = Schema.of(Record({"x": torch.zeros(4)}, torch.zeros(2)))
    given = own(engine.read(archive(Empty(), schema, "script"), schema))
    assert len({p.tensor for p in given.parameters}) == len(given.parameters) == 4
    engine.build(given.to_c(), schema, "l2", keep=given)


def test_tensors_are_in_order_of_their_elements_size(engine: Engine) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)
            for name, dtype in (("a", torch.bool), ("b", torch.float64), ("c", torch.float16), ("d", torch.int64)):
                self.register_buffer(name, torch.ones(3, dtype=dtype))

        def forward(self, x: Tensor) -> Tensor:
            extra = self.b.float() + self.c.float() + self.d.float()
            extra = torch.where(self.a, extra, -extra) * x.sum(-1, keepdim=True)
            return self.layer(x) + extra[:, :2]

    schema = Schema.of(Record({"x": torch.zeros(4)}, torch.zeros(2)))
    given = own(engine.read(archive(Mixed(), schema, "script"), schema))
    sizes = [view.bytes // max(1, torch.Size(view.shape).numel()) for view in given.tensors]
    assert sizes == sorted(sizes, reverse=True)


def test_a_tensor_that_lies_askew_is_read_all_the_same(engine: Engine, graph: Callable[[], OwnGraph]) -> None:
    expected = sums(engine, graph())
    askew = graph()
    for view in askew.tensors:
        moved = torch.zeros(view.bytes + 1, dtype=torch.uint8)
        moved[1:] = view.tensor[: view.bytes]
        view.tensor, view.address = moved, moved.data_ptr() + 1
    for name, value in sums(engine, askew).items():
        assert torch.equal(value, expected[name])


def test_nothing_writes_to_the_tensors_of_a_graph(engine: Engine, graph: Callable[[], OwnGraph]) -> None:
    """They lie in pages that cannot be written, as those of a mapped file: a write would end this process."""
    given = graph()
    for view in given.tensors:
        pages = mmap.mmap(-1, max(view.bytes, 1))
        pages.write(bytes(view.tensor[: view.bytes].tolist()))
        view.tensor = torch.frombuffer(pages, dtype=torch.uint8)
        view.address = view.tensor.data_ptr()
        _make_readonly(view.address, len(pages))
    trainer = engine.build(given.to_c(), SCHEMA, LOSS, keep=given).trainer(Training(pass_size=4))
    for _ in range(2):
        trainer.run_pass(RECORDS, [0, 1, 2, 3])
        trainer.step()


def _make_readonly(address: int, size: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), mmap.PROT_READ) == 0


def change(name: str, **values: object) -> Callable[[OwnGraph], None]:
    def apply(given: OwnGraph) -> None:
        for key, value in values.items():
            setattr(given.step(name), key, value)

    return apply


def first_of_kind(name: str, kind: OperandKind, /, **values: object) -> Callable[[OwnGraph], None]:
    def apply(given: OwnGraph) -> None:
        operand = next(o for o in given.operands_of(name) if o.kind == kind)
        for key, value in values.items():
            setattr(operand, key, value)

    return apply


def tensor(**values: object) -> Callable[[OwnGraph], None]:
    def apply(given: OwnGraph) -> None:
        for key, value in values.items():
            setattr(given.tensors[0], key, value)

    return apply


def last_step(given: OwnGraph, op: bytes, overload: bytes, operands: list[Operand], results: int = 1) -> None:
    given.steps.append(Step(op, overload, b"", len([o for o in operands]), results))
    given.operands += operands


def of_output(given: OwnGraph) -> Operand:
    return Operand(OperandKind.VALUE, given.output)


V, T, N, INT, L, X = (OperandKind[name] for name in ("VALUE", "TENSOR", "NONE", "INTEGER", "LIST", "TEXT"))
FORGED: dict[str, tuple[Callable[[OwnGraph], None], set[Status]]] = {
    "a forbidden operator": (lambda g: last_step(g, b"aten::batch_norm_stats", b"", [of_output(g)]), {Status.INCOMPATIBLE_MODEL}),
    "an operator that nobody knows": (change("aten::relu", op=b"aten::steal"), {Status.INCOMPATIBLE_MODEL}),
    "an overload that nobody knows": (change("aten::relu", overload=b"steal"), {Status.INVALID_ARGUMENT}),
    "an operator that writes": (change("aten::relu", op=b"aten::relu_"), {Status.INVALID_ARGUMENT}),
    "an operator that writes elsewhere": (
        lambda g: last_step(g, b"aten::relu", b"out", [of_output(g), Operand(T, len(g.tensors) - 1)]),
        {Status.INVALID_ARGUMENT, Status.INCOMPATIBLE_MODEL},
    ),
    "an operator that reads a value": (lambda g: last_step(g, b"aten::item", b"", [of_output(g)]), {Status.INVALID_ARGUMENT}),
    "an operator that reads a shape": (lambda g: last_step(g, b"aten::size", b"", [of_output(g)]), {Status.INVALID_ARGUMENT}),
    "a shape that depends on the record": (
        lambda g: last_step(g, b"aten::nonzero", b"", [of_output(g)]),
        {Status.INCOMPATIBLE_MODEL},
    ),
    "no operator": (change("aten::relu", op=None), {Status.INVALID_ARGUMENT}),
    "no overload": (change("aten::relu", overload=None), {Status.INVALID_ARGUMENT}),
    "no layer": (change("aten::relu", layer=None), {Status.INVALID_ARGUMENT}),
    "no text": (first_of_kind("aten::einsum", X, text=None), {Status.INVALID_ARGUMENT}),
    "a value that comes later": (first_of_kind("aten::relu", V, integer=10**6), {Status.INVALID_ARGUMENT}),
    "a value of its own": (first_of_kind("aten::embedding", V, integer=5), {Status.INVALID_ARGUMENT}),
    "a negative value": (first_of_kind("aten::relu", V, integer=-1), {Status.INVALID_ARGUMENT}),
    "a tensor that there is not": (first_of_kind("aten::mul", T, integer=10**6), {Status.INVALID_ARGUMENT}),
    "a negative tensor": (first_of_kind("aten::mul", T, integer=-1), {Status.INVALID_ARGUMENT}),
    "a trainable parameter as a constant": (
        lambda g: first_of_kind("aten::mul", T, integer=g.parameters[0].tensor)(g),
        {Status.INVALID_ARGUMENT},
    ),
    "an operand of no kind": (first_of_kind("aten::relu", V, kind=77), {Status.INVALID_ARGUMENT}),
    "a number for a tensor": (first_of_kind("aten::relu", V, kind=INT), {Status.FORWARD_FAILED}),
    "a tensor for a number": (first_of_kind("aten::cat", INT, kind=V, integer=0), {Status.FORWARD_FAILED}),
    "a text for a list": (first_of_kind("aten::layer_norm", L, kind=X), {Status.FORWARD_FAILED, Status.INVALID_ARGUMENT}),
    "a list that never ends": (first_of_kind("aten::layer_norm", L, integer=2**62), {Status.INVALID_ARGUMENT}),
    "a list of less than nothing": (first_of_kind("aten::layer_norm", L, integer=-1), {Status.INVALID_ARGUMENT}),
    "a list in a list in a list": (first_of_kind("aten::relu", V, kind=L, integer=1), {Status.INVALID_ARGUMENT}),
    "a value in a list of numbers": (
        lambda g: setattr(next(o for o in g.operands_of("aten::layer_norm") if o.kind == INT), "kind", V),
        {Status.INVALID_ARGUMENT},
    ),
    "too few operands": (lambda g: g.operands.pop(), {Status.INVALID_ARGUMENT}),
    "too many operands": (lambda g: g.operands.append(Operand(N)), {Status.INVALID_ARGUMENT}),
    "another number of arguments": (change("aten::relu", n_operands=0), {Status.INVALID_ARGUMENT}),
    "another number of results": (change("aten::relu", n_results=2), {Status.INVALID_ARGUMENT}),
    "an output that there is not": (lambda g: setattr(g, "output", 10**6), {Status.INVALID_ARGUMENT}),
    "no name of the output": (lambda g: setattr(g, "output_name", None), {Status.INVALID_ARGUMENT}),
    "two parameters with one tensor": (
        lambda g: g.parameters.append(Parameter(b"again", g.parameters[0].tensor, 1)),
        {Status.INVALID_ARGUMENT},
    ),
    "a parameter without a tensor": (lambda g: setattr(g.parameters[0], "tensor", -1), {Status.INVALID_ARGUMENT}),
    "nothing to train": (
        lambda g: [setattr(p, "trainable", 0) for p in g.parameters],
        {Status.INVALID_ARGUMENT, Status.FORWARD_FAILED, Status.INCOMPATIBLE_MODEL},
    ),
    "a tensor of more bytes": (tensor(bytes=2**40), {Status.INVALID_ARGUMENT}),
    "a tensor whose size overflows": (tensor(shape=[2**62, 2**62]), {Status.INVALID_ARGUMENT}),
    "a tensor of less than nothing": (tensor(shape=[-1, 4]), {Status.INVALID_ARGUMENT}),
    "a tensor of no type": (tensor(dtype=99), {Status.INVALID_ARGUMENT}),
    "a tensor that lies nowhere": (tensor(address=0), {Status.INVALID_ARGUMENT}),
    "a tensor of seventeen dimensions": (tensor(shape=[1] * 17), {Status.INVALID_ARGUMENT}),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_graph_is_refused(engine: Engine, graph: Callable[[], OwnGraph], name: str) -> None:
    forge, allowed = FORGED[name]
    given = graph()
    forge(given)
    with pytest.raises(EngineError) as refusal:
        engine.build(given.to_c(), SCHEMA, LOSS, keep=given)
    assert refusal.value.status in allowed, refusal.value
    assert refusal.value.reason


def test_a_graph_meets_the_same_table_as_an_archive(engine: Engine, graph: Callable[[], OwnGraph]) -> None:
    given = graph()
    without = [name for name in engine.allowed if name != "aten::einsum"]
    with pytest.raises(EngineError) as refusal:
        engine.build(given.to_c(), SCHEMA, LOSS, without, keep=given)
    assert (refusal.value.status, refusal.value.operator) == (Status.INCOMPATIBLE_MODEL, "aten::einsum")


def test_batch_norm_that_learns_is_refused_in_a_graph_too(engine: Engine) -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3).eval()

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.layer(x))

    schema = Schema.of(Record({"x": torch.zeros(4)}, torch.zeros(3)))
    module = Frozen()
    given = own(engine.read(archive(module, schema, "trace"), schema))
    engine.build(given.to_c(), schema, "l2", keep=given)
    training = next(o for o in given.operands_of("aten::batch_norm") if o.kind == OperandKind.BOOLEAN)
    training.integer = 1
    with pytest.raises(EngineError, match="GroupNorm"):
        engine.build(given.to_c(), schema, "l2", keep=given)
