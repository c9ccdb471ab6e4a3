"""The engine under test, behind its C ABI: programs, trainers, errors as exceptions."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import abi
from abi import Status
from records import Record, Schema, pack

RandomSource = Callable[[int], bytes]

ENGINE = Path(__file__).resolve().parent.parent
LIBRARY = ENGINE / "build" / "libbastionlab_engine_testing.so"
OPERATORS = ENGINE.parent / "internal" / "program" / "operators.txt"


class EngineError(Exception):
    def __init__(self, status: Status, operator: str, layer: str, reason: str) -> None:
        super().__init__(f"{status.name}: operator {operator!r}, layer {layer!r}: {reason}")
        self.status = status
        self.operator = operator
        self.layer = layer
        self.reason = reason


def _check(status: int, error: abi.Error) -> None:
    if status != Status.OK:
        texts = (bytes(text).decode() for text in (error.op, error.layer, error.reason))
        raise EngineError(Status(status), *texts)


@dataclass(frozen=True)
class Optimizer:
    """Numbers that torch.optim takes as defaults, apart from the learning rate."""

    kind: int = 1
    lr: float = 1.0
    weight_decay: float = 0.0
    momentum: float = 0.0
    dampening: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    nesterov: bool = False
    amsgrad: bool = False


SGD, ADAM, ADAMW = 1, 2, 3


UNROUNDED, EXACT, CERTIFIED = 0, 1, 2


@dataclass(frozen=True)
class Training:
    """By default as no release build can be: clipped, without a grid and without noise, to compare with an oracle."""

    pass_size: int = 4
    is_private: bool = True
    release: int = UNROUNDED
    grid_exponent: int = 30
    clipping_norm: float = 1.0
    noise_stddev: float = 0.0
    normalizer: float = 1.0
    loss_bound: float = 0.0
    optimizer: Optimizer = field(default_factory=Optimizer)

    def to_c(self) -> abi.Training:
        values = {name: getattr(self, name) for name, _ in abi.Training._fields_ if name != "optimizer"}
        optimizer = {name: getattr(self.optimizer, name) for name, _ in abi.Optimizer._fields_}
        return abi.Training(**values, optimizer=abi.Optimizer(**optimizer))


class Engine:
    """The loaded library. One per process: bl_start may be called once."""

    def __init__(self, library: Path, operators: Path, threads: int, device: str = "cpu") -> None:
        self.library = abi.open_library(library)
        self.allowed = allowed_operators(operators)
        self.device = device  # what programs compute on
        error = abi.Error()
        self.library.bl_quote_libtorch()  # nothing here is anybody's
        _check(self.library.bl_start(threads, self.device.encode(), ctypes.byref(error)), error)

    def on(self, device: str) -> Engine:
        """The same library with programs that compute on another device; a testing build takes all that libtorch knows."""
        other = copy.copy(self)
        other.device = device
        return other

    def load(self, archive: bytes, schema: Schema, loss: str, allowed: Sequence[str] | None = None) -> Program:
        """As the product does: the archive becomes a graph, and the graph a program."""
        intake = self.read(archive, schema, allowed)
        return self.build(intake.graph, schema, loss, allowed, keep=intake)

    def read(self, archive: bytes, schema: Schema, allowed: Sequence[str] | None = None) -> Intake:
        handle, error, spec = ctypes.c_void_p(), abi.Error(), schema.to_c()
        table, count = self._table(allowed)
        _check(
            self.library.bl_intake_read(
                archive, len(archive), ctypes.byref(spec), table, count, ctypes.byref(handle), ctypes.byref(error)
            ),
            error,
        )
        return Intake(self.library, handle)

    def build(
        self,
        graph: abi.Graph,
        schema: Schema,
        loss: str,
        allowed: Sequence[str] | None = None,
        keep: object = None,
    ) -> Program:
        """`keep` is what holds the data of the graph's tensors."""
        handle, error, spec = ctypes.c_void_p(), abi.Error(), schema.to_c()
        table, count = self._table(allowed)
        _check(
            self.library.bl_program_build(
                ctypes.byref(graph),
                ctypes.byref(spec),
                loss.encode(),
                self.device.encode(),
                table,
                count,
                ctypes.byref(handle),
                ctypes.byref(error),
            ),
            error,
        )
        return Program(self.library, handle, keep)

    def _table(self, allowed: Sequence[str] | None) -> tuple[ctypes.Array[ctypes.c_char_p], int]:
        names = [name.encode() for name in (self.allowed if allowed is None else allowed)]
        return (ctypes.c_char_p * len(names))(*names), len(names)


class Intake:
    """What an archive was understood as."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self.library = library
        self.handle = handle

    def __del__(self) -> None:
        self.library.bl_intake_free(self.handle)

    @property
    def graph(self) -> abi.Graph:
        graph: abi.Graph = self.library.bl_intake_graph(self.handle).contents
        return graph


def allowed_operators(path: Path) -> list[str]:
    """The operator table's lines are `<operator> <kind> ...`; every kind but `forbidden` may occur in a program."""
    rows = (line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#"))
    return [row[0] for row in rows if row[1] != "forbidden"]


class Program:
    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p, keep: object) -> None:
        self.library = library
        self.handle = handle
        self.keep = keep  # must outlive the program

    def __del__(self) -> None:
        self.library.bl_program_free(self.handle)

    def rehearse(self, pass_size: int = 2) -> None:
        error = abi.Error()
        _check(self.library.bl_program_rehearse(self.handle, pass_size, ctypes.byref(error)), error)

    def report_json(self) -> str:
        text: bytes = self.library.bl_program_report(self.handle)
        return text.decode()

    def report(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.report_json())
        return parsed

    def trainer(self, training: Training | None = None) -> Trainer:
        spec, handle, error = (training or Training()).to_c(), ctypes.c_void_p(), abi.Error()
        _check(
            self.library.bl_trainer_create(self.handle, ctypes.byref(spec), ctypes.byref(handle), ctypes.byref(error)),
            error,
        )
        return Trainer(self, handle)

    def evaluator(self, metric: str, bound: float = 1.0, noise_stddev: float = 0.0, is_private: bool = True) -> Evaluator:
        spec = abi.Evaluation(metric.encode(), bound, is_private, noise_stddev)
        handle, error = ctypes.c_void_p(), abi.Error()
        _check(
            self.library.bl_evaluator_create(self.handle, ctypes.byref(spec), ctypes.byref(handle), ctypes.byref(error)),
            error,
        )
        return Evaluator(self, handle)


GRID = 2**30  # the value of a record that a metric finds all right


class Evaluator:
    """Sums up a metric over records, one at a time."""

    def __init__(self, program: Program, handle: ctypes.c_void_p) -> None:
        self.program = program  # must outlive the evaluator
        self.library = program.library
        self.handle = handle

    def __del__(self) -> None:
        self.library.bl_evaluator_free(self.handle)

    def set_parameter(self, name: str, tensor: Tensor) -> None:
        data, error = data_of(tensor), abi.Error()
        _check(
            self.library.bl_evaluator_set_parameter(
                self.handle, name.encode(), abi.DTYPES[tensor.dtype], data, len(data), ctypes.byref(error)
            ),
            error,
        )

    def parameter_count(self) -> int:
        count: int = self.library.bl_evaluator_parameter_count(self.handle)
        return count

    def add(self, records: Sequence[Record], slot: int, seed: int = 0) -> None:
        """A slot of -1 is empty."""
        packed, error = pack(records), abi.Error()
        _check(self.library.bl_evaluator_add(self.handle, packed, len(records), slot, seed, ctypes.byref(error)), error)

    def release(self, random: RandomSource = os.urandom) -> int:
        """In units of 1 / GRID."""
        out, error = ctypes.c_int64(), abi.Error()
        with _filling(random) as fill:
            _check(self.library.bl_evaluator_release(self.handle, fill, None, ctypes.byref(out), ctypes.byref(error)), error)
        return out.value


def data_of(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@contextlib.contextmanager
def _filling(random: RandomSource) -> Iterator[Any]:
    """The source as C calls it."""
    failures: list[BaseException] = []

    def fill(_context: int | None, out: Any, count: int) -> None:
        try:
            ctypes.memmove(out, random(count), count)
        except BaseException as failure:  # an exception cannot cross the C frames in between
            failures.append(failure)

    yield abi.RANDOM(fill)
    if failures:
        raise failures[0]


class Trainer:
    def __init__(self, program: Program, handle: ctypes.c_void_p) -> None:
        self.program = program  # must outlive the trainer
        self.library = program.library
        self.handle = handle
        self.calls: list[str] = []  # what was called for the records, and
        self.said: list[str] = []  # what it said beside its status

    def __del__(self) -> None:
        self.library.bl_trainer_free(self.handle)

    def run_pass(self, records: Sequence[Record], slots: Sequence[int], seed: int = 0) -> None:
        """One pass over some of the records; -1 is an empty slot. A record's draws depend on `seed` and its number alone."""
        indices = (ctypes.c_int64 * len(slots))(*slots)
        numbers = [(seed * 1_000_003 + slot + 1) % 2**64 for slot in slots]
        seeds = (ctypes.c_uint64 * len(slots))(*numbers)
        packed, failed, error = pack(records), ctypes.c_int32(), abi.Error()
        _check(
            self.library.bl_trainer_pass(
                self.handle, packed, len(records), indices, seeds, len(slots), ctypes.byref(failed), ctypes.byref(error)
            ),
            error,
        )
        self._note(f"pass of {len(slots)}", error)
        if failed.value == 0:
            return
        kept = [self._unless_it_fails(packed, len(records), *pair) for pair in zip(slots, numbers, strict=True)]
        again = (ctypes.c_int64 * len(slots))(*kept)
        function = self.library.bl_trainer_again
        _check(function(self.handle, packed, len(records), again, seeds, len(slots), ctypes.byref(error)), error)
        self._note(f"pass of {len(slots)} again", error)

    def _unless_it_fails(self, packed: bytes, count: int, slot: int, number: int) -> int:
        if slot < 0:
            return slot
        failed, error = ctypes.c_int32(), abi.Error()
        function = self.library.bl_trainer_probe
        _check(function(self.handle, packed, count, slot, number, ctypes.byref(failed), ctypes.byref(error)), error)
        self._note("probe", error)
        return -1 if failed.value else slot

    def _note(self, call: str, error: abi.Error) -> None:
        self.calls.append(call)
        self.said.append((error.op + error.layer + error.reason).decode())

    def step(self, random: RandomSource = os.urandom) -> None:
        error = abi.Error()
        with _filling(random) as fill:
            _check(self.library.bl_trainer_step(self.handle, fill, None, ctypes.byref(error)), error)

    def parameters(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in (self._parameter(i) for i in range(self._count()))}

    def set_parameter(self, name: str, tensor: Tensor) -> None:
        data, error = data_of(tensor), abi.Error()
        _check(
            self.library.bl_trainer_set_parameter(
                self.handle, name.encode(), abi.DTYPES[tensor.dtype], data, len(data), ctypes.byref(error)
            ),
            error,
        )

    def loss(self) -> float:
        loss: float = self.library.bl_trainer_loss(self.handle)
        return loss

    def state(self) -> dict[str, Tensor]:
        """What the optimizer remembers."""
        count, error = ctypes.c_int64(), abi.Error()
        _check(self.library.bl_trainer_state_count(self.handle, ctypes.byref(count), ctypes.byref(error)), error)
        return {name: tensor for name, tensor in (self._view(self.library.bl_trainer_state, i) for i in range(count.value))}

    def set_state(self, name: str, tensor: Tensor) -> None:
        data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        view, error = abi.TensorView(), abi.Error()
        view.name, view.dtype, view.rank = name.encode(), abi.DTYPES[tensor.dtype], tensor.dim()
        view.shape = (ctypes.c_int64 * tensor.dim())(*tensor.shape)
        view.data, view.bytes = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data)
        _check(self.library.bl_trainer_set_state(self.handle, ctypes.byref(view), ctypes.byref(error)), error)

    def clipped_sum(self) -> dict[str, Tensor]:
        """The step's sum so far, before noise, by parameter, in float64."""
        return {
            name: self._sum(index, parameter.shape, torch.float64)
            for index, (name, parameter) in enumerate(self._parameter(i) for i in range(self._count()))
        }

    def grid_sum(self) -> dict[str, Tensor]:
        """The same in integers of the grid, int64; the sum of losses is called "loss"."""
        sums = {
            name: self._sum(index, parameter.shape, torch.int64)
            for index, (name, parameter) in enumerate(self._parameter(i) for i in range(self._count()))
        }
        return sums | {"loss": self._sum(self._count(), torch.Size([1]), torch.int64)}

    def _sum(self, index: int, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        out, error = torch.zeros(shape, dtype=dtype), abi.Error()
        integers = dtype == torch.int64
        function = self.library.bl_testing_grid_sum if integers else self.library.bl_testing_clipped_sum
        pointer = ctypes.cast(out.data_ptr(), ctypes.POINTER(ctypes.c_int64 if integers else ctypes.c_double))
        _check(function(self.handle, index, pointer, out.numel(), ctypes.byref(error)), error)
        return out

    def _count(self) -> int:
        count: int = self.library.bl_trainer_parameter_count(self.handle)
        return count

    def _parameter(self, index: int) -> tuple[str, Tensor]:
        return self._view(self.library.bl_trainer_parameter, index)

    def _view(self, function: Callable[..., int], index: int) -> tuple[str, Tensor]:
        view, error = abi.TensorView(), abi.Error()
        _check(function(self.handle, index, ctypes.byref(view), ctypes.byref(error)), error)
        dtype = next(dtype for dtype, number in abi.DTYPES.items() if number == view.dtype)
        shape = [view.shape[i] for i in range(view.rank)]
        data = bytearray(ctypes.string_at(view.data, view.bytes))
        tensor = torch.frombuffer(data, dtype=dtype).reshape(shape) if data else torch.empty(shape, dtype=dtype)
        return view.name.decode(), tensor
