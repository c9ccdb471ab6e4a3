from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorDetail(_message.Message):
    __slots__ = ("kind", "what", "spent", "next", "budget", "model", "check")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[ErrorDetail.Kind]
        KIND_INVALID_ARGUMENT: _ClassVar[ErrorDetail.Kind]
        KIND_BUDGET_EXCEEDED: _ClassVar[ErrorDetail.Kind]
        KIND_INCOMPATIBLE_MODEL: _ClassVar[ErrorDetail.Kind]
        KIND_PERMISSION_DENIED: _ClassVar[ErrorDetail.Kind]
        KIND_ATTESTATION: _ClassVar[ErrorDetail.Kind]
        KIND_NOT_FOUND: _ClassVar[ErrorDetail.Kind]
        KIND_UNAVAILABLE: _ClassVar[ErrorDetail.Kind]
        KIND_VERSION_MISMATCH: _ClassVar[ErrorDetail.Kind]
        KIND_TRAINING_FAILED: _ClassVar[ErrorDetail.Kind]
        KIND_INTERNAL: _ClassVar[ErrorDetail.Kind]
        KIND_UNAUTHENTICATED: _ClassVar[ErrorDetail.Kind]
    KIND_UNSPECIFIED: ErrorDetail.Kind
    KIND_INVALID_ARGUMENT: ErrorDetail.Kind
    KIND_BUDGET_EXCEEDED: ErrorDetail.Kind
    KIND_INCOMPATIBLE_MODEL: ErrorDetail.Kind
    KIND_PERMISSION_DENIED: ErrorDetail.Kind
    KIND_ATTESTATION: ErrorDetail.Kind
    KIND_NOT_FOUND: ErrorDetail.Kind
    KIND_UNAVAILABLE: ErrorDetail.Kind
    KIND_VERSION_MISMATCH: ErrorDetail.Kind
    KIND_TRAINING_FAILED: ErrorDetail.Kind
    KIND_INTERNAL: ErrorDetail.Kind
    KIND_UNAUTHENTICATED: ErrorDetail.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    kind: ErrorDetail.Kind
    what: str
    spent: str
    next: str
    budget: BudgetExceeded
    model: IncompatibleModel
    check: FailedCheck
    def __init__(self, kind: _Optional[_Union[ErrorDetail.Kind, str]] = ..., what: _Optional[str] = ..., spent: _Optional[str] = ..., next: _Optional[str] = ..., budget: _Optional[_Union[BudgetExceeded, _Mapping]] = ..., model: _Optional[_Union[IncompatibleModel, _Mapping]] = ..., check: _Optional[_Union[FailedCheck, _Mapping]] = ...) -> None: ...

class BudgetExceeded(_message.Message):
    __slots__ = ("limit_nano", "spent_nano", "requested_nano", "remaining_nano")
    LIMIT_NANO_FIELD_NUMBER: _ClassVar[int]
    SPENT_NANO_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_NANO_FIELD_NUMBER: _ClassVar[int]
    REMAINING_NANO_FIELD_NUMBER: _ClassVar[int]
    limit_nano: int
    spent_nano: int
    requested_nano: int
    remaining_nano: int
    def __init__(self, limit_nano: _Optional[int] = ..., spent_nano: _Optional[int] = ..., requested_nano: _Optional[int] = ..., remaining_nano: _Optional[int] = ...) -> None: ...

class FailedCheck(_message.Message):
    __slots__ = ("check", "expected", "seen")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    check: str
    expected: str
    seen: str
    def __init__(self, check: _Optional[str] = ..., expected: _Optional[str] = ..., seen: _Optional[str] = ...) -> None: ...

class IncompatibleModel(_message.Message):
    __slots__ = ("operator", "layer", "reason")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    operator: str
    layer: str
    reason: str
    def __init__(self, operator: _Optional[str] = ..., layer: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
