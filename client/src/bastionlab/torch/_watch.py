"""Follows a run to its end, across dropped connections, with one progress bar per epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from bastionlab import errors
from bastionlab._progress import steps_bar
from bastionlab._session import Session
from bastionlab.torch._measured import with_error
from bastionlab.torch._plan import epoch_ends
from bastionlab.v1 import training_pb2

ENDED = (training_pb2.RUN_STATUS_COMPLETED, training_pb2.RUN_STATUS_FAILED, training_pb2.RUN_STATUS_CANCELLED)

_STANDS_STILL = {training_pb2.RUN_STATUS_QUEUED: "queued", training_pb2.RUN_STATUS_WAITING: "waits for the dataset's owner"}

# How long a server may be away before the watcher gives up; the run itself does not depend on the watcher.
PATIENCE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 4.0


def follow(session: Session, run: training_pb2.Run, progress: bool) -> training_pb2.Run:
    """Watches until the run has ended; the run as it then is."""
    try:
        with EpochBars(run.plan, progress) as bars:
            bars.show(run)
            told = _tell_who_decides(run, False)
            for latest in changes(session, run):
                run = latest
                bars.show(run)
                told = _tell_who_decides(run, told)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nThe run goes on without you. {_find_again(run.id)}\n")
        raise
    return run


def changes(session: Session, run: training_pb2.Run) -> Iterator[training_pb2.Run]:
    """The run at every change until it has ended, however often the stream is cut."""
    lost_since = 0.0
    pause = _FIRST_PAUSE_SECONDS
    while run.status not in ENDED:
        try:
            for latest in session.watch(session.training.WatchRun, training_pb2.WatchRunRequest(id=run.id)):
                lost_since, pause, run = 0.0, _FIRST_PAUSE_SECONDS, latest
                yield run
        except errors.ServerUnavailable as error:
            now = time.monotonic()
            lost_since = lost_since or now
            if now - lost_since > PATIENCE_SECONDS:
                raise errors.ServerUnavailable(
                    f"lost sight of the run {run.id}: {error.what}", charged="see the run", next=_find_again(run.id)
                ) from None
        if run.status not in ENDED:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class EpochBars:
    """One bar per epoch, with its loss and the loss's standard error once it has ended; for a test, one."""

    def __init__(self, plan: training_pb2.Plan, progress: bool) -> None:
        self._ends = epoch_ends(plan)
        self._is_test = bool(plan.metric)
        self._progress = progress
        self._epoch = 0  # of the open bar, counted from 0
        self._bar: Any = None

    def __enter__(self) -> EpochBars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def show(self, run: training_pb2.Run) -> None:
        losses = {each.epoch: with_error(each.loss, each.standard_error) for each in run.history.epochs}
        done = self._ends[-1] if run.status == training_pb2.RUN_STATUS_COMPLETED else run.steps_done
        while True:
            begin = self._ends[self._epoch - 1] if self._epoch else 0
            end = self._ends[self._epoch]
            if self._bar is None:
                name = "Test" if self._is_test else f"Epoch {self._epoch + 1}/{len(self._ends)} - train"
                self._bar = steps_bar(name, end - begin, self._progress)
            self._bar.update(max(0, min(done, end) - begin - self._bar.n))
            loss = losses.get(self._epoch + 1)
            self._bar.set_postfix_str(_STANDS_STILL.get(run.status, f"loss {loss}" if loss else ""))
            if done < end or self._epoch + 1 == len(self._ends):
                return
            self._bar.close()
            self._bar = None
            self._epoch += 1


def _tell_who_decides(run: training_pb2.Run, told: bool) -> bool:
    """Says once, each time a run begins to wait, who must do what for it to go on."""
    if run.status != training_pb2.RUN_STATUS_WAITING:
        return False
    if not told:
        whose = "you, the owner of its dataset," if run.decides else "the owner of its dataset"
        sys.stderr.write(
            f"\nThe run {run.id} was interrupted and waits: {whose} must decide whether it may try once more, with "
            f'client.torch.run("{run.id}").approve() or .deny(reason). It stays charged either way; its author may .cancel() it.\n'
        )
    return True


def _find_again(run: str) -> str:
    return f'find it again with client.torch.run("{run}"): .wait() follows it, .cancel() stops it'
