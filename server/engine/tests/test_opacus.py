"""A peer: the norms of records' gradients beside those of Opacus' hooks, on the architectures that these take.

Opacus wants a batch, so a model must take more than one record at a time, share no tensor among them (positions without a batch
dimension) and change nothing in place; torch's recurrent and attention layers it takes only as its own. It counts the row of an
embedding's padding_idx, which torch does not train, so what pads is not compared. Only `make bench` installs it.
"""

from __future__ import annotations

import pytest
import torch

from archive import archive
from engine import Engine, Training
from oracle import model_output, norm, record_loss
from zoo.architectures import ARCHITECTURES, Architecture

RECORDS = 5
PEERS = {
    "RoBERTa",
    "AlexNet",
    "Inception",
    "ShuffleNet",
    "MLP-Mixer",
    "DCGAN's generator",
    "Super-resolution (ESPCN)",
    "TCN",
    "3-D convolutions",
    "Logistic regression",
    "MLP",
    "Regression",
    "Multi-label classification",
    "Autoencoder",
    "Highway network",
    "DeepSets",
    "Wide and deep",
    "SIREN",
    "Fourier features",
    "Graph convolution",
    "Fourier neural operator",
    "State space (S4D)",
    "Capsules",
    "TabNet",
    "N-BEATS",
    "Neural ODE",
    "Coupling flow",
    "Conditional random field",
    "Experts behind a soft gate",
    "LoRA",
    "DoRA",
    "Bottleneck adapters",
    "Prompt tuning",
    "BitFit",
    "Normalisations and head",
    "Head on a frozen encoder",
    "Head on a frozen LSTM",
    "Functional parameters",
    "Weight normalisation",
}
FAR_ABOVE_ALL_NORMS = 1e6

pytestmark = pytest.mark.slow


def engines_norms(engine: Engine, architecture: Architecture) -> list[float]:
    """A pass of one record that is not clipped: its sum is the record's gradient."""
    schema, records = architecture.schema(torch.float64), architecture.records(RECORDS, torch.float64)
    program = engine.load(archive(architecture.module(torch.float64), schema, "trace"), schema, architecture.loss)
    norms = []
    for index in range(RECORDS):
        trainer = program.trainer(Training(pass_size=1, clipping_norm=FAR_ABOVE_ALL_NORMS))
        trainer.run_pass(records, [index])
        norms.append(norm(trainer.clipped_sum()))
    return norms


def opacus_norms(architecture: Architecture) -> list[float]:
    try:
        from opacus import GradSampleModule
    except ImportError:
        pytest.fail("opacus is not installed; `make bench` installs it, or pip install --no-deps -r requirements/bench.txt")
    records = architecture.records(RECORDS, torch.float64)
    module = GradSampleModule(architecture.module(torch.float64), loss_reduction="sum", strict=False)
    output = model_output(module(*(torch.stack([r.inputs[name] for r in records]) for name in records[0].inputs)))
    losses = [record_loss(architecture.loss, output[i : i + 1], record.label) for i, record in enumerate(records)]
    torch.stack(losses).sum().backward()
    samples = [p.grad_sample for p in module.parameters() if p.requires_grad]
    return [float(torch.cat([sample[i].reshape(-1) for sample in samples]).norm()) for i in range(RECORDS)]


@pytest.mark.parametrize("architecture", [pytest.param(a, id=a.name) for a in ARCHITECTURES if a.name in PEERS])
def test_each_records_norm_is_that_of_opacus(engine: Engine, architecture: Architecture) -> None:
    assert engines_norms(engine, architecture) == pytest.approx(opacus_norms(architecture), rel=1e-5, abs=0)


def test_the_peers_are_in_the_table() -> None:
    assert {a.name for a in ARCHITECTURES} >= PEERS
    assert len(PEERS) >= 10
