"""What a device's kernels are held to. Each line is a claim of docs/release.md or docs/gpu.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.device


@pytest.mark.usefixtures("engine")
def test_a_device_is_held_to_kernels_that_repeat_themselves(device: str) -> None:
    command = [sys.executable, "-W", "ignore", "settings.py", device]
    ran = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == {
        "an order of chance is refused": True,
        "it is only warned of": False,
        "new memory is filled": True,
        "products of float32": "highest",
        "cuDNN": False,
        "cuDNN's TensorFloat-32": False,
        "fused attention": [False, False, False],
        "attention by steps": True,
    }
