"""Reads the items of any map-style dataset as records: inputs and a label, alike in names, shapes and dtypes.

No error here tells a value: only which item, which tensor, and its shape or type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset

from bastionlab import errors
from bastionlab.torch._calling import is_parameter_name
from bastionlab.torch._schema import DTYPES, Schema, TensorSpec

_ITEM_FORM = "an item is (inputs, label), inputs being a tensor, a list or tuple of tensors, or a dict of tensors by name"
_LABEL_NAMES = ("label", "labels")
_AS_TENSOR = 'make one tensor of it, torch.tensor([...]); a Hugging Face dataset does so after dataset.with_format("torch")'
_WIDER = {torch.uint16: "int32", torch.uint32: "int64", torch.uint64: "int64, where its values fit"}


@dataclass(frozen=True)
class Record:
    """One item, understood."""

    inputs: dict[str, torch.Tensor]
    label: torch.Tensor
    named: bool

    @property
    def schema(self) -> Schema:
        specs = tuple(_spec(name, tensor) for name, tensor in self.inputs.items())
        return Schema(specs, _spec("label", self.label), self.named)


class Records:
    """A dataset's records, each checked against the schema of the first as it is read."""

    def __init__(self, dataset: Dataset[Any], what: str = "the dataset") -> None:
        self._dataset = dataset
        self._what = what
        self.count = _length(dataset, what)
        self.schema = self._read(0).schema

    def __iter__(self) -> Iterator[Record]:
        return self.after(0)

    def after(self, count: int) -> Iterator[Record]:
        """All but so many first ones, which are not read."""
        for index in range(count, self.count):
            record = self._read(index)
            if record.schema != self.schema:
                raise _ragged(record.schema, self.schema, index)
            yield record

    def _read(self, index: int) -> Record:
        try:
            item = self._dataset[index]
        except (IndexError, StopIteration) as error:
            # Out of items, or a mistake inside of the owner's own __getitem__: only the cause tells.
            raise errors.InvalidArgument(
                f"{self._what} says that it has {self.count} items, but item {index} ended in {_type(error)}",
                next="the error above is its cause: mend __len__ or __getitem__",
            ) from error
        except Exception as error:
            if hasattr(error, "add_note"):  # Python 3.11 has notes
                error.add_note(f"bastionlab was reading item {index} of {self._what}")
            raise
        return read_item(item, index)


def read_item(item: Any, index: int) -> Record:
    """The record in one item of a dataset."""
    inputs, label = _split(item, index)
    named = isinstance(inputs, Mapping)
    if isinstance(inputs, Mapping):
        columns = dict(inputs)
        if not all(isinstance(name, str) and is_parameter_name(name) for name in columns):
            raise errors.InvalidArgument(f"item {index}: inputs have names that no parameter can have", next=_ITEM_FORM)
    elif isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes)):
        if _is_numbers(inputs):
            # As many inputs as numbers is what it says, and hardly ever what is meant.
            raise errors.InvalidArgument(f"item {index}: the inputs are a {_type(inputs)} of plain numbers", next=_AS_TENSOR)
        columns = {f"input_{position}": value for position, value in enumerate(inputs)}
    else:
        columns = {"input_0": inputs}
    if not columns:
        raise errors.InvalidArgument(f"item {index} has no inputs", next=_ITEM_FORM)
    tensors = {name: _input_tensor(value, f"item {index}: input {name!r}") for name, value in columns.items()}
    return Record(tensors, _label_tensor(label, index), named)


def _split(item: Any, index: int) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        found = [name for name in _LABEL_NAMES if name in item]
        if len(found) != 1:
            has = "both a label and labels" if found else "neither a label nor labels"
            raise errors.InvalidArgument(f"item {index} has {has}", next="name its label `label`")
        return {name: value for name, value in item.items() if name != found[0]}, item[found[0]]
    if isinstance(item, Sequence) and not isinstance(item, (str, bytes)):
        if len(item) == 2:
            return item[0], item[1]
        # torch's TensorDataset(ids, masks, labels)
        if len(item) > 2 and all(isinstance(value, (torch.Tensor, np.ndarray)) for value in item[:-1]):
            return item[:-1], item[-1]
    raise errors.InvalidArgument(f"item {index} is a {_type(item)}{_size(item)}, not inputs and a label", next=_ITEM_FORM)


def _input_tensor(value: Any, what: str) -> torch.Tensor:
    tensor = _tensor(value, what)
    if tensor is None:
        into = "turn it into a tensor (images: ToTensor, texts: a tokenizer) or leave it out"
        raise errors.InvalidArgument(f"{what} is a {_type(value)}, not a tensor", next=_AS_TENSOR if _is_numbers(value) else into)
    return tensor


def _label_tensor(value: Any, index: int) -> torch.Tensor:
    tensor = _tensor(value, f"item {index}: the label")
    if tensor is None:
        raise errors.InvalidArgument(
            f"item {index}: the label is a {_type(value)}, not a number or a tensor",
            next=_AS_TENSOR if _is_numbers(value) else "number the classes from 0, or give a tensor",
        )
    return tensor


def _tensor(value: Any, what: str) -> torch.Tensor | None:
    """None where the value is neither number nor array."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized:
            raise errors.InvalidArgument(f"{what} is a sparse or quantized tensor", next="make it dense")
        tensor = value.detach().cpu()
    elif isinstance(value, (np.ndarray, np.generic)):
        try:
            # torch knows neither strides that run backwards nor the other byte order.
            tensor = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C"))
        except TypeError:  # an array of objects or strings
            return None
    elif isinstance(value, (bool, int)):
        if not -(2**63) <= value < 2**63:
            raise errors.InvalidArgument(f"{what} is an integer of more than 64 bits", next="use numbers that int64 can hold")
        tensor = torch.tensor(int(value), dtype=torch.int64)
    elif isinstance(value, float):
        tensor = torch.tensor(value, dtype=torch.float32)
    else:
        return None
    if tensor.dtype not in DTYPES:
        wider = _WIDER.get(tensor.dtype)
        raise errors.InvalidArgument(
            f"{what} is of the unknown dtype {tensor.dtype}",
            next=f"turn it into {wider}" if wider else "use integers, floats or bool",
        )
    if tensor.numel() == 0:
        raise errors.InvalidArgument(f"{what} is empty: its shape is {list(tensor.shape)}", next="leave it out, or mend it")
    return tensor


def _ragged(seen: Schema, expected: Schema, index: int) -> errors.InvalidArgument:
    names, known = [[spec.name for spec in schema.inputs] for schema in (seen, expected)]
    if names != known or seen.named != expected.named:
        return errors.InvalidArgument(
            f"item {index} has the inputs {', '.join(names)}, item 0 has {', '.join(known)}", next="give every item the same inputs"
        )
    for mine, first in zip((*seen.inputs, seen.label), (*expected.inputs, expected.label), strict=True):
        what = "the label" if mine is seen.label else f"input {mine.name!r}"
        if mine.shape != first.shape:
            return errors.InvalidArgument(
                f"item {index}: {what} has the shape {list(mine.shape)}, in item 0 it has {list(first.shape)}",
                next="pad or cut every item to one shape",
            )
        if mine.dtype != first.dtype:
            return errors.InvalidArgument(
                f"item {index}: {what} is of {mine.dtype}, in item 0 it is of {first.dtype}", next="give every item the same dtype"
            )
    raise AssertionError("the schemas are equal")


def _length(dataset: Any, what: str) -> int:
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise errors.InvalidArgument(
            f"{what} is a {_type(dataset)} without length or index",
            next="give a map-style dataset (one with __len__ and __getitem__); list(...) makes one of an iterable",
        )
    count = len(dataset)
    if count == 0:
        raise errors.InvalidArgument(f"{what} is empty", next="give at least one item")
    return count


def _spec(name: str, tensor: torch.Tensor) -> TensorSpec:
    return TensorSpec(name, tensor.dtype, tuple(tensor.shape))


def _is_numbers(value: Any) -> bool:
    """Whether it is a list or tuple of Python's own numbers, lists of them included."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(isinstance(each, (bool, int, float)) or _is_numbers(each) for each in value)


def _type(value: Any) -> str:
    return type(value).__name__


def _size(value: Any) -> str:
    return f" of {len(value)}" if hasattr(value, "__len__") and not isinstance(value, (str, bytes)) else ""
