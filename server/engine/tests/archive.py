"""TorchScript archives of an nn.Module, made as the client makes them: scripted, or traced on zeros of the schema."""

from __future__ import annotations

import io
from typing import Literal

import torch
from torch import nn

from records import Schema

Form = Literal["script", "trace"]
FORMS: tuple[Form, ...] = ("script", "trace")


def archive(module: nn.Module, schema: Schema, form: Form) -> bytes:
    if form == "script":
        return save(torch.jit.script(module))
    zeros = schema.zeros()
    if schema.named:
        traced = torch.jit.trace(module, example_kwarg_inputs=zeros, check_trace=False, strict=False)
    else:
        traced = torch.jit.trace(module, tuple(zeros.values()), check_trace=False, strict=False)
    return save(traced)


def save(module: torch.jit.ScriptModule) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.getvalue()
