"""What an item may look like, and how one that may not is named - by index, shape and type, never by value."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from bastionlab import errors
from bastionlab.torch._records import Records, read_item

Pair = collections.namedtuple("Pair", "inputs label")


def ids(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int64)


FORMS: dict[str, tuple[Any, bool, str]] = {
    "a tensor and a number": ((torch.zeros(3), 1), False, "input_0 float32[3] -> label int64[]"),
    "a tensor and a tensor": ((torch.zeros(3), torch.zeros(2)), False, "input_0 float32[3] -> label float32[2]"),
    "a list of tensors": (([ids(4), ids(4)], 0), False, "input_0 int64[4], input_1 int64[4] -> label int64[]"),
    "a tuple of tensors": (((ids(4), torch.zeros(2)), 0), False, "input_0 int64[4], input_1 float32[2] -> label int64[]"),
    "an item that is a list": ([torch.zeros(3), 1], False, "input_0 float32[3] -> label int64[]"),
    "a named tuple": (Pair(torch.zeros(3), 1), False, "input_0 float32[3] -> label int64[]"),
    "a dict of inputs": (({"x": ids(4), "m": ids(4)}, 1), True, "x int64[4], m int64[4] -> label int64[]"),
    "a dict with label": ({"x": ids(4), "label": 1}, True, "x int64[4] -> label int64[]"),
    "a dict with labels": ({"labels": ids(7), "x": ids(7)}, True, "x int64[7] -> label int64[7]"),
    "TensorDataset of many columns": ((ids(4), ids(4), ids()), False, "input_0 int64[4], input_1 int64[4] -> label int64[]"),
    "arrays": ((np.zeros(3, np.float32), np.int64(1)), False, "input_0 float32[3] -> label int64[]"),
    "an array of float64": ((np.zeros(3), 1), False, "input_0 float64[3] -> label int64[]"),
    "a read-only array": ((np.broadcast_to(np.float32(0), (3,)), 1), False, "input_0 float32[3] -> label int64[]"),
    "numbers by name": (({"age": 1, "height": 2.0}, 0), True, "age int64[], height float32[] -> label int64[]"),
    "a number and a tensor": (([1, ids(4)], 0), False, "input_0 int64[], input_1 int64[4] -> label int64[]"),
    "the largest label": ((torch.zeros(3), 2**63 - 1), False, "input_0 float32[3] -> label int64[]"),
    "strides that run backwards": ((np.zeros((4, 3), np.float32)[:, ::-1], 0), False, "input_0 float32[4, 3] -> label int64[]"),
    "the other byte order": ((np.zeros(4, ">f4"), np.array(1, ">i8")), False, "input_0 float32[4] -> label int64[]"),
    "a float label": ((torch.zeros(3), 0.5), False, "input_0 float32[3] -> label float32[]"),
    "a bool label": ((torch.zeros(3), True), False, "input_0 float32[3] -> label int64[]"),
    "a gradient": ((torch.zeros(3, requires_grad=True), 1), False, "input_0 float32[3] -> label int64[]"),
    "bool and bytes": (([ids(2).bool(), ids(2).byte()], 1), False, "input_0 bool[2], input_1 uint8[2] -> label int64[]"),
    "halves": ((torch.zeros(2).bfloat16(), 1), False, "input_0 bfloat16[2] -> label int64[]"),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_are_read(form: str) -> None:
    item, named, expected = FORMS[form]
    schema = read_item(item, 0).schema
    assert schema.named == named
    assert str(schema) == expected


SECRET = "4711"
REFUSED: dict[str, tuple[Any, str]] = {
    "no pair": (torch.zeros(3), "item 5 is a Tensor of 3"),
    "one thing": ((torch.zeros(3),), "item 5 is a tuple of 1"),
    "three things, not tensors": (("a", "b", 1), "item 5 is a tuple of 3"),
    "a text": ("spam", "item 5 is a str"),
    "nothing": (None, "item 5 is a NoneType"),
    "a dict without label": ({"x": ids(4)}, "neither a label nor labels"),
    "a dict with both": ({"x": ids(4), "label": 1, "labels": 1}, "both a label and labels"),
    "a text as input": (([ids(4), SECRET], 1), "item 5: input 'input_1' is a str, not a tensor"),
    "a text column": ({"text": SECRET, "label": 1}, "item 5: input 'text' is a str"),
    "a list of numbers": (([1, 2, 4711], 1), r"item 5: the inputs are a list of plain numbers.*torch.tensor\(\[...\]\)"),
    "a tuple of numbers": (((1, 2.0), 1), r"item 5: the inputs are a tuple of plain numbers.*torch.tensor\(\[...\]\)"),
    "a list of numbers as input": (([[1, 2, 3]], 1), "item 5: the inputs are a list of plain numbers"),
    "a list of numbers by name": (
        {"input_ids": [1, 4711], "label": 1},
        r"item 5: input 'input_ids' is a list, not a tensor.*torch.tensor\(\[...\]\).*with_format\(\"torch\"\)",
    ),
    "a list of numbers as label": ((torch.zeros(3), [0, 1]), r"item 5: the label is a list, not .*torch.tensor\(\[...\]\)"),
    "a label of more than 64 bits": ((torch.zeros(3), 4711 << 64), "item 5: the label is an integer of more than 64 bits"),
    "uint16": ((np.zeros(4, np.uint16), 1), "unknown dtype torch.uint16.*turn it into int32"),
    "uint32": ((torch.zeros(4, dtype=torch.uint32), 1), "unknown dtype torch.uint32.*turn it into int64"),
    "no inputs": (([], 1), "item 5 has no inputs"),
    "a text as label": ((torch.zeros(3), SECRET), "item 5: the label is a str, not a number or a tensor; spent: nothing; number"),
    "no label": ((torch.zeros(3), None), "item 5: the label is a NoneType"),
    "an array of texts": ((np.array([SECRET]), 1), "item 5: input 'input_0' is a ndarray"),
    "a complex tensor": ((torch.zeros(3, dtype=torch.complex64), 1), "unknown dtype torch.complex64"),
    "a sparse tensor": ((torch.zeros(3).to_sparse(), 1), "sparse"),
    "an empty tensor": ((torch.zeros(0), 1), r"is empty: its shape is \[0\]"),
    "a name that is no name": (({"a b": ids(4)}, 1), "names that no parameter can have"),
    "a name that is a keyword": (({"lambda": ids(4)}, 1), "names that no parameter can have"),
    "a name that is a number": (({1: ids(4)}, 1), "names that no parameter can have"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_forms_that_are_refused(form: str) -> None:
    item, words = REFUSED[form]
    with pytest.raises(errors.InvalidArgument, match=words) as refused:
        read_item(item, 5)
    assert SECRET not in str(refused.value)
    assert refused.value.next, "it says what to do"


GOOD = (torch.full((3,), 4711.0), 1)
RAGGED: dict[str, tuple[Any, str]] = {
    "a longer input": ((torch.full((4,), 4711.0), 1), r"item 2: input 'input_0' has the shape \[4\], in item 0 it has \[3\]"),
    "another rank": ((torch.full((3, 1), 4711.0), 1), r"item 2: input 'input_0' has the shape \[3, 1\]"),
    "another dtype": ((torch.full((3,), 4711), 1), "item 2: input 'input_0' is of torch.int64, in item 0 it is of torch.float32"),
    "a float label": ((torch.full((3,), 4711.0), 4711.0), "item 2: the label is of torch.float32"),
    "a label of many": ((torch.full((3,), 4711.0), ids(2)), r"item 2: the label has the shape \[2\]"),
    "one more input": (([torch.full((3,), 4711.0)] * 2, 1), "item 2 has the inputs input_0, input_1, item 0 has input_0"),
    "names": (({"input_0": torch.full((3,), 4711.0)}, 1), "item 2 has the inputs"),
    "a text label": ((torch.full((3,), 4711.0), SECRET), "item 2: the label is a str"),
}


@pytest.mark.parametrize("case", RAGGED)
def test_an_item_unlike_the_first_is_named(case: str) -> None:
    item, words = RAGGED[case]
    with pytest.raises(errors.InvalidArgument, match=words) as refused:
        list(Records([GOOD, GOOD, item, GOOD]))  # type: ignore[arg-type]
    assert SECRET not in str(refused.value)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield GOOD


class Short(Dataset[Any]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return [GOOD][index]


class Broken(Short):
    def __getitem__(self, index: int) -> Any:
        raise RuntimeError("the owner's own disk")


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ([], "is empty"),
        (Stream(), "Stream without length or index"),
        (iter([GOOD]), "without length or index"),
        (torch.utils.data.DataLoader([GOOD]), "DataLoader without length or index"),  # type: ignore[arg-type]
        (None, "NoneType without length"),
    ],
)
def test_what_is_no_map_style_dataset(dataset: Any, words: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=words):
        Records(dataset)


def test_a_dataset_shorter_than_it_says() -> None:
    with pytest.raises(errors.InvalidArgument, match="has 3 items, but item 1 ended in IndexError") as refused:
        list(Records(Short()))
    assert isinstance(refused.value.__cause__, IndexError), "which may be a mistake in the owner's own code, and shows where"
    assert refused.value.__cause__.__traceback__ is not None


def test_an_error_of_the_dataset_itself_is_the_users_to_see() -> None:
    with pytest.raises(RuntimeError, match="the owner's own disk") as seen:
        list(Records(Broken()))
    if hasattr(seen.value, "add_note"):
        assert vars(seen.value)["__notes__"] == ["bastionlab was reading item 0 of the dataset"]


def test_arrays_arrive_with_their_values() -> None:
    values = np.arange(6, dtype=">i4").reshape(2, 3)[:, ::-1]
    record = read_item((values, np.array(3, ">i8")), 0)
    assert record.inputs["input_0"].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert torch.equal(record.label, torch.tensor(3))


def test_a_tensor_dataset_of_many_columns() -> None:
    records = Records(TensorDataset(ids(5, 4), torch.zeros(5, 2), ids(5)))
    assert str(records.schema) == "input_0 int64[4], input_1 float32[2] -> label int64[]"
    assert records.schema.record_bytes == 4 * 8 + 2 * 4 + 8
    assert len(list(records)) == records.count == 5
