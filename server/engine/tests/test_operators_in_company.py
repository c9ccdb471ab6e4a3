"""Every operator that could look beyond its record, beside neighbours chosen to make it: the record counts as if alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from abi import Status
from archive import archive
from engine import Engine, EngineError, Program, Training
from oracle import Gradient, norm
from records import Record, Schema
from soundness import contribution
from zoo.expressions import EXPRESSIONS, HONEST, NAN, NEIGHBOURS, Expression

# What has a shape that depends on values, is forbidden, or that libtorch cannot differentiate.
REFUSED = {"iput", "upaa", "vander"}
TOLERANCE = 1e-2  # of the clipping norm, in float32: far above rounding, far below what a mixed record moves


class Of(nn.Module):
    """The weight is multiplied or added: the gradient meets the input's own size in one form and none of it in the other."""

    def __init__(self, expression: Expression, form: str) -> None:
        super().__init__()
        self.expression, self.form = expression, form
        self.w = nn.Parameter(torch.ones(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        v = x * self.w if self.form == "multiplied" else x + (self.w - self.w.detach())
        scale = 1.0 if self.form == "multiplied" else 1e-10
        return self.expression(v).sum().reshape(1, 1) * scale


def record(values: list[float], label: float) -> Record:
    return Record({"x": torch.tensor(values)}, torch.tensor([label]))


RECORDS = [*(record(values, -1e30) for values in HONEST), *(record(values, NAN) for values in NEIGHBOURS)]


def alone_and_in_company(program: Program, index: int) -> tuple[Gradient, list[Gradient]]:
    alone = contribution(program, RECORDS, [index], Training(pass_size=1))
    beside = [len(HONEST) + n for n in range(len(NEIGHBOURS))]
    companies = [[index, neighbour] for neighbour in (*beside, -1)] + [[-1, index]]
    return alone, [contribution(program, RECORDS, slots, Training(pass_size=2)) for slots in companies]


@pytest.mark.parametrize("form", ["multiplied", "added"])
@pytest.mark.parametrize("name", sorted(EXPRESSIONS.keys() - REFUSED))
def test_a_record_counts_as_if_it_were_alone(engine: Engine, name: str, form: str) -> None:
    schema = Schema.of(RECORDS[0])
    program = engine.load(archive(Of(EXPRESSIONS[name], form), schema, "trace"), schema, "l1")
    for index in range(len(HONEST)):
        alone, companies = alone_and_in_company(program, index)
        for place, company in enumerate(companies):
            moved = norm({key: company[key] - alone[key] for key in alone})
            assert moved < TOLERANCE, f"{HONEST[index]} beside neighbour {place}: {moved}"


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_is_refused_before_there_is_data(engine: Engine, name: str) -> None:
    schema = Schema.of(RECORDS[0])
    with pytest.raises(EngineError) as refusal:
        engine.load(archive(Of(EXPRESSIONS[name], "multiplied"), schema, "trace"), schema, "l1").rehearse()
    assert refusal.value.status in (Status.INCOMPATIBLE_MODEL, Status.FORWARD_FAILED)
    assert refusal.value.reason
