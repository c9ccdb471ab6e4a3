"""Turns what gRPC raises into this package's errors: the one place where a status becomes an exception.

Invariant: no grpc.RpcError leaves the package; callers write ``raise error_of(e, address) from None``.
"""

from __future__ import annotations

import grpc

from bastionlab import errors
from bastionlab.v1 import error_pb2

DETAIL_KEY = "bastionlab-error-bin"
NANO = 1e9

_RETRY = "try again; if it stays so, look at the server's log"
_KINDS: dict[int, type[errors.BastionLabError]] = {
    error_pb2.ErrorDetail.KIND_INVALID_ARGUMENT: errors.InvalidArgument,
    error_pb2.ErrorDetail.KIND_PERMISSION_DENIED: errors.PermissionDenied,
    error_pb2.ErrorDetail.KIND_NOT_FOUND: errors.NotFound,
    error_pb2.ErrorDetail.KIND_UNAVAILABLE: errors.ServerUnavailable,
    error_pb2.ErrorDetail.KIND_VERSION_MISMATCH: errors.VersionMismatch,
    error_pb2.ErrorDetail.KIND_TRAINING_FAILED: errors.TrainingFailed,
    error_pb2.ErrorDetail.KIND_UNAUTHENTICATED: errors.PermissionDenied,
}


def detail_of(error: grpc.RpcError) -> error_pb2.ErrorDetail | None:
    """What the server said beside the status, if it said anything that can be read."""
    trailing = getattr(error, "trailing_metadata", lambda: None)() or ()
    for key, value in trailing:
        if key == DETAIL_KEY:
            try:
                detail = error_pb2.ErrorDetail()
                detail.ParseFromString(value)
                return detail
            except Exception:  # a detail that cannot be read is no detail: the status decides
                return None
    return None


def has_detail(error: grpc.RpcError) -> bool:
    """Whether the server said why, so that it was reached."""
    detail = detail_of(error)
    return detail is not None and bool(detail.kind)


def is_signed_out(error: grpc.RpcError) -> bool:
    """Whether the token is no longer good: signing in again may help."""
    detail = detail_of(error)
    if detail is not None and detail.kind:
        return detail.kind == error_pb2.ErrorDetail.KIND_UNAUTHENTICATED
    return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)


def error_of(error: grpc.RpcError, address: str) -> errors.BastionLabError:
    """The exception that says the same as a failed call."""
    detail = detail_of(error)
    if detail is None or not detail.kind:
        return _from_status(error, address)
    what, charged, advice = detail.what, detail.spent, detail.next
    if detail.kind == error_pb2.ErrorDetail.KIND_BUDGET_EXCEEDED:
        nanos = detail.budget
        return errors.BudgetExceeded(
            nanos.limit_nano / NANO,
            nanos.spent_nano / NANO,
            nanos.requested_nano / NANO,
            nanos.remaining_nano / NANO,
            what=what,
            charged=charged,
            next=advice,
        )
    if detail.kind == error_pb2.ErrorDetail.KIND_INCOMPATIBLE_MODEL:
        model = detail.model
        return errors.IncompatibleModel(model.operator, model.layer, model.reason, what=what, charged=charged, next=advice)
    if detail.kind == error_pb2.ErrorDetail.KIND_ATTESTATION:
        failed = (
            detail.check if detail.HasField("check") else error_pb2.FailedCheck(check="server", expected="evidence", seen="none")
        )
        return errors.AttestationError(failed.check, failed.expected, failed.seen, what=what, charged=charged, next=advice)
    return _KINDS.get(detail.kind, errors.BastionLabError)(what, charged=charged, next=advice)


def _from_status(error: grpc.RpcError, address: str) -> errors.BastionLabError:
    code = error.code()
    said = error.details() or code.name.lower()
    if code == grpc.StatusCode.UNAVAILABLE:
        return unreachable(address, said)
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.ServerUnavailable(f"the server at {address} did not answer in time", charged="", next=_RETRY)
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return errors.VersionMismatch(
            f"the server at {address} does not know this call", next="install the client of the server's version"
        )
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return errors.PermissionDenied(said)
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return errors.InvalidArgument(said)
    if code == grpc.StatusCode.NOT_FOUND:
        return errors.NotFound(said)
    # What was spent is not known here, so nothing is said of it.
    return errors.BastionLabError(f"the call to {address} failed ({code.name.lower()}): {said}", charged="", next=_RETRY)


class Unreached(errors.ServerUnavailable):
    """Not the server's own word: nobody was there to give one."""


class LinkLost(Unreached):
    """The way to the server broke, and it is not known what of a call arrived."""

    @classmethod
    def of(cls, error: grpc.RpcError, address: str) -> LinkLost:
        said = error.details() or error.code().name.lower()
        return cls(
            f"the connection to the BastionLab server at {address} was lost ({said})",
            charged="",
            next="try again; it connects anew",
        )


class OtherLedger(errors.NotFound):
    """What an upload was made for is gone. Nothing of it was sent to what is there now."""

    def __init__(self, address: object) -> None:
        super().__init__(
            f"the server at {address} was started anew, and has another ledger: what was spent before is not in it",
            next="upload again: then it is looked up what of these records was spent",
        )


def unreachable(address: str, said: str) -> Unreached:
    return Unreached(
        f"no BastionLab server answers at {address} ({said})",
        charged="",
        next="start one with `bastionlab serve`, or check host and port",
    )


def no_server(address: str, what: str) -> errors.ServerUnavailable:
    return errors.ServerUnavailable(
        f"what listens at {address} does not speak {what}, so it is no BastionLab server",
        next="check the port; BastionLab listens on 50056",
    )
