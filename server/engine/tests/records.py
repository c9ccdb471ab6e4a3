"""Records as the engine gets them: a schema, and tensors laid out one record after the other without padding."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import abi


@dataclass(frozen=True)
class Record:
    """One record: inputs by name, in the order in which they are stored, and the label. No batch dimension."""

    inputs: dict[str, Tensor]
    label: Tensor

    def tensors(self) -> list[Tensor]:
        return [*self.inputs.values(), self.label]

    def to(self, dtype: torch.dtype) -> Record:
        """The same record with its floating point tensors in another precision."""

        def cast(tensor: Tensor) -> Tensor:
            return tensor.to(dtype) if tensor.is_floating_point() else tensor

        return Record({name: cast(tensor) for name, tensor in self.inputs.items()}, cast(self.label))


@dataclass(frozen=True)
class Field:
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count * self.dtype.itemsize


@dataclass(frozen=True)
class Schema:
    inputs: tuple[Field, ...]
    label: Field
    named: bool = False

    @staticmethod
    def of(record: Record, named: bool = False) -> Schema:
        inputs = tuple(Field(name, t.dtype, tuple(t.shape)) for name, t in record.inputs.items())
        return Schema(inputs, Field("label", record.label.dtype, tuple(record.label.shape)), named)

    @property
    def record_bytes(self) -> int:
        return sum(field.bytes for field in self.inputs) + self.label.bytes

    def zeros(self) -> dict[str, Tensor]:
        """Inputs for tracing: a batch of one, made from the schema alone."""
        return {field.name: torch.zeros(1, *field.shape, dtype=field.dtype) for field in self.inputs}

    def to_c(self) -> abi.Schema:
        specs = (abi.TensorSpec * len(self.inputs))()
        offset = 0
        for spec, field in zip(specs, self.inputs, strict=True):
            _fill(spec, field, offset)
            offset += field.bytes
        schema = abi.Schema(inputs=specs, n_inputs=len(specs), record_bytes=self.record_bytes, named_inputs=self.named)
        _fill(schema.label, self.label, offset)
        return schema


def _fill(spec: abi.TensorSpec, field: Field, offset: int) -> None:
    spec.name = field.name.encode()
    spec.dtype = abi.DTYPES[field.dtype]
    spec.rank = len(field.shape)
    spec.shape = (ctypes.c_int64 * len(field.shape))(*field.shape)
    spec.offset = offset


def pack(records: Sequence[Record]) -> bytes:
    return b"".join(_bytes(tensor) for record in records for tensor in record.tensors())


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
