"""PRIVACY: what libtorch says of a failure of its own may quote values: nobody is told but where a process without records asks."""

from __future__ import annotations

import subprocess
import sys

from engine import LIBRARY

# A process of its own: where libtorch was quoted once, it is from then on.
SCRIPT = """
import ctypes, sys, torch, abi
library, error = abi.open_library(sys.argv[1]), abi.Error()
def reason():
    assert library.bl_start(1, b"nonsense", ctypes.byref(error)) != 0
    return error.reason.decode()
print(reason())
library.bl_quote_libtorch()
print(reason())
"""


def test_libtorch_is_quoted_only_where_that_was_asked_for() -> None:
    command = [sys.executable, "-c", SCRIPT, str(LIBRARY)]
    silent, quoted = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert silent == "the engine failed"
    assert "nonsense" in quoted
