"""Normalisation over a batch mixes records, so it cannot be trained privately."""

from __future__ import annotations

import torch

from bastionlab import errors


def require_no_batch_statistics(model: torch.nn.Module) -> None:
    """Refuses BatchNorm that uses the batch's statistics, before anything is sent; frozen statistics are fine.

    The server refuses it too. Here it can be said in the words of the scientist's module: on one record such a layer often fails
    with an error about shapes.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) and (layer.training or layer.running_mean is None):
            raise errors.IncompatibleModel(
                "aten::batch_norm",
                name,
                "batch normalisation in training mode computes over other people's records",
                next="use GroupNorm or LayerNorm, or freeze the statistics: model.train(), then put this layer in eval()",
            )
