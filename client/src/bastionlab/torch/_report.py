"""What the server understood of a model, before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass

from bastionlab._table import table
from bastionlab.torch._schema import TensorSpec, dtype_of
from bastionlab.v1 import model_pb2


@dataclass(frozen=True)
class Parameter:
    """One parameter, and how its gradient is measured for each record."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    trainable: bool
    measurement: str


@dataclass(frozen=True)
class CapabilityReport:
    """The model can be trained privately; this says with what."""

    model: str
    """The identifier of the uploaded model."""
    operators: dict[str, int]
    """How often each is used."""
    one_record_at_a_time: dict[str, int]
    """Of these, how many run one record after the other, which takes longer: random ones, and a few others."""
    parameters: tuple[Parameter, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    """For one record, with its batch dimension of one."""
    program_sha256: str

    @classmethod
    def from_message(cls, message: model_pb2.UploadModelResponse) -> CapabilityReport:
        report = message.report
        return cls(
            model=message.model_id,
            operators={use.name: use.count for use in report.operators},
            one_record_at_a_time={use.name: use.one_record_at_a_time for use in report.operators if use.one_record_at_a_time},
            parameters=tuple(_parameter(each) for each in report.parameters),
            inputs=tuple(TensorSpec.from_message(spec) for spec in report.inputs),
            outputs=tuple(TensorSpec.from_message(spec) for spec in report.outputs),
            program_sha256=report.program_sha256.hex(),
        )

    def __str__(self) -> str:
        trainable = [each for each in self.parameters if each.trainable]
        rows = [
            (each.name, f"{each.dtype}{list(each.shape)}", each.measurement if each.trainable else "frozen")
            for each in self.parameters
        ]
        return "\n".join(
            [
                f"{', '.join(map(str, self.inputs))} -> {', '.join(map(str, self.outputs))}",
                f"{len(trainable)} of {len(self.parameters)} parameters are trained",
                table(("parameter", "form", "measured by"), rows),
                table(("operator", "uses"), [(name, self._uses(name)) for name in sorted(self.operators)]),
            ]
        )

    def _uses(self, operator: str) -> str:
        alone = self.one_record_at_a_time.get(operator)
        return f"{self.operators[operator]}, {alone} one record at a time" if alone else f"{self.operators[operator]}"


def _parameter(message: model_pb2.ParameterReport) -> Parameter:
    dtype = str(dtype_of(message.dtype)).removeprefix("torch.")
    return Parameter(message.name, dtype, tuple(message.shape), message.trainable, message.measurement)
