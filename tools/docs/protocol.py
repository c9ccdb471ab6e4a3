"""The tables of the protocol: services, messages and their comments, from the .proto files as their compiler understands them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

# Numbers of descriptor.proto: which member of a file, message, enumeration or service a path leads through.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED_MESSAGES, NESTED_ENUMS, METHODS, VALUES = 2, 3, 4, 2, 2
Where = tuple[int, ...]


def services(root: Path) -> str:
    files = compiled(root / "server" / "api")
    return "".join(line for file in files.file for line in FilePage(file).lines())


def compiled(api: Path) -> FileDescriptorSet:
    sources = sorted(str(path.relative_to(api)) for path in (api / "bastionlab" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as directory:
        written = Path(directory) / "set"
        command = ["protoc", f"-I{api}", f"--descriptor_set_out={written}", "--include_source_info", *sources]
        if protoc.main(command) != 0:
            raise SystemExit("the protocol cannot be compiled")
        return FileDescriptorSet.FromString(written.read_bytes())


class FilePage:
    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self.package = f".{file.package}."
        self.said: dict[Where, str] = {}
        for location in file.source_code_info.location:
            text = location.leading_comments or location.trailing_comments
            # The comment of an optional field's own is the field's.
            self.said.setdefault(tuple(location.path), " ".join(text.split()))

    def lines(self) -> Iterator[str]:
        yield f"\n## {Path(self.file.name).name}\n"
        for i, service in enumerate(self.file.service):
            yield from self._service(service, (SERVICES, i))
        for i, message in enumerate(self.file.message_type):
            yield from self._message(message, (MESSAGES, i), message.name)
        for i, enum in enumerate(self.file.enum_type):
            yield from self._enum(enum, (ENUMS, i), enum.name)

    def _service(self, service: ServiceDescriptorProto, at: Where) -> Iterator[str]:
        yield self._heading(service.name, at)
        yield "\n| call | takes | gives | |\n|---|---|---|---|\n"
        for i, method in enumerate(service.method):
            takes = ("stream of " if method.client_streaming else "") + self._short(method.input_type)
            gives = ("stream of " if method.server_streaming else "") + self._short(method.output_type)
            yield f"| `{method.name}` | {takes} | {gives} | {self._comment((*at, METHODS, i))} |\n"

    def _message(self, message: DescriptorProto, at: Where, name: str) -> Iterator[str]:
        if message.options.map_entry:
            return
        yield self._heading(name, at)
        if message.field:
            yield "\n| field | number | type | |\n|---|---|---|---|\n"
        for i, field in enumerate(message.field):
            yield f"| `{field.name}` | {field.number} | {self._type(field, message)} | {self._comment((*at, FIELDS, i))} |\n"
        for i, nested in enumerate(message.nested_type):
            yield from self._message(nested, (*at, NESTED_MESSAGES, i), f"{name}.{nested.name}")
        for i, enum in enumerate(message.enum_type):
            yield from self._enum(enum, (*at, NESTED_ENUMS, i), f"{name}.{enum.name}")

    def _enum(self, enum: EnumDescriptorProto, at: Where, name: str) -> Iterator[str]:
        yield self._heading(name, at)
        yield "\n| value | number | |\n|---|---|---|\n"
        for i, value in enumerate(enum.value):
            yield f"| `{value.name}` | {value.number} | {self._comment((*at, VALUES, i))} |\n"

    def _heading(self, name: str, at: Where) -> str:
        comment = self.said.get(at, "")
        return f"\n### {name}\n" + (f"\n{_plain(comment)}\n" if comment else "")

    def _type(self, field: FieldDescriptorProto, message: DescriptorProto) -> str:
        plain = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        for nested in message.nested_type:
            if nested.options.map_entry and field.type_name.endswith(f".{message.name}.{nested.name}"):
                key, value = (self._type(one, nested) for one in nested.field)
                return f"map of {key} to {value}"
        words = [self._short(field.type_name) or plain]
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            words.insert(0, "repeated")
        elif field.proto3_optional:
            words.insert(0, "optional")
        elif field.HasField("oneof_index"):
            words.append(f"(one of `{message.oneof_decl[field.oneof_index].name}`)")
        return " ".join(words)

    def _short(self, name: str) -> str:
        return name.removeprefix(self.package)

    def _comment(self, at: Where) -> str:
        return _plain(self.said.get(at, "")).replace("|", "\\|")


def _plain(comment: str) -> str:
    """A comment of a .proto file is text: nothing of it is Markdown but what stands in backticks."""
    pieces = comment.split("`")
    for i in range(0, len(pieces), 2):
        for sign in "\\*_<[":
            pieces[i] = pieces[i].replace(sign, "\\" + sign)
    return "`".join(pieces)
