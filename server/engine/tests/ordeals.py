"""Models and records with which one might end a process that computes on a device: indices that are none, labels that are no class,
numbers that are none, operators that refuse some numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from archive import Form, archive
from engine import CERTIFIED, OPERATORS, Engine, EngineError, Program, Training
from records import Record, Schema
from replay import MODES, Mode, assert_coupled, replays
from test_evaluation import Fragile
from test_hostile_isolation import records as hostile_records
from test_operators_in_company import Of
from zoo import embedding
from zoo.attack import Attack
from zoo.catalogue import ATTACKS
from zoo.expressions import EXPRESSIONS
from zoo.hostile import HOSTILE, TRAPS
from zoo.spoilt import spoilt_by, with_value

SLOTS = 4
KERNELS = OPERATORS.parent / "cuda.txt"
WRONG = [-1, 9, 10**6, 2**62, -(2**63)]


@dataclass(frozen=True)
class Ordeal:
    name: str
    # What may fail as it likes, for there are no records yet; then the rest.
    prepare: Callable[[Engine], Callable[[], None]]


def ordeals(everything: bool) -> list[Ordeal]:
    some = [*_hostile(), *_indices(), *_labels(), *_spoilt()[:: 1 if everything else 8], _tested()]
    return [*some, *_attacks(), *_expressions()] if everything else some


@cache
def refused_on_a_device() -> set[str]:
    """By the server's table, before there are records: their kernels stop a device, and nobody looks first."""
    rows = (line.split() for line in KERNELS.read_text().splitlines() if line.strip() and not line.startswith("#"))
    return {row[0] for row in rows if row[1] == "refused"}


def _load(engine: Engine, module: nn.Module, like: Record, loss: str, form: Form) -> Program | None:
    """What the host takes of what a device may have, the device takes too: else nothing would be tried."""
    schema = Schema.of(like)
    written = archive(module, schema, form)
    refused = refused_on_a_device()
    allowed = [name for name in engine.allowed if name not in refused]
    try:
        engine.on("cpu").load(written, schema, loss, allowed).rehearse(SLOTS)
    except EngineError:
        return None
    program = engine.load(written, schema, loss, allowed)
    program.rehearse(SLOTS)
    return program


def _trained(
    name: str, build: Callable[[], nn.Module], records: Sequence[Record], loss: str = "l2", form: Form = "script"
) -> Ordeal:
    """Each record by itself and all of them together, before and after the weights moved."""

    def prepare(engine: Engine) -> Callable[[], None]:
        program = _load(engine, build(), records[0], loss, form)
        return lambda: None if program is None else _train(program, records)

    return Ordeal(name, prepare)


def _train(program: Program, records: Sequence[Record]) -> None:
    trainer = program.trainer(Training(SLOTS, release=CERTIFIED, noise_stddev=1e-3, loss_bound=3.0))
    for _ in range(2):
        for first in range(len(records)):
            trainer.run_pass(records, [first])
            trainer.run_pass(records, [(first + i) % len(records) for i in range(SLOTS)])
        trainer.step()
    assert not any(trainer.said)


def _attacks() -> list[Ordeal]:
    return [_replayed(attack, mode) for attack in ATTACKS if attack.refused is None for mode in MODES]


def _replayed(attack: Attack, mode: Mode) -> Ordeal:
    ground = attack.records

    def prepare(engine: Engine) -> Callable[[], None]:
        program = _load(engine, attack.module(), ground.others[0], attack.loss, attack.form)

        def replay() -> None:
            if program is not None:
                for each in replays(program, mode, ground.others, ground.worst):
                    assert_coupled(each, mode)

        return replay

    return Ordeal(f"{attack.name}, {mode.name}", prepare)


def _hostile() -> list[Ordeal]:
    return [_trained(model.__name__, lambda model=model: model().double(), hostile_records()) for model in (*HOSTILE, *TRAPS)]


def _indices() -> list[Ordeal]:
    found = []
    for case in embedding.CASES:
        if "ids" not in case.inputs:
            continue
        records = case.records(len(WRONG) + 1, torch.float32)
        whole = records[0].inputs["ids"].dtype
        for record, wrong in zip(records[1:], WRONG, strict=True):
            record.inputs["ids"].view(-1)[-1] = wrong if whole == torch.int64 else max(min(wrong, 2**31 - 1), -(2**31))
        found.append(_trained(case.name, lambda case=case: case.module(torch.float32), records, case.loss, "trace"))
    return found


def _labels() -> list[Ordeal]:
    classes = [Record({"x": torch.randn(4)}, torch.tensor(label)) for label in (0, 1, -1, 3, -100, -101, 10**12)]
    wrong = ([0, 1, 2, 1, 0], [-100] * 5, [0, 1, 3, 1, 0], [-100, -100, -1, 0, 0], [-100, 2**40, 0, 0, 0])
    tokens = [Record({"x": torch.randn(5, 4)}, torch.tensor(label)) for label in wrong]
    halves = [Record({"x": torch.randn(4)}, torch.tensor([0.5, value, 0.5])) for value in (0.5, -1.0, 2.0, math.nan, math.inf)]
    return [
        _trained("a class that is none", lambda: nn.Linear(4, 3), classes, "cross_entropy", "trace"),
        _trained("a token's class that is none", lambda: nn.Linear(4, 3), tokens, "cross_entropy", "trace"),
        _trained("a probability that is none", lambda: nn.Linear(4, 3), halves, "bce_with_logits", "trace"),
    ]


def _spoilt() -> list[Ordeal]:
    found = []
    for value in (math.nan, math.inf):
        for case in spoilt_by(value):
            records = case.records(3, torch.float32)
            spoilt = [*records[:1], *(with_value(record, value) for record in records[1:])]
            found.append(
                _trained(f"{case.name} with {value}", lambda case=case: case.module(torch.float32), spoilt, case.loss, "trace")
            )
    return found


def _tested() -> Ordeal:
    """The same in a test of weights."""
    given = ([0, 1], [4, 1], [1 << 40, 1], [-1, 1], [0, 0])
    records = [Record({"x": torch.tensor(x)}, torch.tensor(label)) for x in given for label in (0, 3, -1, -100, 1 << 40)]

    def prepare(engine: Engine) -> Callable[[], None]:
        program = _load(engine, Fragile(), records[0], "cross_entropy", "trace")
        assert program is not None

        def test() -> None:
            for metric in ("accuracy", "cross_entropy"):
                evaluator = program.evaluator(metric, 3.0)
                for slot in range(len(records)):
                    evaluator.add(records, slot)

        return test

    return Ordeal("a test", prepare)


def _expressions() -> list[Ordeal]:
    values = ([0.3, -0.7, 1.5, 2.0], [0.0] * 4, [-3.0, 1e30, -1e30, 5.0], [math.nan, math.inf, -math.inf, 1e-40])
    records = [Record({"x": torch.tensor(x)}, torch.tensor([1.0])) for x in values]
    return [
        _trained(name, lambda expression=expression: Of(expression, "multiplied"), records, form="trace")
        for name, expression in EXPRESSIONS.items()
    ]
