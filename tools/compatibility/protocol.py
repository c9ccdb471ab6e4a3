"""What one version of the protocol took away from another, and the sets of descriptors that releases are held to.

    python tools/compatibility/protocol.py freeze

writes vectors/protocol/MAJOR.MINOR.binpb as the protocol is now, at a release of a new minor version. Client and server one minor
version apart speak with each other because, within a major version, the protocol only grows: no method, message, field or value is
taken away, renumbered, renamed or given another type. Names count too: clients print those of statuses.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from results import ROOT

FROZEN = ROOT / "vectors" / "protocol"
API = ROOT / "server" / "api"


def compiled() -> descriptor_pb2.FileDescriptorSet:
    """Of the .proto files as they are: what clients speak, and not what server and trainer say to each other."""
    from grpc_tools import protoc

    files = sorted(str(path.relative_to(API)) for path in (API / "bastionlab" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "set.binpb"
        status = protoc.main(["protoc", f"-I{API}", f"--descriptor_set_out={out}", *files])
        assert status == 0, "protoc does not read the protocol"
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


def facts(protocol: descriptor_pb2.FileDescriptorSet) -> dict[str, tuple[Any, ...]]:
    """Everything that a peer relies on, by name."""
    found: dict[str, tuple[Any, ...]] = {}
    for file in protocol.file:
        for service in file.service:
            for method in service.method:
                streams = (method.client_streaming, method.server_streaming)
                found[f"{file.package}.{service.name}/{method.name}"] = (method.input_type, method.output_type, *streams)
        found |= _enums(file.package, file.enum_type)
        for message in file.message_type:
            found |= dict(_message(file.package, message))
    return found


def _message(scope: str, message: descriptor_pb2.DescriptorProto) -> Iterator[tuple[str, tuple[Any, ...]]]:
    name = f"{scope}.{message.name}"
    yield name, ("message",)
    for field in message.field:
        # A field that has presence on its own is in a oneof of its own, whose number says nothing.
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        yield f"{name}.{field.name}", (field.number, field.type, field.label, field.type_name, oneof, field.proto3_optional)
    yield from _enums(name, message.enum_type).items()
    for nested in message.nested_type:
        yield from _message(name, nested)


def _enums(scope: str, enums: Any) -> dict[str, tuple[Any, ...]]:
    return {f"{scope}.{enum.name}.{value.name}": (value.number,) for enum in enums for value in enum.value}


def taken_away(before: descriptor_pb2.FileDescriptorSet, now: descriptor_pb2.FileDescriptorSet) -> list[str]:
    """What peers of before would miss, each by its name."""
    known = facts(now)
    lost = [
        f"{name} is gone" if name not in known else f"{name} was {fact}, and is {known[name]}"
        for name, fact in facts(before).items()
        if known.get(name) != fact
    ]
    return sorted(lost)


def frozen() -> dict[str, descriptor_pb2.FileDescriptorSet]:
    return {path.stem: descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()) for path in sorted(FROZEN.glob("*.binpb"))}


def main(arguments: list[str]) -> int:
    if arguments != ["freeze"]:
        print(__doc__, file=sys.stderr)
        return 2
    from bastionlab import __version__

    path = FROZEN / f"{__version__.rsplit('.', 1)[0]}.binpb"
    path.write_bytes(compiled().SerializeToString(deterministic=True))
    print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
