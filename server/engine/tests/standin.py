"""The stand-in device: libtorch's "privateuseone", whose memory the host cannot touch and whose kernels are the CPU's."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

import torch

LIBRARY = Path(__file__).resolve().parent.parent / "build" / "libstandin.so"
DEVICE = "privateuseone"


class Standin(Protocol):
    def standin_deadly(self, on: int) -> None:
        """From now on a kernel that fails ends the process, as on a GPU a device-side assert would."""

    def standin_kernels(self) -> int: ...

    def standin_copies(self) -> int:
        """How often something was brought to the host."""

    def standin_allocated(self) -> int:
        """Bytes that tensors hold."""


@cache
def load() -> Standin:
    """Before anything is differentiated in this process: autograd starts a thread for each device that there is then."""
    library = ctypes.CDLL(str(LIBRARY))
    for name in ("standin_kernels", "standin_copies", "standin_allocated"):
        getattr(library, name).restype = ctypes.c_int64
    module = ModuleType(DEVICE)  # torch looks for one of this name
    module.__dict__.update(
        _lazy_init=lambda: None, _is_in_bad_fork=lambda: False, is_available=lambda: True, manual_seed_all=lambda _seed: None
    )
    torch._register_device_module(DEVICE, module)
    torch.ones(1, device=DEVICE, requires_grad=True).sum().backward()  # throws where it is too late
    return cast(Standin, library)
