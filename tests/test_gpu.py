"""A server that is to offer a GPU, on a machine that has none: it does not start, and says why and what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from server_process import ROOT, SERVER, TRAINER

UNAVAILABLE = 8
CUDA_TRAINER = ROOT / "bin" / "bastionlab-trainer-cuda"


def serve(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [SERVER, "serve", "--listen", "127.0.0.1:0", "--data-dir", directory / "data", "--cuda", *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)


def test_without_its_program_no_gpu_is_offered(tmp_path: Path) -> None:
    trainer = tmp_path / "bastionlab-trainer"
    trainer.symlink_to(TRAINER)
    done = serve(tmp_path, "--trainer", str(trainer))
    assert done.returncode == UNAVAILABLE, done.stderr
    assert f"--cuda is set, and there is no program {trainer}-cuda" in done.stderr
    assert "make -C server cuda" in done.stderr


@pytest.mark.skipif(not CUDA_TRAINER.exists(), reason="make -C server cuda has not built the trainer for GPUs")
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine may have a GPU")
def test_without_a_gpu_none_is_offered(tmp_path: Path) -> None:
    done = serve(tmp_path)
    assert done.returncode == UNAVAILABLE, done.stderr
    assert "libtorch finds no GPU: Found no NVIDIA driver on your system" in done.stderr
    assert "bastionlab doctor --cuda" in done.stderr
    said = subprocess.run([str(SERVER), "doctor", "--cuda", "--json"], capture_output=True, text=True, timeout=120)
    assert said.returncode == UNAVAILABLE
    found = {each["name"]: each["ok"] for each in json.loads(said.stdout) if each["name"].startswith("GPU")}
    assert found == {"GPU: trainer": True, "GPU: driver": False, "GPU: device files": False, "GPU: computes": False}


@pytest.mark.skipif(not CUDA_TRAINER.exists(), reason="make -C server cuda has not built the trainer for GPUs")
@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf")
def test_the_drivers_threads_are_named_by_the_trainers_own_function() -> None:
    def exported(program: Path) -> list[str]:
        said = subprocess.run(["readelf", "--dyn-syms", "-W", str(program)], capture_output=True, text=True, check=True).stdout
        return [line for line in said.splitlines() if "pthread_setname_np" in line and "UND" not in line]

    assert exported(CUDA_TRAINER)
    assert not exported(TRAINER)
