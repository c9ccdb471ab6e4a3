"""No record ends the use of a device. A kernel that meets an index out of range, or whatever else it refuses, ends a process's use
of a GPU, and whether it does would be one bit of a record for the model's author. Here such a kernel ends the process."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import standin

pytestmark = pytest.mark.device


MOST_DEATHS = 20


def _deaths(device: str, more: list[str]) -> list[str]:
    """Which of them a process did not survive, and its last word; the others are tried in another one."""
    died: list[str] = []
    first = 0
    while len(died) < MOST_DEATHS:
        command = [sys.executable, "-W", "ignore", "survival.py", device, str(first), *more]
        ran = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
        names = ran.stdout.splitlines()
        first += len(names)
        if ran.returncode == 0:
            assert first > MOST_DEATHS
            break
        died.append(f"{names[-1:]}: {ran.stderr.splitlines()[-1:]}, exit status {ran.returncode}")
        if not names:
            break
    return died


@pytest.mark.usefixtures("engine")
def test_no_record_ends_the_use_of_a_device(device: str, request: pytest.FixtureRequest) -> None:
    assert _deaths(device, ["--all"] if request.config.getoption("--all") else []) == []


def _reads_what_a_tensor_holds() -> None:
    standin.load()
    ctypes.string_at(torch.ones(4).to(standin.DEVICE).data_ptr(), 4)


def _indexes_out_of_range(deadly: bool) -> None:
    standin.load().standin_deadly(deadly)
    table, index = torch.ones(4).to(standin.DEVICE), torch.tensor([4]).to(standin.DEVICE)
    with pytest.raises(IndexError):
        table.index_select(0, index)
    os._exit(0)  # the interpreter's end would meet autograd's thread in the middle of its start


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("target", "arguments", "ending"),
    [
        (_reads_what_a_tensor_holds, (), -signal.SIGSEGV),
        (_indexes_out_of_range, (True,), -signal.SIGABRT),
        (_indexes_out_of_range, (False,), 0),
    ],
    ids=["a look at its memory", "an index", "an index, where that is not deadly"],
)
def test_the_stand_in_is_a_device(target: object, arguments: tuple[bool, ...], ending: int) -> None:
    """Else the tests on it would show nothing."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)  # type: ignore[arg-type]
    process.start()
    process.join()
    assert process.exitcode == ending
