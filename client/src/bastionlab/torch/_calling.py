"""How a module is called with a dataset's inputs, and what counts as its output.

A module is given a forward of ours *on its own class*, not inside a wrapper, so that parameters and layers keep the names that
their author gave them - in the archive, in a refusal and in the weights that come back.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import keyword
import linecache
import types
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bastionlab import errors
from bastionlab.torch._schema import Schema

_AUTHORS_FORWARD = "_authors_forward"
_SOURCE_FILE = "<bastionlab forward>"


class NotScriptable(Exception):
    """TorchScript's compiler does not read this module."""


def is_parameter_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and name != "self"


def parameter_names(model: torch.nn.Module, schema: Schema) -> list[str]:
    """The names under which forward takes the dataset's inputs, in the schema's order."""
    names = [spec.name for spec in schema.inputs]
    signature = _signature(model)
    # SECURITY: the names come from the server and end in source that is compiled here.
    if not all(is_parameter_name(name) for name in names):
        raise errors.InvalidArgument(
            "the dataset's inputs have names that no parameter can have", next="ask its owner to rename them"
        )
    try:
        if schema.named:
            signature.bind(**dict.fromkeys(names))
            return names
        bound = signature.bind(*names)
    except TypeError as error:
        raise errors.InvalidArgument(
            f"the model's forward{signature} does not take the dataset's inputs {', '.join(names)}: {error}",
            next="wrap the model in a module whose forward takes them " + ("by these names" if schema.named else "in this order"),
        ) from None
    by_input = {value: name for name, value in bound.arguments.items() if isinstance(value, str)}
    return [by_input.get(name, name) for name in names]


def _signature(model: Any) -> inspect.Signature:
    if not isinstance(model, torch.jit.ScriptModule):
        return inspect.signature(model.forward)
    # inspect knows nothing of a method that is TorchScript.
    forward: Any = model.forward
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature(
        [
            inspect.Parameter(
                argument.name, kind, default=argument.default_value if argument.has_default_value() else inspect.Parameter.empty
            )
            for argument in forward.schema.arguments[1:]
        ]
    )


def first_output(output: Any) -> torch.Tensor:
    """What is trained on: the tensor, else the field ``logits``, else the first tensor."""
    if isinstance(output, torch.Tensor):
        return output
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(logits, torch.Tensor):
        return logits
    for value in _children(output):
        try:
            return first_output(value)
        except errors.IncompatibleModel:
            continue
    raise errors.IncompatibleModel(
        "",
        "",
        f"the model returns a {type(output).__name__} without a tensor",
        next="let forward return a tensor, or a field `logits`",
    )


def call_of_traced(model: torch.nn.Module, names: list[str], named: bool, seen: Callable[[tuple[torch.Tensor, ...]], None]) -> None:
    """Gives the module a forward that takes the inputs as positional tensors and returns one tensor.

    :param seen: is told the inputs of each call: a tracer gives others than it was given
    """
    # A forward that was put on the instance hides that of the class.
    authors = model.__dict__.pop("forward", None) or functools.partial(type(model).forward, model)

    def forward(self: Any, *tensors: torch.Tensor) -> torch.Tensor:
        seen(tensors)
        return first_output(authors(**dict(zip(names, tensors, strict=True))) if named else authors(*tensors))

    # The archive's forward gets the inputs' names from here.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    forward.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in ("self", *names)])  # type: ignore[attr-defined]
    _adopt(model, {"forward": forward})


def call_of_scripted(model: torch.nn.Module, names: list[str], named: bool, output: str) -> None:
    """The same for TorchScript's compiler, which reads source: ``output`` is what follows the call, for example ``[0]``."""
    arguments = ", ".join(f"{name}={name}" for name in names) if named else ", ".join(names)
    source = f"def forward(self, {', '.join(names)}):\n    return self.{_AUTHORS_FORWARD}({arguments}){output}\n"
    authors: Any = type(model).forward
    if "forward" in model.__dict__ or not isinstance(authors, types.FunctionType):
        raise NotScriptable("its forward is no plain method")
    # TorchScript calls a method by its function's name, and two cannot be called forward.
    renamed = types.FunctionType(authors.__code__, authors.__globals__, _AUTHORS_FORWARD, authors.__defaults__, authors.__closure__)
    renamed.__kwdefaults__ = authors.__kwdefaults__
    renamed.__annotations__ = authors.__annotations__
    _adopt(model, {"forward": _compiled(source), _AUTHORS_FORWARD: renamed})


def _adopt(model: torch.nn.Module, methods: dict[str, Any]) -> None:
    own = type(model)
    model.__class__ = type(own.__name__, (own,), {**methods, "__module__": own.__module__, "__qualname__": own.__qualname__})


def _compiled(source: str) -> Callable[..., Any]:
    scope: dict[str, Any] = {}
    # TorchScript asks inspect for the source, and inspect asks linecache.
    linecache.cache[_SOURCE_FILE] = (len(source), None, source.splitlines(keepends=True), _SOURCE_FILE)
    exec(compile(source, _SOURCE_FILE, "exec"), scope)  # SECURITY: names were checked by parameter_names
    forward: Callable[..., Any] = scope["forward"]
    return forward


def _children(output: Any) -> list[Any]:
    if isinstance(output, Mapping):
        return list(output.values())
    if isinstance(output, (list, tuple)):
        return list(output)
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return [getattr(output, field.name) for field in dataclasses.fields(output)]
    return []
