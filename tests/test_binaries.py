"""What the two programs are made of."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import small
from server_process import REPLAY_TRAINER, SERVER, STANDIN_TRAINER, TRAINER, ServerProcess

from bastionlab import Connection


def elf_headers(binary: Path) -> str:
    return subprocess.run(["readelf", "-ld", str(binary)], capture_output=True, text=True, check=True).stdout


def test_the_server_is_static() -> None:
    headers = elf_headers(SERVER)
    assert "INTERP" not in headers
    assert "NEEDED" not in headers
    assert "INTERP" in elf_headers(TRAINER), "the check can see a dynamic binary"


def test_the_trainer_has_no_cuda_library_in_it() -> None:
    """The second trainer has; this one's confinement lets no driver start."""
    assert b"/proc/driver/nvidia" not in TRAINER.read_bytes()
    headers = elf_headers(TRAINER)
    assert "libtorch_cpu.so" in headers
    for library in ("libtorch_cuda", "libc10_cuda", "libcuda", "libcudart"):
        assert library not in headers


def test_the_server_maps_no_libtorch(server: ServerProcess, connect: Callable[..., Connection]) -> None:
    with connect(server) as connection:
        client = connection.client.torch
        client.RemoteDataset(small.dataset(), privacy_limit=6.0, name="d", progress=False)
        learner = client.RemoteLearner(
            small.linear(), client.list_remote_datasets()[0], max_batch_size=8, loss="cross_entropy", metrics=False, progress=False
        )
        learner.fit(nb_epochs=1, eps=1.0)
    maps = Path(f"/proc/{server.pid}/maps").read_text()
    assert "torch" not in maps
    assert "bin/bastionlab" in maps


@pytest.mark.parametrize("word", [b"BASTIONLAB_REPLAY", b"bl_testing"])
def test_the_release_binaries_cannot_be_told_to_leave_out_the_noise(word: bytes) -> None:
    assert word not in TRAINER.read_bytes()
    assert word not in SERVER.read_bytes()


def test_that_search_finds_what_it_looks_for() -> None:
    assert b"BASTIONLAB_REPLAY" in REPLAY_TRAINER.read_bytes()


# What the trainer that takes a stand-in for a GPU has in it: the device's name, the library, what it asks of it.
STANDIN = [b"privateuseone", b"libstandin", b"standin_deadly", b"libbastionlab_engine_testing"]


@pytest.mark.parametrize("word", STANDIN)
def test_the_release_binaries_know_no_stand_in_for_a_gpu(word: bytes) -> None:
    for program in (TRAINER, SERVER, *filter(Path.exists, [TRAINER.with_name("bastionlab-trainer-cuda")])):
        assert word not in program.read_bytes()
    assert word in STANDIN_TRAINER.read_bytes(), "the check can see it"
