from bastionlab.v1 import ledger_pb2 as _ledger_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DTYPE_UNSPECIFIED: _ClassVar[DType]
    DTYPE_BOOL: _ClassVar[DType]
    DTYPE_U8: _ClassVar[DType]
    DTYPE_I8: _ClassVar[DType]
    DTYPE_I16: _ClassVar[DType]
    DTYPE_I32: _ClassVar[DType]
    DTYPE_I64: _ClassVar[DType]
    DTYPE_F16: _ClassVar[DType]
    DTYPE_BF16: _ClassVar[DType]
    DTYPE_F32: _ClassVar[DType]
    DTYPE_F64: _ClassVar[DType]
DTYPE_UNSPECIFIED: DType
DTYPE_BOOL: DType
DTYPE_U8: DType
DTYPE_I8: DType
DTYPE_I16: DType
DTYPE_I32: DType
DTYPE_I64: DType
DTYPE_F16: DType
DTYPE_BF16: DType
DTYPE_F32: DType
DTYPE_F64: DType

class TensorSpec(_message.Message):
    __slots__ = ("name", "dtype", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: DType
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[_Union[DType, str]] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class Schema(_message.Message):
    __slots__ = ("inputs", "label", "named_inputs")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    NAMED_INPUTS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[TensorSpec]
    label: TensorSpec
    named_inputs: bool
    def __init__(self, inputs: _Optional[_Iterable[_Union[TensorSpec, _Mapping]]] = ..., label: _Optional[_Union[TensorSpec, _Mapping]] = ..., named_inputs: _Optional[bool] = ...) -> None: ...

class PublicFacts(_message.Message):
    __slots__ = ("classes", "ranges")
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    classes: int
    ranges: _containers.RepeatedCompositeFieldContainer[PublicRange]
    def __init__(self, classes: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[PublicRange, _Mapping]]] = ...) -> None: ...

class PublicRange(_message.Message):
    __slots__ = ("tensor", "low", "high")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    tensor: str
    low: float
    high: float
    def __init__(self, tensor: _Optional[str] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class UploadDatasetRequest(_message.Message):
    __slots__ = ("header", "batch", "trailer")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    TRAILER_FIELD_NUMBER: _ClassVar[int]
    header: UploadDatasetHeader
    batch: RecordBatch
    trailer: UploadDatasetTrailer
    def __init__(self, header: _Optional[_Union[UploadDatasetHeader, _Mapping]] = ..., batch: _Optional[_Union[RecordBatch, _Mapping]] = ..., trailer: _Optional[_Union[UploadDatasetTrailer, _Mapping]] = ...) -> None: ...

class UploadDatasetHeader(_message.Message):
    __slots__ = ("name", "description", "schema", "records", "declared_samples", "privacy_limit", "delta", "public", "test_of", "permissions", "upload_id", "after_batches")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    DECLARED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_LIMIT_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    TEST_OF_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_BATCHES_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    schema: Schema
    records: int
    declared_samples: int
    privacy_limit: float
    delta: float
    public: PublicFacts
    test_of: str
    permissions: Permissions
    upload_id: str
    after_batches: int
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., schema: _Optional[_Union[Schema, _Mapping]] = ..., records: _Optional[int] = ..., declared_samples: _Optional[int] = ..., privacy_limit: _Optional[float] = ..., delta: _Optional[float] = ..., public: _Optional[_Union[PublicFacts, _Mapping]] = ..., test_of: _Optional[str] = ..., permissions: _Optional[_Union[Permissions, _Mapping]] = ..., upload_id: _Optional[str] = ..., after_batches: _Optional[int] = ...) -> None: ...

class GetUploadRequest(_message.Message):
    __slots__ = ("upload_id",)
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    def __init__(self, upload_id: _Optional[str] = ...) -> None: ...

class UploadStanding(_message.Message):
    __slots__ = ("batches", "records")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    batches: int
    records: int
    def __init__(self, batches: _Optional[int] = ..., records: _Optional[int] = ...) -> None: ...

class Permissions(_message.Message):
    __slots__ = ("grants", "constant_time", "gpu")
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    CONSTANT_TIME_FIELD_NUMBER: _ClassVar[int]
    GPU_FIELD_NUMBER: _ClassVar[int]
    grants: _containers.RepeatedCompositeFieldContainer[Grant]
    constant_time: bool
    gpu: bool
    def __init__(self, grants: _Optional[_Iterable[_Union[Grant, _Mapping]]] = ..., constant_time: _Optional[bool] = ..., gpu: _Optional[bool] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("user", "train", "test", "take_home", "epsilon_nano")
    USER_FIELD_NUMBER: _ClassVar[int]
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    TAKE_HOME_FIELD_NUMBER: _ClassVar[int]
    EPSILON_NANO_FIELD_NUMBER: _ClassVar[int]
    user: str
    train: bool
    test: bool
    take_home: bool
    epsilon_nano: int
    def __init__(self, user: _Optional[str] = ..., train: _Optional[bool] = ..., test: _Optional[bool] = ..., take_home: _Optional[bool] = ..., epsilon_nano: _Optional[int] = ...) -> None: ...

class GrantAccessRequest(_message.Message):
    __slots__ = ("dataset_id", "grant")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    grant: Grant
    def __init__(self, dataset_id: _Optional[str] = ..., grant: _Optional[_Union[Grant, _Mapping]] = ...) -> None: ...

class RevokeAccessRequest(_message.Message):
    __slots__ = ("dataset_id", "user")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    user: str
    def __init__(self, dataset_id: _Optional[str] = ..., user: _Optional[str] = ...) -> None: ...

class RecordBatch(_message.Message):
    __slots__ = ("count", "safetensors", "sha256")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SAFETENSORS_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    count: int
    safetensors: bytes
    sha256: bytes
    def __init__(self, count: _Optional[int] = ..., safetensors: _Optional[bytes] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class UploadDatasetTrailer(_message.Message):
    __slots__ = ("records", "sha256")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    records: int
    sha256: bytes
    def __init__(self, records: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class UploadDatasetResponse(_message.Message):
    __slots__ = ("dataset", "lineage", "receipts")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    dataset: Dataset
    lineage: Lineage
    receipts: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.Receipt]
    def __init__(self, dataset: _Optional[_Union[Dataset, _Mapping]] = ..., lineage: _Optional[_Union[Lineage, _Mapping]] = ..., receipts: _Optional[_Iterable[_Union[_ledger_pb2.Receipt, _Mapping]]] = ...) -> None: ...

class Lineage(_message.Message):
    __slots__ = ("joined", "apart")
    JOINED_FIELD_NUMBER: _ClassVar[int]
    APART_FIELD_NUMBER: _ClassVar[int]
    joined: _containers.RepeatedScalarFieldContainer[str]
    apart: _containers.RepeatedCompositeFieldContainer[SharedRecords]
    def __init__(self, joined: _Optional[_Iterable[str]] = ..., apart: _Optional[_Iterable[_Union[SharedRecords, _Mapping]]] = ...) -> None: ...

class SharedRecords(_message.Message):
    __slots__ = ("dataset_id", "records", "training_set")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    TRAINING_SET_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    records: int
    training_set: bool
    def __init__(self, dataset_id: _Optional[str] = ..., records: _Optional[int] = ..., training_set: _Optional[bool] = ...) -> None: ...

class Dataset(_message.Message):
    __slots__ = ("id", "name", "description", "schema", "declared_samples", "privacy_limit_nano", "delta_atto", "public", "owner", "created_unix_ms", "test_id", "mine", "permissions", "may", "account")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    DECLARED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_LIMIT_NANO_FIELD_NUMBER: _ClassVar[int]
    DELTA_ATTO_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    TEST_ID_FIELD_NUMBER: _ClassVar[int]
    MINE_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    MAY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    description: str
    schema: Schema
    declared_samples: int
    privacy_limit_nano: int
    delta_atto: int
    public: PublicFacts
    owner: str
    created_unix_ms: int
    test_id: str
    mine: bool
    permissions: Permissions
    may: Grant
    account: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., schema: _Optional[_Union[Schema, _Mapping]] = ..., declared_samples: _Optional[int] = ..., privacy_limit_nano: _Optional[int] = ..., delta_atto: _Optional[int] = ..., public: _Optional[_Union[PublicFacts, _Mapping]] = ..., owner: _Optional[str] = ..., created_unix_ms: _Optional[int] = ..., test_id: _Optional[str] = ..., mine: _Optional[bool] = ..., permissions: _Optional[_Union[Permissions, _Mapping]] = ..., may: _Optional[_Union[Grant, _Mapping]] = ..., account: _Optional[str] = ...) -> None: ...

class ListDatasetsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDatasetsResponse(_message.Message):
    __slots__ = ("datasets",)
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[Dataset]
    def __init__(self, datasets: _Optional[_Iterable[_Union[Dataset, _Mapping]]] = ...) -> None: ...

class GetDatasetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetBudgetRequest(_message.Message):
    __slots__ = ("dataset_id",)
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    def __init__(self, dataset_id: _Optional[str] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("dataset_id", "limit_nano", "spent_nano", "spent_infinite", "remaining_nano", "delta_atto", "runs", "frozen", "datasets", "scientists")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_NANO_FIELD_NUMBER: _ClassVar[int]
    SPENT_NANO_FIELD_NUMBER: _ClassVar[int]
    SPENT_INFINITE_FIELD_NUMBER: _ClassVar[int]
    REMAINING_NANO_FIELD_NUMBER: _ClassVar[int]
    DELTA_ATTO_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    SCIENTISTS_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    limit_nano: int
    spent_nano: int
    spent_infinite: bool
    remaining_nano: int
    delta_atto: int
    runs: _containers.RepeatedCompositeFieldContainer[BudgetEntry]
    frozen: str
    datasets: _containers.RepeatedScalarFieldContainer[str]
    scientists: _containers.RepeatedCompositeFieldContainer[ScientistLimit]
    def __init__(self, dataset_id: _Optional[str] = ..., limit_nano: _Optional[int] = ..., spent_nano: _Optional[int] = ..., spent_infinite: _Optional[bool] = ..., remaining_nano: _Optional[int] = ..., delta_atto: _Optional[int] = ..., runs: _Optional[_Iterable[_Union[BudgetEntry, _Mapping]]] = ..., frozen: _Optional[str] = ..., datasets: _Optional[_Iterable[str]] = ..., scientists: _Optional[_Iterable[_Union[ScientistLimit, _Mapping]]] = ...) -> None: ...

class ScientistLimit(_message.Message):
    __slots__ = ("scientist", "limit_nano", "spent_nano")
    SCIENTIST_FIELD_NUMBER: _ClassVar[int]
    LIMIT_NANO_FIELD_NUMBER: _ClassVar[int]
    SPENT_NANO_FIELD_NUMBER: _ClassVar[int]
    scientist: str
    limit_nano: int
    spent_nano: int
    def __init__(self, scientist: _Optional[str] = ..., limit_nano: _Optional[int] = ..., spent_nano: _Optional[int] = ...) -> None: ...

class BudgetEntry(_message.Message):
    __slots__ = ("run_id", "epsilon_nano", "delta_atto", "infinite", "status", "created_unix_ms")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EPSILON_NANO_FIELD_NUMBER: _ClassVar[int]
    DELTA_ATTO_FIELD_NUMBER: _ClassVar[int]
    INFINITE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    epsilon_nano: int
    delta_atto: int
    infinite: bool
    status: str
    created_unix_ms: int
    def __init__(self, run_id: _Optional[str] = ..., epsilon_nano: _Optional[int] = ..., delta_atto: _Optional[int] = ..., infinite: _Optional[bool] = ..., status: _Optional[str] = ..., created_unix_ms: _Optional[int] = ...) -> None: ...

class LowerLimitRequest(_message.Message):
    __slots__ = ("dataset_id", "privacy_limit", "scientist")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_LIMIT_FIELD_NUMBER: _ClassVar[int]
    SCIENTIST_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    privacy_limit: float
    scientist: str
    def __init__(self, dataset_id: _Optional[str] = ..., privacy_limit: _Optional[float] = ..., scientist: _Optional[str] = ...) -> None: ...

class DeleteDatasetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteDatasetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
