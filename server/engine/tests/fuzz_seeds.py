"""Writes what the archive fuzzer begins with: small models of every kind with their schemas, and every operator's signatures.

python fuzz_seeds.py DIRECTORY
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

import zoo
from abi import DTYPES
from archive import archive, save
from engine import OPERATORS, allowed_operators
from records import Field, Record, Schema
from zoo import forbidden, hostile

DTYPE_NAMES = {
    1: "BOOL",
    2: "U8",
    3: "I8",
    4: "I16",
    5: "I32",
    6: "I64",
    7: "F16",
    8: "BF16",
    9: "F32",
    10: "F64",
}
MOST_BYTES = 60_000  # a mutant of a large model costs time and finds nothing that one of a small model does not


def spec(field: Field) -> dict[str, object]:
    return {"name": field.name, "dtype": "DTYPE_" + DTYPE_NAMES[DTYPES[field.dtype]], "shape": [str(size) for size in field.shape]}


def described(schema: Schema, loss: str) -> str:
    """protobuf's JSON form of the schema, as the Go side reads it."""
    fields = {"inputs": [spec(field) for field in schema.inputs], "label": spec(schema.label), "namedInputs": schema.named}
    return json.dumps({"loss": loss, "schema": fields}, indent=1)


def models() -> Iterator[tuple[str, bytes, Schema, str]]:
    for one in zoo.CASES:
        schema = one.schema(torch.float32)
        for form in one.forms:
            yield f"{one.name}-{form}", archive(one.module(torch.float32), schema, form), schema, one.loss
    indices = Schema.of(Record({"x": torch.zeros(4), "index": torch.zeros(3, dtype=torch.int64)}, torch.zeros(3)))
    for kind in [*hostile.HOSTILE, *hostile.TRAPS]:
        yield f"hostile-{kind.__name__}", scripted(kind()), indices, "l2"
    plain = Schema.of(Record({"x": torch.zeros(4)}, torch.zeros(3)))
    for kind, _ in forbidden.FORBIDDEN:
        yield f"forbidden-{kind.__name__}", scripted(kind()), plain, "l2"


def scripted(module: nn.Module) -> bytes:
    return save(torch.jit.script(module))


def signatures() -> Iterator[str]:
    """One line for each overload: name, results, arguments as name:type, those that go by name with a * before them."""
    allowed = set(allowed_operators(OPERATORS))
    for schema in torch._C._jit_get_all_schemas():
        if schema.name not in allowed or not schema.name.startswith("aten::"):
            continue
        words = [schema.name.removeprefix("aten::"), ",".join(str(result.type) for result in schema.returns) or "None"]
        for argument in schema.arguments:
            words.append(("*" if argument.kwarg_only else "") + f"{argument.name}:{argument.type}".replace(" ", ""))
        yield " ".join(word.replace(" ", "") for word in words)


def main() -> None:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    for name, data, schema, loss in models():
        if len(data) > MOST_BYTES:
            continue
        name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
        (directory / f"{name}.pt").write_bytes(data)
        (directory / f"{name}.json").write_text(described(schema, loss))
    (directory / "signatures.txt").write_text("\n".join(sorted(set(signatures()))) + "\n")


if __name__ == "__main__":
    main()
