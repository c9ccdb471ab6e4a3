from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Binding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BINDING_UNSPECIFIED: _ClassVar[Binding]
    BINDING_KEY: _ClassVar[Binding]
    BINDING_EXPORTER: _ClassVar[Binding]
BINDING_UNSPECIFIED: Binding
BINDING_KEY: Binding
BINDING_EXPORTER: Binding

class GetEvidenceRequest(_message.Message):
    __slots__ = ("nonce", "binding")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    binding: Binding
    def __init__(self, nonce: _Optional[bytes] = ..., binding: _Optional[_Union[Binding, str]] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("format", "report", "endorsements", "claims", "binding", "path", "leaf_index", "tree_size")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    ENDORSEMENTS_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    LEAF_INDEX_FIELD_NUMBER: _ClassVar[int]
    TREE_SIZE_FIELD_NUMBER: _ClassVar[int]
    format: str
    report: bytes
    endorsements: _containers.RepeatedScalarFieldContainer[bytes]
    claims: bytes
    binding: Binding
    path: _containers.RepeatedScalarFieldContainer[bytes]
    leaf_index: int
    tree_size: int
    def __init__(self, format: _Optional[str] = ..., report: _Optional[bytes] = ..., endorsements: _Optional[_Iterable[bytes]] = ..., claims: _Optional[bytes] = ..., binding: _Optional[_Union[Binding, str]] = ..., path: _Optional[_Iterable[bytes]] = ..., leaf_index: _Optional[int] = ..., tree_size: _Optional[int] = ...) -> None: ...

class Claims(_message.Message):
    __slots__ = ("version", "ledger_key", "config_digest", "boot_id", "storage_level", "development")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LEDGER_KEY_FIELD_NUMBER: _ClassVar[int]
    CONFIG_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    STORAGE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    DEVELOPMENT_FIELD_NUMBER: _ClassVar[int]
    version: str
    ledger_key: bytes
    config_digest: bytes
    boot_id: str
    storage_level: str
    development: bool
    def __init__(self, version: _Optional[str] = ..., ledger_key: _Optional[bytes] = ..., config_digest: _Optional[bytes] = ..., boot_id: _Optional[str] = ..., storage_level: _Optional[str] = ..., development: _Optional[bool] = ...) -> None: ...
