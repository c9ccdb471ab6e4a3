"""Modules that are refused before anything is sent, because what they wrap, or will become, is what should be given."""

from __future__ import annotations

import torch
from torch.nn.parameter import is_lazy

from bastionlab import errors

_NAMED = 3


def require_plain(model: torch.nn.Module) -> None:
    """Refuses what was compiled, made parallel, or has no parameters yet, and BatchNorm over a batch."""
    for name, layer in model.named_modules():
        # By its name: importing torch's compiler takes seconds.
        if type(layer).__name__ == "OptimizedModule" and hasattr(layer, "_orig_mod"):
            raise _wrapped("torch.compile", name, "_orig_mod")
        if isinstance(layer, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
            raise _wrapped(type(layer).__name__, name, "module")
    _require_initialised(model)
    _require_no_batch_statistics(model)


def _wrapped(by: str, layer: str, inner: str) -> errors.IncompatibleModel:
    where = f"model.{layer}" if layer else "model"
    return errors.IncompatibleModel(
        "",
        layer,
        f"{f'the layer {layer}' if layer else 'the model'} is wrapped by {by}",
        what=f"{where} is wrapped by {by}: the server runs the module inside of it",
        next=f"give {where}.{inner}" if not layer else f"put {where}.{inner} in its place",
    )


def _require_initialised(model: torch.nn.Module) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            reason = f"{name} has no shape yet: its layer is a lazy one"
            raise errors.IncompatibleModel(
                "", name.rpartition(".")[0], reason, what=reason, next="call the model once on an example first"
            )


def _require_no_batch_statistics(model: torch.nn.Module) -> None:
    """Normalisation over a batch mixes records, so it cannot be trained privately; frozen statistics are fine.

    The server refuses it too. Here it can be said in the words of the scientist's module: on one record such a layer often fails
    with an error about shapes. A module in evaluation mode will be put into training mode whole.
    """
    offending = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)
        and (layer.training or not model.training or layer.running_mean is None)
    ]
    if not offending:
        return
    more = len(offending) - _NAMED
    layers = ", ".join(name or "the model itself" for name in offending[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    reason = "batch normalisation in training mode computes over other people's records"
    raise errors.IncompatibleModel(
        "aten::batch_norm",
        offending[0],
        reason,
        what=f"aten::batch_norm in {layers}: {reason}",
        next="use GroupNorm or LayerNorm, or freeze the statistics, after model.train():\n"
        "for layer in model.modules():\n"
        "    if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):\n"
        "        layer.eval()",
    )
