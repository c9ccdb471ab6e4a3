"""What owner and scientist have to agree on in the demonstration: the data, its split, and a model that fits it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import encoder
import spam
from torch import nn


@dataclass(frozen=True)
class Part:
    """One data set with the model and the settings that learn honestly on it at eps = 2."""

    name: str
    split: spam.Split
    make_model: Callable[[], nn.Module]
    model_name: str
    lr: float
    nb_epochs: int
    batch_size: int
    max_batch_size: int

    @property
    def fit(self) -> dict[str, Any]:
        return {"nb_epochs": self.nb_epochs, "batch_size": self.batch_size}


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    arguments.add_argument("--port", type=int, default=50056)
    arguments.add_argument("--data", type=resolved, help="the SMS Spam Collection, if you have it")
    arguments.add_argument("--cache", type=Path, default=Path("build/data"), help="where a download is kept")
    arguments.add_argument("--encoder", choices=("minilm", "distilbert"), default="minilm")
    arguments.add_argument("--digits", action="store_true", help="scikit-learn's digits instead of the messages")
    arguments.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")


def resolved(path: str) -> Path:
    return Path(path).expanduser().resolve()


def choose(options: argparse.Namespace) -> Part:
    """The messages where they can be had, else the digits. Raises spam.NotAvailable only if `options.data` is wrong."""
    if options.digits:
        return digits(options.seed)
    content = spam.read(options.data, options.cache)
    tokenizer = encoder.minilm_directory() / "tokenizer.json"
    return Part(
        name="SMSSpamCollection",
        # all-MiniLM and DistilBERT were pretrained on the same uncased vocabulary.
        split=spam.tokenised(content, tokenizer, options.seed),
        make_model=encoder.minilm if options.encoder == "minilm" else encoder.distilbert,
        model_name={"minilm": "MiniLM", "distilbert": "DistilBERT"}[options.encoder],
        lr=0.02,
        nb_epochs=10,
        batch_size=512,
        max_batch_size=32,
    )


def digits(seed: int) -> Part:
    return Part(
        name="digits",
        split=spam.digits(seed),
        make_model=encoder.digits_classifier,
        model_name="linear",
        lr=0.05,
        nb_epochs=20,
        batch_size=256,
        max_batch_size=256,
    )
