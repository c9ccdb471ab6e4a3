"""Notices a module that looks at values: what it then decides, a trace cannot follow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_aten = torch.ops.aten
# What turns a tensor's values into Python's own (bool(), int(), .item()) or into a shape.
_READS = frozenset(
    [
        _aten._local_scalar_dense.default,
        _aten.equal.default,
        _aten.masked_select.default,
        _aten.nonzero.default,
    ]
)


class ValuesRead(TorchDispatchMode):
    """While it is entered, ``values`` grows by each that is read; of a tensor as long as values make it, by its shape.

    :param of: count only what is computed from these, from what ``watch`` names, and from chance; None: count all. A tracer hands
        shapes round as tensors too, and reads them
    """

    def __init__(self, of: Iterable[torch.Tensor] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.values: list[str] = []
        self._all = of is None
        # By where they lie, so that views count as what they are views of; held, so that no address is used again.
        self._watched: dict[int, torch.Tensor] = {}
        self.watch(of or ())

    @property
    def any(self) -> bool:
        return bool(self.values)

    def watch(self, tensors: Iterable[torch.Tensor]) -> None:
        self._watched.update({_place(tensor): tensor for tensor in tensors})

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self._all:
            by_chance = torch.Tag.nondeterministic_seeded in func.tags
            if not by_chance and not any(_place(tensor) in self._watched for tensor in _tensors((args, kwargs))):
                return result
            self.watch(_tensors(result))
        if func in _READS:
            # As text: what is no number is unlike itself, and would differ from run to run.
            self.values.append(repr(tuple(result.shape) if isinstance(result, torch.Tensor) else result))
        return result


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr() or id(tensor)
