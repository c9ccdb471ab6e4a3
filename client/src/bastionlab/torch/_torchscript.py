"""Turns a module into TorchScript, in the mode in which it will be trained. The module itself is never touched.

Scripting keeps control flow, so it is tried first; tracing takes what scripting cannot read, and is checked on inputs other than
those it was made on.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bastionlab import errors
from bastionlab.torch._batch_statistics import require_no_batch_statistics
from bastionlab.torch._calling import NotScriptable, call_of_scripted, call_of_traced, first_output, parameter_names
from bastionlab.torch._made_inputs import made_inputs
from bastionlab.torch._public import PublicFacts
from bastionlab.torch._schema import Schema
from bastionlab.torch._values_read import ValuesRead

_VARIANTS = (0, 1)
# Far above what a different order of additions does, far below what a lost input does.
_RELATIVE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Conversion:
    """A module in TorchScript."""

    module: torch.jit.ScriptModule
    agrees: bool = True
    """Whether it computed what the author's module computes, on inputs other than those it was made on too."""
    decides: bool = False
    """Whether it lost decisions that the author's module takes by values."""


class Converter:
    """One module and the schema that it will be trained on."""

    def __init__(self, model: torch.nn.Module, schema: Schema, public: PublicFacts) -> None:
        self._model = _own_copy(model)
        self._schema = schema
        require_no_batch_statistics(self._model)
        self._names = parameter_names(self._model, schema)
        self._variants = [made_inputs(schema, public, self._names, variant) for variant in _VARIANTS]
        self._require_that_it_runs()

    def script(self) -> Conversion:
        """Raises NotScriptable where the compiler does not read it."""
        if isinstance(self._model, torch.jit.ScriptModule):
            return self._already()
        kinds = {parameter.kind for parameter in inspect.signature(self._model.forward).parameters.values()}
        if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            raise NotScriptable("its forward takes any number of arguments")
        with _quiet():
            try:
                # Once as it is, to learn what it returns; then with a forward that returns one tensor.
                returned = torch.jit.script(self._copy()).forward.schema.returns[0].type
                model = self._copy()
                call_of_scripted(model, self._names, self._schema.named, _output_access(returned))
                return Conversion(torch.jit.script(model))
            except NotScriptable:
                raise
            except Exception as error:  # the compiler raises of all kinds
                raise NotScriptable(_first_line(error)) from None

    def _already(self) -> Conversion:
        forward: Any = self._model.forward
        if _output_access(forward.schema.returns[0].type):
            raise errors.IncompatibleModel(
                "", "", "a module that is TorchScript already must return one tensor", next="give the module that it was made from"
            )
        return Conversion(self._copy())

    def trace(self) -> Conversion:
        """Follows the module once, on inputs made from the schema."""
        decides = self._decides()
        for inputs in self._variants:
            model = self._copy()
            call_of_traced(model, self._names, self._schema.named)
            try:
                with _quiet(), _own_randomness():
                    traced = torch.jit.trace(model, inputs, check_trace=False)
            except Exception as error:  # the tracer raises of all kinds
                raise errors.IncompatibleModel(
                    "",
                    "",
                    f"the model cannot be turned into TorchScript: {_first_line(error)}",
                    next="compute with tensors that forward gets, and with parameters and buffers of the module",
                ) from None
            if self._agrees(traced):
                return Conversion(traced, decides=decides)
        return Conversion(traced, agrees=False, decides=decides)

    def _decides(self) -> bool:
        """Whether the module turns values into Python's own, on which it can then branch; shapes are no values."""
        with ValuesRead() as seen:
            self._run(self._copy(), self._variants[0])
        return bool(seen.any)

    def _agrees(self, traced: Any) -> bool:
        """Whether module and trace give the same on every variant, drawing the same randomness."""
        for inputs in self._variants:
            try:
                expected = self._run(self._copy(), inputs)
            except Exception:  # the module does not take this variant: it says nothing about the trace
                continue
            try:
                with _quiet(), _own_randomness(), torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                    seen = traced(*inputs)
            except Exception:
                return False
            size = float(expected.abs().max()) if expected.numel() else 0.0
            if seen.shape != expected.shape or not torch.allclose(
                seen, expected, rtol=0, atol=_RELATIVE_TOLERANCE * size, equal_nan=True
            ):
                return False
        return True

    def _require_that_it_runs(self) -> None:
        failure: Exception | None = None
        for inputs in self._variants:
            try:
                output = self._run(self._copy(), inputs)
            except errors.BastionLabError:
                raise
            except Exception as error:
                failure = failure or error
                continue
            if output.dim() == 0 or output.shape[0] != 1:
                raise errors.IncompatibleModel(
                    "",
                    "",
                    f"the output for one record has the shape {list(output.shape)}, not [1, ...]",
                    next="let forward keep the batch dimension; the model sees one record as a batch of one",
                )
            return
        raise errors.IncompatibleModel(
            "",
            "",
            f"forward failed on inputs made from the schema ({self._schema}): {type(failure).__name__}: {failure}",
            next="the model sees one record as a batch of one, [1, ...]; call it with such tensors to see it fail",
        ) from None

    def _run(self, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        with _quiet(), _own_randomness(), torch.no_grad():
            named = {spec.name: tensor for spec, tensor in zip(self._schema.inputs, inputs, strict=True)}
            return first_output(model(**named) if self._schema.named else model(*inputs)).detach()

    def _copy(self) -> Any:
        """One more of our own, to be changed or run. The parameters, which may be large, are shared among all of them."""
        shared = {id(parameter): parameter for parameter in self._model.parameters()}
        with _quiet():
            return copy.deepcopy(self._model, shared)


def _own_copy(model: torch.nn.Module) -> Any:
    """A copy of the author's module, on the CPU and in training mode."""
    try:
        with _quiet():
            own = copy.deepcopy(model).cpu()
    except Exception as error:
        raise errors.InvalidArgument(
            f"the model cannot be copied: {_first_line(error)}",
            next="make copy.deepcopy(model) work: no tensors that were computed",
        ) from None
    # A module in evaluation mode, as from_pretrained gives it, is put into training mode whole. One that is in training mode is
    # taken as it is, so that single layers can be frozen: model.train(), then model.norm.eval().
    return own if own.training else own.train()


def save(module: torch.jit.ScriptModule, path: Path) -> None:
    """Writes the archive that travels."""
    with _quiet():
        torch.jit.save(module, str(path))


def _output_access(returned: Any) -> str:
    """What to write behind a call to get the output, by the type that TorchScript found."""
    kind = returned.kind()
    if kind == "TensorType":
        return ""
    if kind == "DictType" and str(returned) == "Dict[str, Tensor]":
        # Which keys there are is only known when it runs.
        raise NotScriptable("it returns a dict")
    if kind == "TupleType":
        elements = returned.elements()
        fields = _field_names(returned)
        if "logits" in fields and elements[fields.index("logits")].kind() == "TensorType":
            return ".logits"
        for position, element in enumerate(elements):
            if element.kind() == "TensorType":
                return f"[{position}]"
    raise NotScriptable(f"it returns {returned}")


def _field_names(returned: Any) -> list[str]:
    """Of a NamedTuple: its text is ``NamedTuple(name : type, ...)``."""
    text = returned.str()
    if not text.startswith("NamedTuple("):
        return []
    return [part.split(":")[0].strip() for part in text.removeprefix("NamedTuple(").rstrip(")").split(",")]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TorchScript's deprecation and what models print or warn of when converted: not for the user."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _own_randomness() -> Iterator[None]:
    """The same draws each time, and none taken from the user's generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
