"""Every attack of the zoo is refused before there is data, by name and without a word about what the model holds, or it passes
coupled replay: whatever record is added, nobody else's contribution changes, and the sum moves by at most the clipping norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archive import archive
from engine import Engine, EngineError, Program
from replay import MODES, Mode, assert_coupled, length, replays
from zoo.attack import Attack, Row
from zoo.catalogue import ATTACKS

# Planted into every parameter and buffer of a model that is refused.
SECRET = 7254631
REFUSED = [attack for attack in ATTACKS if attack.refused is not None]
ADMITTED = [attack for attack in ATTACKS if attack.refused is None]


def by_name(attack: Attack) -> str:
    return f"{attack.row.name}-{attack.name}"


def load(engine: Engine, attack: Attack, module: nn.Module) -> Program:
    schema = attack.records.schema
    program = engine.load(archive(module, schema, attack.form), schema, attack.loss)
    program.rehearse(pass_size=4)
    return program


def test_there_is_an_attack_for_every_row() -> None:
    assert {attack.row for attack in ATTACKS} == set(Row)
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 44


@pytest.mark.parametrize("attack", REFUSED, ids=by_name)
def test_it_is_refused_by_name_and_nothing_is_told(engine: Engine, attack: Attack) -> None:
    module = attack.module()
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(SECRET)
    with pytest.raises(EngineError) as refusal:
        load(engine, attack, module)
    assert (refusal.value.status, refusal.value.operator in (attack.refused or ())) == (attack.status, True), refusal.value
    assert refusal.value.reason
    assert str(SECRET)[:5] not in str(refusal.value)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("attack", ADMITTED, ids=by_name)
def test_it_passes_coupled_replay(engine: Engine, attack: Attack, mode: Mode) -> None:
    program = load(engine, attack, attack.module())
    ground = attack.records
    longest, repeated = 0.0, False
    for replay in replays(program, mode, ground.others, ground.worst):
        assert_coupled(replay, mode)
        assert attack.repeats or not replay.repeats, "a record changes how many passes there are"
        longest, repeated = max(longest, length(replay.alone.sums)), repeated or replay.repeats
    assert repeated == attack.repeats
    # Where the attack is worth nothing unless a record is clipped, one was.
    assert longest > 0.99 or not attack.reaches_bound
