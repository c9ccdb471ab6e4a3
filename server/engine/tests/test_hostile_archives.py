"""Archives that are none."""

from __future__ import annotations

import io
import pickle
import re
import zipfile

import pytest
import torch
from torch import Tensor, nn

from abi import Status
from archive import archive, save
from engine import Engine, EngineError
from records import Record, Schema

SCHEMA = Schema.of(Record({"x": torch.zeros(4)}, torch.zeros(3)))


def good() -> bytes:
    return archive(nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 3)), SCHEMA, "trace")


def state_dict() -> bytes:
    buffer = io.BytesIO()
    torch.save(nn.Linear(4, 3).state_dict(), buffer)
    return buffer.getvalue()


def zip_of(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        for name, data in entries.items():
            writer.writestr(name, data)
    return buffer.getvalue()


def without(part: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good())) as reader, zipfile.ZipFile(buffer, "w") as writer:
        for name in reader.namelist():
            if part not in name:
                writer.writestr(name, reader.read(name))
    return buffer.getvalue()


def replaced(part: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good())) as reader, zipfile.ZipFile(buffer, "w") as writer:
        for name in reader.namelist():
            writer.writestr(name, data if name.endswith(part) else reader.read(name))
    return buffer.getvalue()


def without_a_module() -> bytes:
    """Where its second module belongs the pickle builds something else."""
    buffer, found = io.BytesIO(), 0
    with zipfile.ZipFile(io.BytesIO(good())) as reader, zipfile.ZipFile(buffer, "w") as writer:
        for name in reader.namelist():
            data = reader.read(name)
            if name.endswith("/data.pkl"):
                data, found = re.subn(rb"c__torch__[^\n]*\nGELU\n", b"ccollections\nOrderedDict\n", data)
            writer.writestr(name, data)
    assert found == 1
    return buffer.getvalue()


BAD = {
    "nothing": b"",
    "one byte": b"P",
    "zeros": bytes(4096),
    "text": b"import os\n" * 100,
    "noise": torch.randint(256, (5000,), generator=torch.Generator().manual_seed(1)).byte().numpy().tobytes(),
    "a pickle": pickle.dumps({"weight": [1.0, 2.0]}),
    "a state dict": state_dict(),
    "an empty zip": zip_of(),
    "a zip of something else": zip_of(readme=b"hello"),
    "half": good()[: len(good()) // 2],
    "without the last byte": good()[:-1],
    "without the directory": good()[:-200],
    "without the first byte": good()[1:],
    "without its pickle": without("/data.pkl"),
    "without its constants": without("constants.pkl"),
    "without its code": without("/code/"),
    "without its tensors": without("/data/"),
    "with an empty pickle": replaced("data.pkl", b""),
    "with a pickle of nonsense": replaced("data.pkl", b"\x80\x02" + b"(" * 5000 + b"."),
    "with something else where a module belongs": without_a_module(),
    "with short tensors": replaced("data/0", b"\0\0"),
    "with code that does not parse": replaced(".py", b"class Sequential(Module):\n  def forward(self, x"),
}


@pytest.mark.parametrize("name", BAD)
def test_garbage_is_a_bad_archive(engine: Engine, name: str) -> None:
    with pytest.raises(EngineError) as refusal:
        engine.load(BAD[name], SCHEMA, "l2")
    assert refusal.value.status == Status.BAD_ARCHIVE
    assert refusal.value.reason
    assert_readable(refusal.value.reason)


def assert_readable(reason: str) -> None:
    """One sentence for the scientist: no C++ back trace, no path of this machine."""
    assert "\n" not in reason
    assert "Exception raised from" not in reason
    assert "/home/" not in reason
    assert ".cpp" not in reason
    assert "ASSERT FAILED at" not in reason


@pytest.mark.parametrize("cut", range(1, 20))
def test_every_truncation_is_a_bad_archive(engine: Engine, cut: int) -> None:
    data = good()
    with pytest.raises(EngineError) as refusal:
        engine.load(data[: len(data) * cut // 20], SCHEMA, "l2")
    assert refusal.value.status == Status.BAD_ARCHIVE


class NoForward(nn.Module):
    @torch.jit.export
    def predict(self, x: Tensor) -> Tensor:
        return x


class TakesList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: list[Tensor]) -> Tensor:
        return self.layer(x[0])


@pytest.mark.parametrize("module", [NoForward(), TakesList()], ids=["no forward", "takes a list"])
def test_a_module_that_cannot_be_called_is_refused(engine: Engine, module: nn.Module) -> None:
    with pytest.raises(EngineError) as refusal:
        engine.load(save(torch.jit.script(module)), SCHEMA, "l2").rehearse()
    assert refusal.value.status in (Status.BAD_ARCHIVE, Status.INCOMPATIBLE_MODEL, Status.FORWARD_FAILED)
    assert_readable(refusal.value.reason)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64], ids=str)
def test_parameters_of_low_precision_are_refused_or_trained(engine: Engine, dtype: torch.dtype) -> None:
    """Whatever comes of it, it is an answer at load or rehearsal, not a crash later."""
    module = nn.Linear(4, 3)
    if dtype == torch.complex64:
        module.scale = nn.Parameter(torch.ones(3, dtype=dtype))
    else:
        module = module.to(dtype)
    schema = Schema.of(Record({"x": torch.zeros(4).to(dtype if dtype != torch.complex64 else torch.float32)}, torch.zeros(3)))
    try:
        program = engine.load(archive(module, schema, "script"), schema, "l2")
        program.rehearse()
    except EngineError as error:
        refused = error
    else:
        program.trainer().run_pass([Record({"x": torch.ones(4, dtype=dtype)}, torch.zeros(3))], [0])
        return
    assert refused.status in (Status.INCOMPATIBLE_MODEL, Status.FORWARD_FAILED)
    assert refused.reason


def test_the_archive_need_not_outlive_the_load(engine: Engine) -> None:
    data = bytearray(good())
    program = engine.load(bytes(data), SCHEMA, "l2")
    data[:] = bytes(len(data))
    program.rehearse()


class Enumerations(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        ones = torch.ones([4], dtype=torch.float32, layout=torch.strided)
        return self.layer(x.clone(memory_format=torch.contiguous_format) * ones)


def rewritten(data: bytes, old: str, new: str) -> bytes:
    """The archive with one text of its code replaced, once; that it is there is part of the test."""
    buffer, found = io.BytesIO(), 0
    with zipfile.ZipFile(io.BytesIO(data)) as reader, zipfile.ZipFile(buffer, "w") as writer:
        for name in reader.namelist():
            content = reader.read(name)
            if name.endswith(".py"):
                found += content.count(old.encode())
                content = content.replace(old.encode(), new.encode())
            writer.writestr(name, content)
    assert found == 1
    return buffer.getvalue()


def test_the_archive_with_enumerations_is_admitted(engine: Engine) -> None:
    engine.load(archive(Enumerations(), SCHEMA, "script"), SCHEMA, "l2").rehearse()


@pytest.mark.parametrize("number", [-1, -2, 99, 200, 2**40])
@pytest.mark.parametrize(
    ("old", "operator"), [("dtype=6", "aten::ones"), ("layout=0", "aten::ones"), ("memory_format=0", "aten::clone")]
)
def test_a_number_that_stands_for_nothing_is_refused(engine: Engine, old: str, operator: str, number: int) -> None:
    """libtorch looks such numbers up in tables whose length it does not ask; it would read beside them, and may end the process."""
    data = rewritten(archive(Enumerations(), SCHEMA, "script"), old, f"{old[:-1]}{number}")
    with pytest.raises(EngineError) as refusal:
        engine.load(data, SCHEMA, "l2")
    assert (refusal.value.status, refusal.value.operator) == (Status.INCOMPATIBLE_MODEL, operator)
    assert "that there is not" in refusal.value.reason


class WithBuffer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("kept", torch.zeros(77))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.kept.sum()


def test_a_tensor_that_claims_more_than_its_storage_is_refused(engine: Engine) -> None:
    """What lies behind the storage would be the model's to read."""
    buffer, changed = io.BytesIO(), 0
    with zipfile.ZipFile(io.BytesIO(archive(WithBuffer(), SCHEMA, "script"))) as reader, zipfile.ZipFile(buffer, "w") as writer:
        for name in reader.namelist():
            data, shape = reader.read(name), b"(K\x4dt"  # the pickle of (77,)
            if name.endswith("data.pkl"):
                changed = data.count(shape)
                data = data.replace(shape, b"(K\xfft")
            writer.writestr(name, data)
    assert changed == 1
    with pytest.raises(EngineError) as refusal:
        engine.load(buffer.getvalue(), SCHEMA, "l2")
    assert refusal.value.status == Status.BAD_ARCHIVE
