"""What a module is at one moment, so that a later change is noticed, and not trained without."""

from __future__ import annotations

import contextlib
import hashlib
import weakref
from dataclasses import dataclass

import torch
from torch.nn.parameter import is_lazy


@dataclass(frozen=True)
class Fingerprint:
    """Of names, shapes, dtypes and requires_grad; of values; of layers in evaluation mode."""

    form: bytes
    values: bytes
    frozen_layers: frozenset[str] | None
    """Those in evaluation mode; None where the module is so as a whole, which says nothing: that is how models are measured."""

    @classmethod
    def of(cls, model: torch.nn.Module) -> Fingerprint:
        form = hashlib.sha256()
        for name, layer in model.named_modules():
            extra = ""
            with contextlib.suppress(Exception):  # the author's own
                extra = layer.extra_repr()
            form.update(repr((name, type(layer).__qualname__, extra)).encode())
        for name, tensor in _tensors(model):
            form.update(repr((name, tensor.dtype, None if is_lazy(tensor) else tensor.shape, tensor.requires_grad)).encode())
        layers = frozenset(name for name, layer in model.named_modules() if not layer.training)
        return cls(form.digest(), _digest(model), layers if model.training else None)

    def is_like(self, sent: Fingerprint) -> bool:
        """But for values. A module sent in evaluation mode was sent in training mode whole."""
        return self.form == sent.form and self.frozen_layers in (None, sent.frozen_layers or frozenset())


@dataclass(frozen=True)
class Loaded:
    """Whose weights a module was given by us, and its values since."""

    run: str
    values: bytes


_loaded: weakref.WeakKeyDictionary[torch.nn.Module, Loaded] = weakref.WeakKeyDictionary()


def remember_loaded(model: torch.nn.Module, run: str) -> None:
    _loaded[model] = Loaded(run, _digest(model))


def last_loaded(model: torch.nn.Module) -> Loaded | None:
    return _loaded.get(model)


def _digest(model: torch.nn.Module) -> bytes:
    """By content: versions of tensors do not move under `weight.data.fill_()`."""
    digest = hashlib.sha256()
    seen: dict[int, str] = {}
    for name, tensor in _tensors(model):
        first = seen.setdefault(id(tensor), name)
        digest.update(repr((name, first)).encode())
        if first == name and not is_lazy(tensor) and not tensor.is_meta:
            values = tensor.detach().cpu().contiguous().reshape(-1)
            if values.numel():
                digest.update(values.view(torch.uint8).numpy().data)
    return digest.digest()


def _tensors(model: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
