"""The capability report is bastionlab.v1.CapabilityReport in protobuf's JSON, and it says what the model is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from google.protobuf import json_format
from torch import Tensor, nn

from archive import archive
from engine import Engine, EngineError
from records import Record, Schema
from zoo import CASES, Case

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "client" / "src"))
from bastionlab.v1 import model_pb2


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(9, 6)
        self.norm = nn.LayerNorm(6)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.gate = nn.Parameter(torch.ones(6))
        self.head = nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.gate * self.frozen(self.norm(self.tokens(ids))))


def report_of(engine: Engine, module: nn.Module, schema: Schema, loss: str) -> model_pb2.CapabilityReport:
    program = engine.load(archive(module, schema, "trace"), schema, loss)
    program.rehearse()
    # Refuses unknown fields and wrong types.
    return json_format.Parse(program.report_json(), model_pb2.CapabilityReport())


def test_the_report_says_what_the_model_is(engine: Engine) -> None:
    schema = Schema.of(Record({"ids": torch.zeros(5, dtype=torch.int64)}, torch.zeros(5, dtype=torch.int64)))
    report = report_of(engine, Model(), schema, "cross_entropy")
    parameters = {p.name: p for p in report.parameters}
    module = dict(Model().named_parameters())
    assert parameters.keys() >= {name for name, p in module.items() if p.requires_grad}
    for name, parameter in parameters.items():
        assert list(parameter.shape) == list(module[name].shape)
        assert parameter.dtype == 9  # DTYPE_F32
        assert parameter.trainable == module[name].requires_grad
        assert parameter.measurement or not parameter.trainable
    assert [(list(i.shape), i.dtype) for i in report.inputs] == [([5], 6)]
    assert [list(output.shape) for output in report.outputs] == [[1, 5, 3]]
    operators = {use.name: use.count for use in report.operators}
    assert operators["aten::linear"] == 2
    assert operators["aten::embedding"] == operators["aten::layer_norm"] == 1
    assert set(operators) <= set(engine.allowed)


def test_the_report_says_what_runs_one_record_at_a_time(engine: Engine) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 3), nn.Dropout(0.5))
    schema = Schema.of(Record({"x": torch.zeros(4)}, torch.zeros(3)))
    report = report_of(engine, module, schema, "l2")
    assert {use.name: use.one_record_at_a_time for use in report.operators} == {"aten::dropout": 2, "aten::linear": 0}


@pytest.mark.parametrize("case", CASES[::6], ids=lambda case: case.name)
def test_every_operator_reported_is_in_the_table(engine: Engine, case: Case) -> None:
    try:
        report = report_of(engine, case.module(torch.float32), case.schema(torch.float32), case.loss)
    except EngineError:
        assert case.may_be_refused
        return
    assert {use.name for use in report.operators} <= set(engine.allowed)
    assert all(use.count > 0 for use in report.operators)
