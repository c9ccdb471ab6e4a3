"""Weights on their way home: by parameter name, as safetensors, into the scientist's own module."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import safetensors
import safetensors.torch
import torch

from bastionlab import errors
from bastionlab._notices import notice
from bastionlab._progress import bytes_bar
from bastionlab._session import Session
from bastionlab.v1 import training_pb2

_AGAIN = "nothing is lost: get the model again"


def download(session: Session, run: str, progress: bool) -> dict[str, torch.Tensor]:
    """The trained parameters of a completed run, by name."""
    stream = session.watch(session.training.DownloadWeights, training_pb2.DownloadWeightsRequest(run_id=run))
    first = next(stream, None)
    if first is None or first.WhichOneof("part") != "header":
        raise _broken("it does not begin with its size")
    size = first.header.size_bytes
    file = bytearray()
    with bytes_bar("Receiving weights", size, progress) as bar:
        for part in stream:
            file += part.chunk
            bar.update(len(part.chunk))
            if len(file) > size:
                break
    if len(file) != size:
        raise _broken(f"{size} bytes were announced, {len(file)} came")
    if hashlib.sha256(file).digest() != first.header.sha256:
        raise _broken("its digest is wrong")
    try:
        return safetensors.torch.load(bytes(file))
    except (safetensors.SafetensorError, ValueError, KeyError):
        raise _broken("it is no safetensors file") from None


def load_into(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Overwrites the module's parameters by those of the same names, all or none. What was not trained keeps its value."""
    own = dict(model.named_parameters(remove_duplicate=False))
    if not weights:
        raise _unfit("they are none")
    for name, tensor in weights.items():
        if name not in own:
            raise _unfit(f"it has no parameter {name!r}")
        if own[name].shape != tensor.shape or own[name].dtype != tensor.dtype:
            is_now, was = (f"{each.dtype} {list(each.shape)}" for each in (own[name], tensor))
            raise _unfit(f"its {name!r} is {is_now}, what was trained is {was}")
    # A tied parameter has several names and comes back under one of them, or under each.
    arrived = {id(own[name]) for name in weights}
    kept = [name for name, parameter in own.items() if parameter.requires_grad and id(parameter) not in arrived]
    if kept:
        more = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
        notice(
            f"{kept[0]!r}{more} was not trained in this run: the module keeps its own values, and should have been sent with them"
        )
    with torch.no_grad():
        for name, tensor in weights.items():
            own[name].copy_(tensor)
    return model


def all_names(model: torch.nn.Module) -> list[tuple[str, ...]]:
    """Of each parameter, every name: more than one where it is tied."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [tuple(each) for each in names.values()]


def under_all_names(weights: dict[str, torch.Tensor], names: Iterable[Sequence[str]]) -> dict[str, torch.Tensor]:
    """The weights, tied ones under each of their names."""
    named = dict(weights)
    for each in names:
        found = [name for name in each if name in weights]
        if found:
            named |= {name: weights[found[0]] for name in each if name not in weights}
    return named


def _broken(how: str) -> errors.BastionLabError:
    return errors.BastionLabError(f"the weights did not arrive whole: {how}", next=_AGAIN)


def _unfit(how: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(f"the weights do not fit this module: {how}", next="give the module that was trained")


def as_module(value: Any) -> torch.nn.Module:
    if not isinstance(value, torch.nn.Module):
        raise errors.InvalidArgument(f"the model is a {type(value).__name__}", next="give a torch.nn.Module")
    return value
