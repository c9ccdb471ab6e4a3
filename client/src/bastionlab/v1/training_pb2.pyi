from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATUS_UNSPECIFIED: _ClassVar[RunStatus]
    RUN_STATUS_WAITING: _ClassVar[RunStatus]
    RUN_STATUS_QUEUED: _ClassVar[RunStatus]
    RUN_STATUS_RUNNING: _ClassVar[RunStatus]
    RUN_STATUS_COMPLETED: _ClassVar[RunStatus]
    RUN_STATUS_FAILED: _ClassVar[RunStatus]
    RUN_STATUS_CANCELLED: _ClassVar[RunStatus]
RUN_STATUS_UNSPECIFIED: RunStatus
RUN_STATUS_WAITING: RunStatus
RUN_STATUS_QUEUED: RunStatus
RUN_STATUS_RUNNING: RunStatus
RUN_STATUS_COMPLETED: RunStatus
RUN_STATUS_FAILED: RunStatus
RUN_STATUS_CANCELLED: RunStatus

class Optimizer(_message.Message):
    __slots__ = ("sgd", "adam", "adamw")
    SGD_FIELD_NUMBER: _ClassVar[int]
    ADAM_FIELD_NUMBER: _ClassVar[int]
    ADAMW_FIELD_NUMBER: _ClassVar[int]
    sgd: SGD
    adam: Adam
    adamw: Adam
    def __init__(self, sgd: _Optional[_Union[SGD, _Mapping]] = ..., adam: _Optional[_Union[Adam, _Mapping]] = ..., adamw: _Optional[_Union[Adam, _Mapping]] = ...) -> None: ...

class SGD(_message.Message):
    __slots__ = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    LR_FIELD_NUMBER: _ClassVar[int]
    MOMENTUM_FIELD_NUMBER: _ClassVar[int]
    DAMPENING_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    NESTEROV_FIELD_NUMBER: _ClassVar[int]
    lr: float
    momentum: float
    dampening: float
    weight_decay: float
    nesterov: bool
    def __init__(self, lr: _Optional[float] = ..., momentum: _Optional[float] = ..., dampening: _Optional[float] = ..., weight_decay: _Optional[float] = ..., nesterov: _Optional[bool] = ...) -> None: ...

class Adam(_message.Message):
    __slots__ = ("lr", "beta1", "beta2", "eps", "weight_decay", "amsgrad")
    LR_FIELD_NUMBER: _ClassVar[int]
    BETA1_FIELD_NUMBER: _ClassVar[int]
    BETA2_FIELD_NUMBER: _ClassVar[int]
    EPS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    AMSGRAD_FIELD_NUMBER: _ClassVar[int]
    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    amsgrad: bool
    def __init__(self, lr: _Optional[float] = ..., beta1: _Optional[float] = ..., beta2: _Optional[float] = ..., eps: _Optional[float] = ..., weight_decay: _Optional[float] = ..., amsgrad: _Optional[bool] = ...) -> None: ...

class TrainingRequest(_message.Message):
    __slots__ = ("model_id", "dataset_id", "nb_epochs", "epsilon", "delta", "batch_size", "max_batch_size", "max_grad_norm", "optimizer", "metrics", "release", "constant_time", "device", "continue_run_id")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    NB_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    CONSTANT_TIME_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    dataset_id: str
    nb_epochs: float
    epsilon: float
    delta: float
    batch_size: int
    max_batch_size: int
    max_grad_norm: float
    optimizer: Optimizer
    metrics: bool
    release: str
    constant_time: bool
    device: str
    continue_run_id: str
    def __init__(self, model_id: _Optional[str] = ..., dataset_id: _Optional[str] = ..., nb_epochs: _Optional[float] = ..., epsilon: _Optional[float] = ..., delta: _Optional[float] = ..., batch_size: _Optional[int] = ..., max_batch_size: _Optional[int] = ..., max_grad_norm: _Optional[float] = ..., optimizer: _Optional[_Union[Optimizer, _Mapping]] = ..., metrics: _Optional[bool] = ..., release: _Optional[str] = ..., constant_time: _Optional[bool] = ..., device: _Optional[str] = ..., continue_run_id: _Optional[str] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("noise_multiplier", "sample_rate", "steps", "batch_size", "max_batch_size", "max_grad_norm", "private", "epsilon_nano", "delta_atto", "remaining_after_nano", "release_mode", "seconds", "warnings", "nb_epochs", "charge", "unlimited", "grid_exponent", "grid_error", "eta", "loss_bound", "metric", "passes_per_step", "obtainable_nano", "device")
    NOISE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_FIELD_NUMBER: _ClassVar[int]
    EPSILON_NANO_FIELD_NUMBER: _ClassVar[int]
    DELTA_ATTO_FIELD_NUMBER: _ClassVar[int]
    REMAINING_AFTER_NANO_FIELD_NUMBER: _ClassVar[int]
    RELEASE_MODE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    NB_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    CHARGE_FIELD_NUMBER: _ClassVar[int]
    UNLIMITED_FIELD_NUMBER: _ClassVar[int]
    GRID_EXPONENT_FIELD_NUMBER: _ClassVar[int]
    GRID_ERROR_FIELD_NUMBER: _ClassVar[int]
    ETA_FIELD_NUMBER: _ClassVar[int]
    LOSS_BOUND_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    PASSES_PER_STEP_FIELD_NUMBER: _ClassVar[int]
    OBTAINABLE_NANO_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    noise_multiplier: float
    sample_rate: float
    steps: int
    batch_size: int
    max_batch_size: int
    max_grad_norm: float
    private: bool
    epsilon_nano: int
    delta_atto: int
    remaining_after_nano: int
    release_mode: str
    seconds: float
    warnings: _containers.RepeatedScalarFieldContainer[str]
    nb_epochs: float
    charge: bytes
    unlimited: bool
    grid_exponent: int
    grid_error: float
    eta: float
    loss_bound: float
    metric: str
    passes_per_step: int
    obtainable_nano: int
    device: str
    def __init__(self, noise_multiplier: _Optional[float] = ..., sample_rate: _Optional[float] = ..., steps: _Optional[int] = ..., batch_size: _Optional[int] = ..., max_batch_size: _Optional[int] = ..., max_grad_norm: _Optional[float] = ..., private: _Optional[bool] = ..., epsilon_nano: _Optional[int] = ..., delta_atto: _Optional[int] = ..., remaining_after_nano: _Optional[int] = ..., release_mode: _Optional[str] = ..., seconds: _Optional[float] = ..., warnings: _Optional[_Iterable[str]] = ..., nb_epochs: _Optional[float] = ..., charge: _Optional[bytes] = ..., unlimited: _Optional[bool] = ..., grid_exponent: _Optional[int] = ..., grid_error: _Optional[float] = ..., eta: _Optional[float] = ..., loss_bound: _Optional[float] = ..., metric: _Optional[str] = ..., passes_per_step: _Optional[int] = ..., obtainable_nano: _Optional[int] = ..., device: _Optional[str] = ...) -> None: ...

class Charge(_message.Message):
    __slots__ = ("dataset_id", "program_sha256", "private", "epsilon_nano", "delta_atto", "steps", "max_grad_norm", "accountant", "release_mode", "grid_exponent", "eta", "renyi", "loss_bound", "metric", "device")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_SHA256_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_FIELD_NUMBER: _ClassVar[int]
    EPSILON_NANO_FIELD_NUMBER: _ClassVar[int]
    DELTA_ATTO_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    MAX_GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTANT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_MODE_FIELD_NUMBER: _ClassVar[int]
    GRID_EXPONENT_FIELD_NUMBER: _ClassVar[int]
    ETA_FIELD_NUMBER: _ClassVar[int]
    RENYI_FIELD_NUMBER: _ClassVar[int]
    LOSS_BOUND_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    program_sha256: bytes
    private: bool
    epsilon_nano: int
    delta_atto: int
    steps: _containers.RepeatedCompositeFieldContainer[ChargedSteps]
    max_grad_norm: float
    accountant: str
    release_mode: str
    grid_exponent: int
    eta: float
    renyi: _containers.RepeatedCompositeFieldContainer[RenyiCost]
    loss_bound: float
    metric: str
    device: str
    def __init__(self, dataset_id: _Optional[str] = ..., program_sha256: _Optional[bytes] = ..., private: _Optional[bool] = ..., epsilon_nano: _Optional[int] = ..., delta_atto: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[ChargedSteps, _Mapping]]] = ..., max_grad_norm: _Optional[float] = ..., accountant: _Optional[str] = ..., release_mode: _Optional[str] = ..., grid_exponent: _Optional[int] = ..., eta: _Optional[float] = ..., renyi: _Optional[_Iterable[_Union[RenyiCost, _Mapping]]] = ..., loss_bound: _Optional[float] = ..., metric: _Optional[str] = ..., device: _Optional[str] = ...) -> None: ...

class RenyiCost(_message.Message):
    __slots__ = ("order", "pico")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    PICO_FIELD_NUMBER: _ClassVar[int]
    order: int
    pico: int
    def __init__(self, order: _Optional[int] = ..., pico: _Optional[int] = ...) -> None: ...

class ChargedSteps(_message.Message):
    __slots__ = ("sample_rate", "noise_multiplier", "count")
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    NOISE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    sample_rate: float
    noise_multiplier: float
    count: int
    def __init__(self, sample_rate: _Optional[float] = ..., noise_multiplier: _Optional[float] = ..., count: _Optional[int] = ...) -> None: ...

class StartTrainingRequest(_message.Message):
    __slots__ = ("request", "charge", "name", "description")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CHARGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    request: TrainingRequest
    charge: bytes
    name: str
    description: str
    def __init__(self, request: _Optional[_Union[TrainingRequest, _Mapping]] = ..., charge: _Optional[bytes] = ..., name: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class TestRequest(_message.Message):
    __slots__ = ("model_id", "dataset_id", "metric", "epsilon", "weights_run_id")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    dataset_id: str
    metric: str
    epsilon: float
    weights_run_id: str
    def __init__(self, model_id: _Optional[str] = ..., dataset_id: _Optional[str] = ..., metric: _Optional[str] = ..., epsilon: _Optional[float] = ..., weights_run_id: _Optional[str] = ...) -> None: ...

class StartTestRequest(_message.Message):
    __slots__ = ("request", "charge", "name", "description")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CHARGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    request: TestRequest
    charge: bytes
    name: str
    description: str
    def __init__(self, request: _Optional[_Union[TestRequest, _Mapping]] = ..., charge: _Optional[bytes] = ..., name: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("id", "model_id", "dataset_id", "status", "plan", "created_unix_ms", "ended_unix_ms", "name", "description", "failure", "spent", "steps_done", "epochs_done", "scientist", "mine", "history", "result", "interruptions", "decides", "denial")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    STEPS_DONE_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_DONE_FIELD_NUMBER: _ClassVar[int]
    SCIENTIST_FIELD_NUMBER: _ClassVar[int]
    MINE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTIONS_FIELD_NUMBER: _ClassVar[int]
    DECIDES_FIELD_NUMBER: _ClassVar[int]
    DENIAL_FIELD_NUMBER: _ClassVar[int]
    id: str
    model_id: str
    dataset_id: str
    status: RunStatus
    plan: Plan
    created_unix_ms: int
    ended_unix_ms: int
    name: str
    description: str
    failure: str
    spent: str
    steps_done: int
    epochs_done: int
    scientist: str
    mine: bool
    history: History
    result: TestResult
    interruptions: int
    decides: bool
    denial: str
    def __init__(self, id: _Optional[str] = ..., model_id: _Optional[str] = ..., dataset_id: _Optional[str] = ..., status: _Optional[_Union[RunStatus, str]] = ..., plan: _Optional[_Union[Plan, _Mapping]] = ..., created_unix_ms: _Optional[int] = ..., ended_unix_ms: _Optional[int] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., failure: _Optional[str] = ..., spent: _Optional[str] = ..., steps_done: _Optional[int] = ..., epochs_done: _Optional[int] = ..., scientist: _Optional[str] = ..., mine: _Optional[bool] = ..., history: _Optional[_Union[History, _Mapping]] = ..., result: _Optional[_Union[TestResult, _Mapping]] = ..., interruptions: _Optional[int] = ..., decides: _Optional[bool] = ..., denial: _Optional[str] = ...) -> None: ...

class History(_message.Message):
    __slots__ = ("epochs",)
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    epochs: _containers.RepeatedCompositeFieldContainer[EpochMetrics]
    def __init__(self, epochs: _Optional[_Iterable[_Union[EpochMetrics, _Mapping]]] = ...) -> None: ...

class EpochMetrics(_message.Message):
    __slots__ = ("epoch", "steps", "loss", "standard_error")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    steps: int
    loss: float
    standard_error: float
    def __init__(self, epoch: _Optional[int] = ..., steps: _Optional[int] = ..., loss: _Optional[float] = ..., standard_error: _Optional[float] = ...) -> None: ...

class TestResult(_message.Message):
    __slots__ = ("value", "standard_error")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    value: float
    standard_error: float
    def __init__(self, value: _Optional[float] = ..., standard_error: _Optional[float] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs",)
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ...) -> None: ...

class WatchRunRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ApproveRunRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DenyRunRequest(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DownloadWeightsRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class DownloadWeightsResponse(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: DownloadHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[DownloadHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class DownloadHeader(_message.Message):
    __slots__ = ("size_bytes", "sha256")
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    sha256: bytes
    def __init__(self, size_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...
