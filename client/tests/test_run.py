"""A run lives on the server: it is watched, left, found again, cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from fake_refusals import Kind, once, refuse
from fake_server import FakeServer
from torch import nn

from bastionlab import Connection, errors
from bastionlab.torch import RemoteDataset, RemoteLearner, Run, TorchClient
from bastionlab.torch import _watch as watch_module
from bastionlab.torch._plan import epoch_ends
from bastionlab.v1 import training_pb2


@pytest.fixture
def learner(client: TorchClient, dataset: RemoteDataset) -> RemoteLearner:
    return client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, model_name="linear")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_FIRST_PAUSE_SECONDS", 0.01)


def test_one_bar_per_epoch(learner: RemoteLearner, capsys: pytest.CaptureFixture[str]) -> None:
    learner.fit(nb_epochs=3, eps=1.0)
    said = capsys.readouterr().err
    for epoch in (1, 2, 3):
        assert f"Epoch {epoch}/3 - train: 100%" in said
        assert "10/10" in said


@pytest.mark.parametrize(
    ("declared", "batch", "epochs", "ends"),
    [
        (100, 10, 2, [10, 20]),
        (100, 30, 3, [4, 7, 10]),
        (4459, 45, 2, [100, 199]),
        (100, 100, 2, [1, 2]),
        (100, 10, 2.5, [10, 20, 25]),
        (100, 10, 0.25, [3]),
        (3, 1, 1, [3]),
    ],
)
def test_where_epochs_end(declared: int, batch: int, epochs: float, ends: list[int]) -> None:
    plan = training_pb2.Plan(nb_epochs=epochs, batch_size=batch, sample_rate=batch / declared, steps=ends[-1])
    assert epoch_ends(plan) == ends


def test_a_run_is_found_again(client: TorchClient, learner: RemoteLearner, server: FakeServer) -> None:
    first, second = learner.fit(1, 1.0), learner.fit(1, 1.0)
    assert [run.id for run in client.runs()] == [second.id, first.id]
    found = client.run(first.id)
    assert (found.status, found.name, found.dataset, found.plan) == ("completed", "linear", first.dataset, first.plan)
    assert set(found.get_model()) == {"weight", "bias"}
    with pytest.raises(errors.NotFound, match="no such run"):
        client.run("0" * 32)


def cut(code: grpc.StatusCode) -> Callable[[Any, Any, Any], Iterator[Any]]:
    """WatchRun as it is, but every stream is cut after two messages."""
    from fake_training import Training

    original = Training.WatchRun

    def watch(self: Any, request: Any, context: Any) -> Iterator[Any]:
        for number, run in enumerate(original(self, request, context)):
            if number == 2:
                if code is not grpc.StatusCode.OK:
                    context.abort(code, "the way was cut")
                return
            yield run

    return watch


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK])
def test_a_stream_that_is_cut_is_joined_again(
    code: grpc.StatusCode, server: FakeServer, learner: RemoteLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fake_training.Training.WatchRun", cut(code))
    server.restart()
    assert learner.fit(1, 1.0).status == "completed"
    assert server.calls.count("WatchRun") > 2


def test_a_server_that_restarts_under_a_watcher(server: FakeServer, learner: RemoteLearner) -> None:
    server.hold_runs = True

    def restart() -> None:
        while "WatchRun" not in server.calls:
            time.sleep(0.01)
        server.restart()
        server.release_runs()

    thread = threading.Thread(target=restart)
    thread.start()
    assert learner.fit(1, 1.0).status == "completed"
    thread.join()
    assert server.calls.count("WatchRun") >= 2


def test_a_server_that_stays_away(server: FakeServer, learner: RemoteLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "PATIENCE_SECONDS", 0.05)
    server.before["WatchRun"] = refuse(Kind.KIND_UNAVAILABLE, "the server stops")
    with pytest.raises(errors.ServerUnavailable, match="lost sight of the run") as refused:
        learner.fit(1, 1.0)
    (run,) = server.runs
    assert f'client.torch.run("{run}")' in refused.value.next


def test_another_error_ends_the_watch_at_once(server: FakeServer, learner: RemoteLearner) -> None:
    server.before["WatchRun"] = refuse(Kind.KIND_PERMISSION_DENIED, "not yours")
    with pytest.raises(errors.PermissionDenied):
        learner.fit(1, 1.0)
    assert server.calls.count("WatchRun") == 1


def test_ctrl_c_leaves_the_run_running_and_says_how_to_find_it(
    server: FakeServer,
    learner: RemoteLearner,
    client: TorchClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original = watch_module.EpochBars.show

    def interrupted(self: Any, run: Any) -> None:
        original(self, run)
        if run.steps_done:
            raise KeyboardInterrupt

    server.hold_runs = True
    with monkeypatch.context() as patch:
        patch.setattr(watch_module.EpochBars, "show", interrupted)
        with pytest.raises(KeyboardInterrupt):
            learner.fit(1, 1.0)
    (run_id,) = server.runs
    assert f'client.torch.run("{run_id}")' in capsys.readouterr().err
    assert "CancelRun" not in server.calls
    run = client.run(run_id)
    assert run.status == "running"
    with pytest.raises(errors.InvalidArgument, match="is running: it has no weights yet"):
        run.get_model()
    server.release_runs()
    assert run.wait(progress=False) is run
    assert set(run.get_model(progress=False)) == {"weight", "bias"}


def interrupted_fit(learner: RemoteLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Any, run: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(watch_module.EpochBars, "show", interrupt)
        with pytest.raises(KeyboardInterrupt):
            learner.fit(1, 1.0)


def test_after_ctrl_c_the_learner_goes_on_from_the_run_that_was_paid(
    server: FakeServer, learner: RemoteLearner, client: TorchClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.hold_runs = True
    interrupted_fit(learner, monkeypatch)
    (run_id,) = server.runs
    for attempt in (lambda: learner.fit(1, 1.0), lambda: learner.fit(1, 1.0, restart=True), learner.get_model):
        with pytest.raises(errors.InvalidArgument, match=f"the run {run_id} that this learner started is queued") as refused:
            attempt()
        assert "wait()" in refused.value.next
        assert "cancel()" in refused.value.next
    assert list(server.runs) == [run_id], "nothing is paid twice"
    server.release_runs()
    client.run(run_id).wait(progress=False)
    assert learner.get_model() is learner.model
    assert server.requests[learner.fit(1, 1.0).id].continue_run_id == run_id


def test_after_ctrl_c_and_a_cancel_the_learner_goes_on_from_the_run_before(
    server: FakeServer, learner: RemoteLearner, client: TorchClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = learner.fit(1, 1.0)
    server.hold_runs = True
    interrupted_fit(learner, monkeypatch)
    client.runs()[0].cancel()
    server.hold_runs = False
    assert server.requests[learner.fit(1, 1.0).id].continue_run_id == first.id


def test_after_a_lost_connection_the_learner_knows_its_run(
    server: FakeServer, learner: RemoteLearner, client: TorchClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(watch_module, "PATIENCE_SECONDS", 0.05)
        server.before["WatchRun"] = refuse(Kind.KIND_UNAVAILABLE, "the server stops")
        with pytest.raises(errors.ServerUnavailable, match="lost sight of the run"):
            learner.fit(1, 1.0)
    del server.before["WatchRun"]
    (run_id,) = server.runs
    client.run(run_id).wait(progress=False)
    assert server.requests[learner.fit(1, 1.0).id].continue_run_id == run_id


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL])
def test_a_start_without_an_answer_may_have_been_charged(
    code: grpc.StatusCode, server: FakeServer, learner: RemoteLearner, client: TorchClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fake_training import Training

    original = Training.StartTraining

    def start(self: Any, request: Any, context: Any) -> Any:
        original(self, request, context)
        context.abort(code, "the way was cut")

    monkeypatch.setattr(Training, "StartTraining", start)
    server.restart()
    with pytest.raises(errors.BastionLabError) as refused:
        learner.fit(1, 1.0)
    assert refused.value.charged.startswith("perhaps the price of this run")
    assert refused.value.next == "look at client.torch.runs() before you start again"
    assert len(client.runs()) == 1, "and there it is"


def test_a_refusal_of_the_server_says_itself_what_was_spent(server: FakeServer, learner: RemoteLearner) -> None:
    server.before["StartTraining"] = refuse(Kind.KIND_UNAVAILABLE, "the server stops", "come back later")
    with pytest.raises(errors.ServerUnavailable) as refused:
        learner.fit(1, 1.0)
    assert (refused.value.charged, refused.value.next) == ("nothing", "come back later")


def test_ctrl_c_while_a_run_is_started_says_where_to_look(
    learner: RemoteLearner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learner.check()
    original = type(learner._session).call

    def call(self: Any, method: Any, request: Any, *more: Any) -> Any:
        if isinstance(request, training_pb2.StartTrainingRequest):
            raise KeyboardInterrupt
        return original(self, method, request, *more)

    monkeypatch.setattr(type(learner._session), "call", call)
    with pytest.raises(KeyboardInterrupt):
        learner.fit(1, 1.0)
    assert "may have been started and charged all the same: look at client.torch.runs()" in capsys.readouterr().err


def held_run(server: FakeServer, learner: RemoteLearner, client: TorchClient) -> tuple[threading.Thread, Run, list[BaseException]]:
    """fit in a thread, held at its end."""
    server.hold_runs = True
    raised: list[BaseException] = []

    def fit() -> None:
        try:
            learner.fit(1, 1.0)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=fit)
    thread.start()
    while not server.runs or not next(iter(server.runs.values())).steps_done:
        time.sleep(0.01)
    return thread, client.runs()[0], raised


def test_cancel(server: FakeServer, learner: RemoteLearner, client: TorchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    thread, run, raised = held_run(server, learner, client)
    assert run.status == "running"
    run.cancel()
    assert run.status == "cancelled"
    with pytest.raises(errors.TrainingFailed, match="was cancelled") as refused:
        run.get_model()
    assert refused.value.charged == "eps 1 of the dataset's limit"
    monkeypatch.setattr("fake_server.FakeServer.wait_for_release", lambda self, context: None)
    server.restart()  # cuts the watcher's stream, which then sees the end
    thread.join(20)
    assert [type(error) for error in raised] == [errors.TrainingFailed]


def test_a_failed_run_says_why_and_what_it_cost(
    server: FakeServer, learner: RemoteLearner, client: TorchClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watch(self: Any, request: Any, context: Any) -> Iterator[Any]:
        run = self._s.runs[request.id]
        run.status = training_pb2.RUN_STATUS_FAILED
        run.failure = "training failed"
        run.spent = "eps 1, because the trainer had the data"
        yield run

    monkeypatch.setattr("fake_training.Training.WatchRun", watch)
    server.restart()
    with pytest.raises(errors.TrainingFailed, match="failed: training failed") as refused:
        learner.fit(1, 1.0)
    assert refused.value.charged == "eps 1, because the trainer had the data"
    with pytest.raises(errors.InvalidArgument, match="nothing was trained yet"):
        learner.get_model()
    (run,) = client.runs()
    with pytest.raises(errors.TrainingFailed):
        run.wait()


def test_a_failed_run_is_not_gone_on_from(server: FakeServer, learner: RemoteLearner) -> None:
    good = learner.fit(1, 1.0)
    server.before["StartTraining"] = once(refuse(Kind.KIND_TRAINING_FAILED, "out of memory"))
    with pytest.raises(errors.TrainingFailed):
        learner.fit(1, 1.0)
    assert server.requests[learner.fit(1, 1.0).id].continue_run_id == good.id


def test_an_ended_run_is_not_asked_for_again(learner: RemoteLearner, server: FakeServer) -> None:
    run = learner.fit(1, 1.0)
    calls = len(server.calls)
    assert run.status == "completed"
    assert run.wait() is run
    assert len(server.calls) == calls
    assert repr(run) == f"Run({run.id}, completed)"


def test_watching_from_two_connections(server: FakeServer, learner: RemoteLearner, client: TorchClient) -> None:
    thread, run, raised = held_run(server, learner, client)
    with Connection("localhost", server.port) as other:
        threading.Timer(0.05, server.release_runs).start()
        assert other.client.torch.run(run.id).wait(progress=False).status == "completed"
    thread.join(20)
    assert raised == []
