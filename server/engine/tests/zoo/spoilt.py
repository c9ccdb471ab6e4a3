"""Which cases a value that is no number gets through: a mask may hide it, a saturated activation swallow it."""

from __future__ import annotations

import torch

from oracle import Expected
from records import Record
from zoo import CASES
from zoo.case import Case


def with_value(record: Record, value: float) -> Record:
    """The same record with the last number of every floating point input replaced."""
    inputs = {name: tensor.clone() for name, tensor in record.inputs.items()}
    for tensor in inputs.values():
        if tensor.is_floating_point():
            tensor.view(-1)[-1] = value
    return Record(inputs, record.label)


def spoilt_by(value: float) -> list[Case]:
    """The cases of which the oracle gives a zero gradient once the value is in the record."""
    return [case for case in CASES if case.takes_floats() and _is_spoilt(case, value)]


def _is_spoilt(case: Case, value: float) -> bool:
    records = [with_value(record, value) for record in case.records(8, torch.float32)]
    return not any(Expected.of(case.module(torch.float32), records, case.loss).norms())
