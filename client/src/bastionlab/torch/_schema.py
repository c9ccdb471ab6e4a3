"""What others see of a dataset: names, shapes and dtypes. Never a row, never a range computed from rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bastionlab.v1 import dataset_pb2

_MESSAGE_DTYPES: dict[torch.dtype, dataset_pb2.DType] = {
    torch.bool: dataset_pb2.DTYPE_BOOL,
    torch.uint8: dataset_pb2.DTYPE_U8,
    torch.int8: dataset_pb2.DTYPE_I8,
    torch.int16: dataset_pb2.DTYPE_I16,
    torch.int32: dataset_pb2.DTYPE_I32,
    torch.int64: dataset_pb2.DTYPE_I64,
    torch.float16: dataset_pb2.DTYPE_F16,
    torch.bfloat16: dataset_pb2.DTYPE_BF16,
    torch.float32: dataset_pb2.DTYPE_F32,
    torch.float64: dataset_pb2.DTYPE_F64,
}
_TORCH_DTYPES = {number: dtype for dtype, number in _MESSAGE_DTYPES.items()}

DTYPES = tuple(_MESSAGE_DTYPES)


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of one record, without a batch dimension."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def record_bytes(self) -> int:
        return self.dtype.itemsize * torch.Size(self.shape).numel()

    def to_message(self) -> dataset_pb2.TensorSpec:
        return dataset_pb2.TensorSpec(name=self.name, dtype=_MESSAGE_DTYPES[self.dtype], shape=self.shape)

    @classmethod
    def from_message(cls, message: dataset_pb2.TensorSpec) -> TensorSpec:
        return cls(message.name, dtype_of(message.dtype), tuple(message.shape))

    def __str__(self) -> str:
        return f"{self.name} {str(self.dtype).removeprefix('torch.')}{list(self.shape)}"


@dataclass(frozen=True)
class Schema:
    """A record is its inputs in order, then its label."""

    inputs: tuple[TensorSpec, ...]
    label: TensorSpec
    named: bool
    """Whether inputs go to the parameters of ``forward`` by name, else by position."""

    @property
    def record_bytes(self) -> int:
        return sum(spec.record_bytes for spec in (*self.inputs, self.label))

    def to_message(self) -> dataset_pb2.Schema:
        return dataset_pb2.Schema(
            inputs=[spec.to_message() for spec in self.inputs], label=self.label.to_message(), named_inputs=self.named
        )

    @classmethod
    def from_message(cls, message: dataset_pb2.Schema) -> Schema:
        inputs = tuple(TensorSpec.from_message(spec) for spec in message.inputs)
        return cls(inputs, TensorSpec.from_message(message.label), message.named_inputs)

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.inputs))} -> {self.label}"


def dtype_of(number: int) -> torch.dtype:
    """The torch dtype of a bastionlab.v1.DType that this client knows."""
    return _TORCH_DTYPES[number]  # type: ignore[index]
