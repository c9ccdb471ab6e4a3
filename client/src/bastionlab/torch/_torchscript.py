"""Turns a module into TorchScript, in the mode in which it will be trained. The module itself is never touched.

Scripting keeps control flow, so it is tried first; tracing takes what scripting cannot read, and is checked on inputs other than
those it was made on.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import re
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bastionlab import errors
from bastionlab.torch._calling import NotScriptable, call_of_scripted, call_of_traced, first_output, parameter_names
from bastionlab.torch._made_inputs import inputs_at_the_top, made_inputs
from bastionlab.torch._own_draws import OutsideDraws, own_draws
from bastionlab.torch._public import PublicFacts
from bastionlab.torch._refused_forms import require_plain
from bastionlab.torch._schema import Schema
from bastionlab.torch._values_read import ValuesRead

# Standard output, warning filters and generators are the process's, and so is what TorchScript's compiler remembers: two threads
# that convert at once would each put back what the other had there. Of one thread, not of one call: conversions nest.
_CONVERTING = threading.RLock()

_VARIANTS = (0, 1)
# Where values were read while it was traced, more is tried: a decision by a sign goes one way on half of all inputs.
_MORE_VARIANTS = (2, 3, 4, 5)
_SEEDS = (0, 1)
_SEEDS_OF_DECISIONS = range(8)
# What torch says where an input's dtype is not the one that a layer computes in.
_OF_DTYPES = re.compile(r"same (d?type|data type)|should be the same|scalar type")
# Far above what a different order of additions does, far below what a lost input does.
_RELATIVE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Conversion:
    """A module in TorchScript."""

    module: torch.jit.ScriptModule
    agrees: bool = True
    """Whether it computed what the author's module computes, on inputs other than those it was made on too."""
    decides: bool = False
    """Whether the author's module takes decisions by values, which a trace loses."""
    frozen: bool = False
    """Whether values were read while it was traced: what was decided by them is fixed now. Some modules read none then."""
    by_chance: bool = False
    """Whether what was read, or drawn outside of torch, changes from one run to the next on the same inputs."""


class Converter:
    """One module and the schema that it will be trained on."""

    def __init__(self, model: torch.nn.Module, schema: Schema, public: PublicFacts) -> None:
        require_plain(model)
        self._model = _own_copy(model)
        self._schema = schema
        self._public = public
        self._names = parameter_names(self._model, schema)
        self._variants = self._made(_VARIANTS)
        self.output_shape = self._require_that_it_runs()
        self._require_that_it_takes_the_highest()

    def _made(self, variants: tuple[int, ...]) -> list[tuple[torch.Tensor, ...]]:
        return [made_inputs(self._schema, self._public, self._names, variant) for variant in variants]

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
        decides = bool(self._reads(0))
        for inputs in self._variants:
            model = self._copy()
            read = ValuesRead((*model.parameters(), *model.buffers()))
            call_of_traced(model, self._names, self._schema.named, read.watch)
            try:
                with _quiet(), own_draws(), read:
                    outside = OutsideDraws()
                    traced = torch.jit.trace(model, inputs, check_trace=False)
                    drawn = outside.any
            except Exception as error:  # the tracer raises of all kinds
                raise no_torchscript(error) from None
            by_chance = drawn or (read.any and self._decides_by_chance())
            agrees = self._agrees(traced, self._variants + (self._made(_MORE_VARIANTS) if read.any else []))
            conversion = Conversion(traced, agrees, decides, frozen=read.any, by_chance=by_chance)
            if agrees:
                break
        return conversion

    def _reads(self, seed: int) -> list[str]:
        """The values that the module turns into Python's own, on which it can then branch; shapes are no values."""
        with ValuesRead() as read:
            self._run(self._copy(), self._variants[0], seed)
        values: list[str] = read.values
        return values

    def _decides_by_chance(self) -> bool:
        return len({tuple(self._reads(seed)) for seed in _SEEDS_OF_DECISIONS}) > 1

    def _agrees(self, traced: Any, variants: list[tuple[torch.Tensor, ...]]) -> bool:
        """Whether module and trace give the same on every variant, drawing the same randomness, whichever it is."""
        return all(self._agrees_on(traced, inputs, seed) for inputs in variants for seed in _SEEDS)

    def _agrees_on(self, traced: Any, inputs: tuple[torch.Tensor, ...], seed: int) -> bool:
        try:
            expected = self._run(self._copy(), inputs, seed)
        except Exception:  # the module does not take this variant: it says nothing about the trace
            return True
        try:
            with _quiet(), own_draws(seed), torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                seen = traced(*inputs)
        except Exception:
            return False
        size = float(expected.abs().max()) if expected.numel() else 0.0
        tolerance = _RELATIVE_TOLERANCE * size
        return seen.shape == expected.shape and torch.allclose(seen, expected, rtol=0, atol=tolerance, equal_nan=True)

    def _require_that_it_runs(self) -> torch.Size:
        """The output's shape for one record."""
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
            return output.shape
        of_dtypes = _OF_DTYPES.search(str(failure)) is not None
        raise errors.IncompatibleModel(
            "",
            "",
            f"forward failed on inputs made from the schema ({self._schema}): {type(failure).__name__}: {failure}",
            next="the dtypes of the inputs are the dataset's: convert in forward, for example x.float(), or x.long() for an index"
            if of_dtypes
            else "the model sees one record as a batch of one, [1, ...]; call it with such tensors to see it fail",
        ) from None

    def _require_that_it_takes_the_highest(self) -> None:
        inputs = inputs_at_the_top(self._schema, self._public, self._names)
        if inputs is None:
            return
        try:
            self._run(self._copy(), inputs)
        except Exception as error:
            ranges = ", ".join(f"{name} to {high:.12g}" for name, (_, high) in self._public.ranges.items())
            raise errors.IncompatibleModel(
                "",
                "",
                f"forward failed on the highest values that the owner published ({ranges}): {type(error).__name__}: {error}",
                next="make room for them: an nn.Embedding needs one row more than the highest index",
            ) from None

    def _run(self, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...], seed: int = 0) -> torch.Tensor:
        with _quiet(), own_draws(seed), torch.no_grad():
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
    """Writes the archive that travels; NotScriptable where what was compiled cannot be written, such as a Tensor that is None."""
    try:
        with _quiet():
            torch.jit.save(module, str(path))
    except RuntimeError as error:
        raise NotScriptable(_first_line(error)) from None


def no_torchscript(error: Exception) -> errors.IncompatibleModel:
    return errors.IncompatibleModel(
        "",
        "",
        f"the model cannot be turned into TorchScript: {_first_line(error)}",
        next="compute with tensors that forward gets, and with parameters and buffers of the module",
    )


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
    """TorchScript's deprecation and what models print or warn of when converted: not for the user. One thread at a time."""
    with (
        _CONVERTING,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
