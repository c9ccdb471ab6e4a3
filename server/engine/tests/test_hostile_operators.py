"""What may not occur in a program is refused by name before there is any data. The models themselves stand in zoo/catalogue.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from abi import Status
from archive import Form, archive
from engine import Engine, EngineError
from records import Record, Schema
from zoo.adversary import FunctionalBatchNorm, Normalised, WithObject
from zoo.forbidden import Base

SCHEMA = Schema.of(Record({"x": torch.zeros(4)}, torch.zeros(3)))


def refusal_of(engine: Engine, module: nn.Module, schema: Schema = SCHEMA, form: Form = "script") -> EngineError:
    with pytest.raises(EngineError) as refusal:
        engine.load(archive(module, schema, form), schema, "l2").rehearse()
    return refusal.value


def test_the_base_of_the_forbidden_models_is_admitted(engine: Engine) -> None:
    engine.load(archive(Base(), SCHEMA, "script"), SCHEMA, "l2").rehearse()


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), Spy())])
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.encoder:
            x = part(x)
        return self.head(x)


class Spy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, "stolen")
        return x


def test_a_refusal_names_the_layer(engine: Engine) -> None:
    refusal = refusal_of(engine, Nested())
    assert (refusal.operator, refusal.layer) == ("aten::save", "encoder.1.1")


def test_what_never_runs_is_judged_all_the_same(engine: Engine) -> None:
    """Methods, hooks and branches that forward does not reach are not in the program, or they are refused; they never run."""

    class Reserve(Base):
        @torch.jit.export
        def other(self, x: Tensor) -> Tensor:
            torch.save(x, "stolen")
            return x

    program = engine.load(archive(Reserve(), SCHEMA, "script"), SCHEMA, "l2")
    assert "aten::save" not in program.report_json()


def test_only_what_the_table_allows_is_admitted(engine: Engine) -> None:
    plain = archive(nn.Linear(4, 3), SCHEMA, "trace")
    engine.load(plain, SCHEMA, "l2")
    without = [name for name in engine.allowed if name != "aten::linear"]
    with pytest.raises(EngineError) as refusal:
        engine.load(plain, SCHEMA, "l2", without)
    assert (refusal.value.status, refusal.value.operator) == (Status.INCOMPATIBLE_MODEL, "aten::linear")
    with pytest.raises(EngineError) as refusal:
        engine.load(plain, SCHEMA, "l2", [])
    assert refusal.value.status == Status.INCOMPATIBLE_MODEL


@pytest.mark.parametrize("form", ["script", "trace"])
def test_batch_norm_in_training_mode_is_refused(engine: Engine, form: Form) -> None:
    refusal = refusal_of(engine, Normalised(nn.BatchNorm1d(3)), form=form)
    assert refusal.status == Status.INCOMPATIBLE_MODEL
    assert (refusal.operator, refusal.layer) == ("aten::batch_norm", "norm")
    assert "batch" in refusal.reason or "training" in refusal.reason


@pytest.mark.parametrize("form", ["script", "trace"])
@pytest.mark.parametrize(
    "module",
    [Normalised(nn.BatchNorm1d(3, track_running_stats=False)), FunctionalBatchNorm(nn.Identity())],
    ids=["without statistics", "functional"],
)
def test_batch_norm_of_the_batch_is_refused_in_every_guise(engine: Engine, module: nn.Module, form: Form) -> None:
    refusal = refusal_of(engine, module.eval(), form=form)
    assert (refusal.status, refusal.operator) == (Status.INCOMPATIBLE_MODEL, "aten::batch_norm")


def test_a_custom_class_is_refused(engine: Engine) -> None:
    refusal = refusal_of(engine, WithObject())
    assert refusal.status in (Status.INCOMPATIBLE_MODEL, Status.BAD_ARCHIVE)
