"""Refusals of the fake server: how they travel, and hooks that refuse calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from bastionlab.v1 import error_pb2

Kind = error_pb2.ErrorDetail


def detail(kind: Any, what: str, advice: str = "", spent: str = "nothing", **more: Any) -> error_pb2.ErrorDetail:
    return error_pb2.ErrorDetail(kind=kind, what=what, spent=spent, next=advice, **more)


def abort(context: grpc.ServicerContext, kind: Any, what: str, advice: str = "", **more: Any) -> Exception:
    return abort_with(context, detail(kind, what, advice, **more))


def abort_with(context: grpc.ServicerContext, refusal: error_pb2.ErrorDetail) -> Exception:
    codes = {
        Kind.KIND_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        Kind.KIND_UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
        Kind.KIND_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
        Kind.KIND_INTERNAL: grpc.StatusCode.INTERNAL,
    }
    context.set_trailing_metadata((("bastionlab-error-bin", refusal.SerializeToString()),))
    context.abort(codes.get(refusal.kind, grpc.StatusCode.FAILED_PRECONDITION), refusal.what)
    raise AssertionError("abort does not return")


def refuse(kind: Any, what: str, advice: str = "", **more: Any) -> Callable[[grpc.ServicerContext], None]:
    """For `before`: refuse every such call."""

    def hook(context: grpc.ServicerContext) -> None:
        raise abort(context, kind, what, advice, **more)

    return hook


def once(hook: Callable[[grpc.ServicerContext], None]) -> Callable[[grpc.ServicerContext], None]:
    """For `before`: only the first time."""
    left = [hook]

    def first(context: grpc.ServicerContext) -> None:
        if left:
            left.pop()(context)

    return first
