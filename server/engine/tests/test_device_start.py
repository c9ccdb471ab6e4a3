"""What the engine sets before it computes on a device. Each is tried in a process of its own: bl_start is called once."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest
import torch
from torch import Tensor, nn

import standin
from archive import archive
from engine import LIBRARY, OPERATORS, Engine, EngineError
from records import Record, Schema

pytestmark = pytest.mark.device

RECORD = Record({"x": torch.zeros(4)}, torch.zeros(4))


class Cumulated(nn.Module):
    """Of floats: a GPU has no kernel for it that adds in a fixed order."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).cumsum(1)


class Counted(Cumulated):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + x.gt(0).cumsum(1)


def started(device: str) -> Engine:
    if device == standin.DEVICE:
        standin.load()
    return Engine(LIBRARY, OPERATORS, threads=1, device=device)


def settings(device: str) -> dict[str, object]:
    torch.set_float32_matmul_precision("high")  # whatever the process began with
    started(device)
    cuda = torch.backends.cuda
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warns only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fills what is empty": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "products": torch.get_float32_matmul_precision(),
        "cuDNN": torch.backends.cudnn.enabled,
        "TF32 of cuDNN": torch.backends.cudnn.allow_tf32,
        "fused attention": (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.cudnn_sdp_enabled()),
    }


def refusal(device: str) -> str | None:
    """Of a model that counts, and of one whose sums are in an order of chance: the second's."""
    engine = started(device)
    schema = Schema.of(RECORD)
    engine.load(archive(Counted(), schema, "script"), schema, "l2").rehearse(2)
    try:
        engine.load(archive(Cumulated(), schema, "script"), schema, "l2").rehearse(2)
    except EngineError as error:
        return str(error)
    return None


def _tell(connection: Connection, work: Callable[[str], object], device: str) -> None:
    try:
        connection.send(work(device))
    except Exception:
        connection.send(traceback.format_exc())


def elsewhere(work: Callable[[str], object], device: str) -> object:
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_tell, args=(there, work, device))
    process.start()
    there.close()
    said = here.recv()
    process.join()
    return said


@pytest.mark.usefixtures("engine")
def test_a_device_is_started_with_kernels_of_a_fixed_order_and_24_bits(device: str) -> None:
    assert elsewhere(settings, device) == {
        "deterministic": True,
        "warns only": False,
        "fills what is empty": True,
        "products": "highest",
        "cuDNN": False,
        "TF32 of cuDNN": False,
        "fused attention": (False, False, False),
    }


@pytest.mark.usefixtures("engine")
def test_an_order_of_chance_is_refused_in_the_rehearsal(device: str) -> None:
    said = elsewhere(refusal, device)
    assert isinstance(said, str)
    assert "INCOMPATIBLE_MODEL: operator 'aten::cumsum'" in said
    assert "on a GPU" in said
    assert "adds in an order of chance; train the model on the CPU" in said
    assert "You can turn off" not in said
