"""Starts the engine on a device, in a process whose libtorch is set otherwise in every respect, and prints what became of that."""

from __future__ import annotations

import ctypes
import json
import sys

import torch

import abi
import standin
from abi import Status
from engine import LIBRARY


def main(device: str) -> None:
    if device == standin.DEVICE:
        standin.load()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.utils.deterministic.fill_uninitialized_memory = False
    error = abi.Error()
    assert abi.open_library(LIBRARY).bl_start(2, device.encode(), ctypes.byref(error)) == Status.OK, error.reason
    found = {
        "an order of chance is refused": torch.are_deterministic_algorithms_enabled(),
        "it is only warned of": torch.is_deterministic_algorithms_warn_only_enabled(),
        "new memory is filled": torch.utils.deterministic.fill_uninitialized_memory,
        "products of float32": torch.get_float32_matmul_precision(),
        "cuDNN": torch.backends.cudnn.enabled,
        "cuDNN's TensorFloat-32": torch.backends.cudnn.allow_tf32,
        "fused attention": [
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
            torch.backends.cuda.cudnn_sdp_enabled(),
        ],
        "attention by steps": torch.backends.cuda.math_sdp_enabled(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
