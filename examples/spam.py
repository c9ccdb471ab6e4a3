"""The SMS Spam Collection (UCI, CC BY 4.0) as a PyTorch dataset: found or downloaded, checked, tokenised, split.

The collection has 5574 messages, 13.4% of them spam. Where it can neither be read nor downloaded, `digits` gives scikit-learn's
bundled handwritten digits in its place, so that everything can still be tried without a network.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import TensorDataset

URL = "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip"
SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
TOKENS = 32
HELD_OUT = 0.2


class NotAvailable(Exception):
    """The collection is neither given nor downloadable, or is not the file it should be."""


@dataclass(frozen=True)
class Split:
    """A training and a held-out set, and what a classifier without any data would reach on the latter."""

    train: TensorDataset
    held_out: TensorDataset

    @property
    def majority(self) -> float:
        labels = self.held_out.tensors[-1]
        return float(torch.bincount(labels).max()) / len(labels)


def read(given: Path | None, cache: Path) -> bytes:
    """The collection's bytes, from `given`, from `cache`, or from the web into `cache`; always checked."""
    if given is not None:
        return _checked(_content(given), str(given))
    cached = cache / "SMSSpamCollection"
    # What is missing, or was damaged, is fetched again.
    with contextlib.suppress(NotAvailable):
        return _checked(_content(cached), str(cached))
    content = _downloaded()
    _write(cached, content)
    return content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as reason:
        raise NotAvailable(f"{path} cannot be read: {reason.strerror}") from None


def _downloaded() -> bytes:
    try:
        with urllib.request.urlopen(URL, timeout=20) as answer:
            archive = zipfile.ZipFile(io.BytesIO(answer.read()))
        return _checked(archive.read("SMSSpamCollection"), URL)
    except (urllib.error.URLError, OSError, KeyError, zipfile.BadZipFile) as reason:
        raise NotAvailable(f"the SMS Spam Collection could not be downloaded from {URL} ({reason})") from None


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and where two write at once, one of both."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(content)
    try:
        os.replace(file.name, path)
    finally:
        Path(file.name).unlink(missing_ok=True)


def _checked(content: bytes, origin: str) -> bytes:
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise NotAvailable(f"{origin} is not the SMS Spam Collection: its SHA-256 is not {SHA256}")
    return content


def tokenised(content: bytes, tokenizer_file: Path, seed: int) -> Split:
    """Items are `((token_ids [32], attention_mask [32]), label)`, int64; label 1 is spam."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    labels, texts = [], []
    for line in content.decode("utf-8").splitlines():
        kind, text = line.split("\t", 1)
        labels.append(int(kind == "spam"))
        texts.append(text)
    encoded = tokenizer.encode_batch(texts)
    return _split(
        torch.tensor([e.ids for e in encoded]),
        torch.tensor([e.attention_mask for e in encoded]),
        torch.tensor(labels),
        seed=seed,
    )


def digits(seed: int) -> Split:
    """scikit-learn's 1797 digits: items are `(pixels [64] float32 in 0..1, label)`."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return _split(torch.tensor(data.data / 16.0, dtype=torch.float32), torch.tensor(data.target), seed=seed)


def _split(*columns: torch.Tensor, seed: int) -> Split:
    order = torch.randperm(len(columns[0]), generator=torch.Generator().manual_seed(seed))
    cut = len(order) - int(len(order) * HELD_OUT)
    return Split(
        TensorDataset(*(c[order[:cut]] for c in columns)),
        TensorDataset(*(c[order[cut:]] for c in columns)),
    )
