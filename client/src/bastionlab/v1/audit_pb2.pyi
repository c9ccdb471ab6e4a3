from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListAuditRequest(_message.Message):
    __slots__ = ("after_seq", "dataset_id")
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    after_seq: int
    dataset_id: str
    def __init__(self, after_seq: _Optional[int] = ..., dataset_id: _Optional[str] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries", "more")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    more: bool
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("seq", "unix_ms", "user", "action", "dataset_id", "run_id", "allowed", "reason", "binding", "boot_id", "subject")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    unix_ms: int
    user: str
    action: str
    dataset_id: str
    run_id: str
    allowed: bool
    reason: str
    binding: str
    boot_id: str
    subject: str
    def __init__(self, seq: _Optional[int] = ..., unix_ms: _Optional[int] = ..., user: _Optional[str] = ..., action: _Optional[str] = ..., dataset_id: _Optional[str] = ..., run_id: _Optional[str] = ..., allowed: _Optional[bool] = ..., reason: _Optional[str] = ..., binding: _Optional[str] = ..., boot_id: _Optional[str] = ..., subject: _Optional[str] = ...) -> None: ...
