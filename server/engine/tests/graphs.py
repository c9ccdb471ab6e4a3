"""A graph that Python owns, so that a test can change any part of it before the engine sees it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

import torch
from torch import Tensor

import abi
from abi import OperandKind
from engine import Intake


@dataclass
class Operand:
    kind: int
    integer: int = 0
    real: float = 0.0
    text: bytes | None = b""


@dataclass
class Step:
    op: bytes | None
    overload: bytes | None
    layer: bytes | None
    n_operands: int
    n_results: int


@dataclass
class Parameter:
    name: bytes | None
    tensor: int
    trainable: int


@dataclass
class View:
    """A tensor as the graph claims it to be; `tensor` holds the bytes."""

    tensor: Tensor
    dtype: int
    shape: list[int]
    bytes: int
    address: int


@dataclass
class OwnGraph:
    tensors: list[View]
    parameters: list[Parameter]
    steps: list[Step]
    operands: list[Operand]
    output: int
    output_name: bytes | None
    _kept: list[object] = field(default_factory=list)

    def step(self, op: str) -> Step:
        return next(step for step in self.steps if step.op == op.encode())

    def operands_of(self, op: str) -> list[Operand]:
        """Those of the first step of that name, lists and elements alike."""
        at = 0
        for step in self.steps:
            begin = at
            for _ in range(step.n_operands):
                at = self._after(at)
            if step.op == op.encode():
                return self.operands[begin:at]
        raise KeyError(op)

    def _after(self, at: int) -> int:
        operand = self.operands[at]
        at += 1
        if operand.kind == OperandKind.LIST:
            for _ in range(operand.integer):
                at = self._after(at)
        return at

    def to_c(self) -> abi.Graph:
        """Valid as long as this object lives."""
        views = (abi.TensorView * len(self.tensors))()
        for view, own in zip(views, self.tensors, strict=True):
            shape = (ctypes.c_int64 * max(len(own.shape), 1))(*own.shape)
            view.name, view.dtype, view.rank, view.shape = b"", own.dtype, len(own.shape), shape
            view.data, view.bytes = own.address, own.bytes
            self._kept.append(shape)
        parameters = (abi.GraphParameter * len(self.parameters))(
            *(abi.GraphParameter(p.name, p.tensor, p.trainable) for p in self.parameters)
        )
        steps = (abi.GraphStep * len(self.steps))(
            *(abi.GraphStep(s.op, s.overload, s.layer, s.n_operands, s.n_results) for s in self.steps)
        )
        operands = (abi.Operand * len(self.operands))(*(abi.Operand(o.kind, o.integer, o.real, o.text) for o in self.operands))
        self._kept += [views, parameters, steps, operands]
        return abi.Graph(
            tensors=views,
            n_tensors=len(views),
            parameters=parameters,
            n_parameters=len(parameters),
            steps=steps,
            n_steps=len(steps),
            operands=operands,
            n_operands=len(operands),
            output=self.output,
            output_name=self.output_name,
        )


def own(intake: Intake) -> OwnGraph:
    """A copy of the engine's graph, its tensors included."""
    graph = intake.graph
    return OwnGraph(
        tensors=[_own_view(graph.tensors[i]) for i in range(graph.n_tensors)],
        parameters=[Parameter(p.name, p.tensor, p.trainable) for p in graph.parameters[: graph.n_parameters]],
        steps=[Step(s.op, s.overload, s.layer, s.n_operands, s.n_results) for s in graph.steps[: graph.n_steps]],
        operands=[Operand(o.kind, o.integer, o.real, o.text) for o in graph.operands[: graph.n_operands]],
        output=graph.output,
        output_name=graph.output_name,
    )


def _own_view(view: abi.TensorView) -> View:
    shape = [view.shape[i] for i in range(view.rank)]
    data = torch.frombuffer(bytearray(ctypes.string_at(view.data, view.bytes)) or bytearray(1), dtype=torch.uint8)
    return View(data, view.dtype, shape, view.bytes, data.data_ptr())
