"""Starts a run, of training or of a test: the one call after which something may have been spent though no answer came."""

from __future__ import annotations

import sys

from bastionlab import errors
from bastionlab._methods import Method
from bastionlab._session import Session
from bastionlab.v1 import training_pb2

_LOOK = "look at client.torch.runs() before you start again"


def start(
    session: Session,
    method: Method,
    request: training_pb2.StartTrainingRequest | training_pb2.StartTestRequest,
) -> training_pb2.Run:
    """The run that was started, or an error that says whether it may have been."""
    try:
        run: training_pb2.Run = session.call(method, request)
        return run
    except KeyboardInterrupt:
        sys.stderr.write(f"\nThe run may have been started and charged all the same: {_LOOK}.\n")
        raise
    except errors.BastionLabError as error:
        # Where the server itself refused, it said what was spent; anything else may have come to pass after the charge.
        if not error.charged:
            error.charged = "perhaps the price of this run: the server may have started it"
            error.next = _LOOK
        raise
