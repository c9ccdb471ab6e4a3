"""One training step of a DistilBERT (66 million parameters, 16 records of 32 tokens) beside ordinary training and Opacus.

Each engine does the same step - forward, loss, backward, clipping and noise where it is private, Adam - in one process, one after
the other, so that their ratio holds on a noisy machine. The engine runs behind its C interface, with noise from AES-256 in counter
mode as in the product.

    python bench/distilbert_step.py [--rounds 5] [--threads 2] [--json]

Ends with status 1 where a private step takes more than 1.6 times an ordinary one, or was not measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "server" / "engine" / "tests"))
from archive import archive
from engine import ADAM, CERTIFIED, LIBRARY, OPERATORS, Engine, Optimizer, Training
from records import Record, Schema

BATCH, TOKENS, LR = 16, 32, 5e-5
MOST_OF_ORDINARY = 1.6
CLIPPING_NORM = NOISE_MULTIPLIER = 1.0
Step = Callable[[], object]


class Classifier(nn.Module):
    """DistilBERT's shapes without a download, in training mode with its own dropout."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import DistilBertConfig, DistilBertForSequenceClassification

        self.model = DistilBertForSequenceClassification(DistilBertConfig(num_labels=2))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        # Spelled out for every record: Opacus cannot take positions that a batch shares.
        positions = torch.arange(input_ids.shape[1]).expand(input_ids.shape)
        return self.model(input_ids, attention_mask, position_ids=positions, return_dict=False)[0]


def ordinary(ids: Tensor, labels: Tensor) -> Step:
    module = Classifier()
    optimizer = torch.optim.Adam(module.parameters(), LR)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(module(ids, torch.ones_like(ids)), labels).backward()
        optimizer.step()

    return step


def bastionlab(ids: Tensor, labels: Tensor, threads: int) -> Step:
    records = [
        Record({"input_ids": row, "attention_mask": torch.ones_like(row)}, label) for row, label in zip(ids, labels, strict=True)
    ]
    schema = Schema.of(records[0], named=True)
    engine = Engine(LIBRARY, OPERATORS, threads)
    program = engine.load(archive(Classifier(), schema, "trace"), schema, "cross_entropy")
    trainer = program.trainer(
        Training(
            pass_size=BATCH,
            clipping_norm=CLIPPING_NORM,
            release=CERTIFIED,
            grid_exponent=29,
            noise_stddev=NOISE_MULTIPLIER * CLIPPING_NORM,
            normalizer=BATCH,
            optimizer=Optimizer(ADAM, lr=LR),
        )
    )
    stream = Cipher(algorithms.AES(bytes(32)), modes.CTR(bytes(16))).encryptor()

    def step() -> None:
        trainer.run_pass(records, list(range(BATCH)))
        trainer.step(lambda count: stream.update(bytes(count)))

    return step


def opacus(ids: Tensor, labels: Tensor, mode: str) -> Step:
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    module = Classifier()
    optimizer = torch.optim.Adam(module.parameters(), LR)
    loader = DataLoader(TensorDataset(ids, labels), batch_size=BATCH)
    common = {"noise_multiplier": NOISE_MULTIPLIER, "max_grad_norm": CLIPPING_NORM, "poisson_sampling": False}
    criterion = nn.CrossEntropyLoss()
    if mode == "ghost":
        module, optimizer, criterion, _ = PrivacyEngine().make_private(
            module=module, optimizer=optimizer, data_loader=loader, criterion=criterion, grad_sample_mode="ghost", **common
        )
    else:
        module, optimizer, _ = PrivacyEngine().make_private(module=module, optimizer=optimizer, data_loader=loader, **common)

    def step() -> None:
        optimizer.zero_grad()
        criterion(module(ids, torch.ones_like(ids)), labels).backward()
        optimizer.step()

    return step


def contenders(threads: int) -> Iterator[tuple[str, Callable[[Tensor, Tensor], Step]]]:
    yield "PyTorch, not private", ordinary
    yield "BastionLab", lambda ids, labels: bastionlab(ids, labels, threads)
    yield "Opacus, ghost clipping", lambda ids, labels: opacus(ids, labels, "ghost")
    yield "Opacus, hooks", lambda ids, labels: opacus(ids, labels, "hooks")


def seconds(step: Step, rounds: int) -> float:
    """The median of some steps after one that is not counted."""
    step()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    ids, labels = torch.randint(30000, (BATCH, TOKENS)), torch.arange(BATCH) % 2

    rows: dict[str, float | None] = {}
    for name, make in contenders(options.threads):
        try:
            rows[name] = seconds(make(ids, labels), options.rounds)
        except Exception as failure:
            rows[name] = None
            print(f"{name}: not measured: {type(failure).__name__}: {failure}", file=sys.stderr)
    plain, private = rows["PyTorch, not private"], rows["BastionLab"]
    assert plain is not None
    if options.json:
        print(json.dumps({"batch": BATCH, "tokens": TOKENS, "threads": options.threads, "seconds": rows}))
    else:
        print(f"DistilBERT, {BATCH} records of {TOKENS} tokens, {options.threads} threads, median of {options.rounds} steps")
        for name, taken in rows.items():
            if taken is not None:
                print(f"{name:24} {taken:6.2f} s  {taken / plain:5.2f} x")
    return 0 if private is not None and private <= MOST_OF_ORDINARY * plain else 1


if __name__ == "__main__":
    sys.exit(main())
