"""Notices a module that looks at values: what it then decides, a trace cannot follow."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

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
    """While it is entered, ``any`` becomes true once a value is read."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.any = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.any = self.any or func in _READS
        return func(*args, **(kwargs or {}))
