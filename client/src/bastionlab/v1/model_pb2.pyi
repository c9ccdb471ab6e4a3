from bastionlab.v1 import dataset_pb2 as _dataset_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UploadModelRequest(_message.Message):
    __slots__ = ("header", "chunk", "trailer")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    TRAILER_FIELD_NUMBER: _ClassVar[int]
    header: UploadModelHeader
    chunk: bytes
    trailer: UploadModelTrailer
    def __init__(self, header: _Optional[_Union[UploadModelHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ..., trailer: _Optional[_Union[UploadModelTrailer, _Mapping]] = ...) -> None: ...

class UploadModelHeader(_message.Message):
    __slots__ = ("name", "description", "dataset_id", "loss", "archive_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    dataset_id: str
    loss: str
    archive_bytes: int
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., dataset_id: _Optional[str] = ..., loss: _Optional[str] = ..., archive_bytes: _Optional[int] = ...) -> None: ...

class UploadModelTrailer(_message.Message):
    __slots__ = ("sha256",)
    SHA256_FIELD_NUMBER: _ClassVar[int]
    sha256: bytes
    def __init__(self, sha256: _Optional[bytes] = ...) -> None: ...

class UploadModelResponse(_message.Message):
    __slots__ = ("model_id", "report")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    report: CapabilityReport
    def __init__(self, model_id: _Optional[str] = ..., report: _Optional[_Union[CapabilityReport, _Mapping]] = ...) -> None: ...

class CapabilityReport(_message.Message):
    __slots__ = ("operators", "parameters", "inputs", "outputs", "program_sha256")
    OPERATORS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_SHA256_FIELD_NUMBER: _ClassVar[int]
    operators: _containers.RepeatedCompositeFieldContainer[OperatorUse]
    parameters: _containers.RepeatedCompositeFieldContainer[ParameterReport]
    inputs: _containers.RepeatedCompositeFieldContainer[_dataset_pb2.TensorSpec]
    outputs: _containers.RepeatedCompositeFieldContainer[_dataset_pb2.TensorSpec]
    program_sha256: bytes
    def __init__(self, operators: _Optional[_Iterable[_Union[OperatorUse, _Mapping]]] = ..., parameters: _Optional[_Iterable[_Union[ParameterReport, _Mapping]]] = ..., inputs: _Optional[_Iterable[_Union[_dataset_pb2.TensorSpec, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_dataset_pb2.TensorSpec, _Mapping]]] = ..., program_sha256: _Optional[bytes] = ...) -> None: ...

class OperatorUse(_message.Message):
    __slots__ = ("name", "count", "one_record_at_a_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ONE_RECORD_AT_A_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    count: int
    one_record_at_a_time: int
    def __init__(self, name: _Optional[str] = ..., count: _Optional[int] = ..., one_record_at_a_time: _Optional[int] = ...) -> None: ...

class ParameterReport(_message.Message):
    __slots__ = ("name", "dtype", "shape", "trainable", "measurement")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    TRAINABLE_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: _dataset_pb2.DType
    shape: _containers.RepeatedScalarFieldContainer[int]
    trainable: bool
    measurement: str
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[_Union[_dataset_pb2.DType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., trainable: _Optional[bool] = ..., measurement: _Optional[str] = ...) -> None: ...
