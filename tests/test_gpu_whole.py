"""Runs on a GPU through the whole product, on machines that have none: the trainer for GPUs is one that computes on the stand-in
device of the engine's tests, whose memory the host cannot touch, and on which a kernel that fails ends the process. Server, sandbox
and client are those of every run."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small
import torch
from server_process import REPLAY_SERVER, REPLAY_TRAINER, SERVER, STANDIN_TRAINER, TRAINER, ServerProcess
from test_survival import start, states, wait_for_state
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import bastionlab
from bastionlab import Connection, Identity, errors
from bastionlab.torch import SGD, Grant, Permissions, RemoteLearner, Run, TorchClient

Connect = Callable[..., Connection]

pytestmark = [
    pytest.mark.filterwarnings("ignore:DEVELOPMENT MODE:UserWarning"),
    pytest.mark.filterwarnings("ignore:the evidence of the server at:UserWarning"),
    pytest.mark.filterwarnings("ignore::bastionlab.errors.PrivacyWarning"),
    pytest.mark.filterwarnings("ignore::bastionlab.errors.BastionLabWarning"),
]

CUDA = {"BASTIONLAB_CUDA": "true"}
PERMITTED = Permissions(everybody=Grant(), gpu=True)
RECORDS = 60


def programs(directory: Path, trainer: Path) -> Path:
    """The trainer, with the one for GPUs beside it, where the server looks for it."""
    directory.mkdir()
    (directory / "bastionlab-trainer-cuda").symlink_to(STANDIN_TRAINER)
    found = directory / "bastionlab-trainer"
    found.symlink_to(trainer)
    return found


@pytest.fixture(scope="module")
def gpu_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One for all: each test brings its own people and its own dataset."""
    place = tmp_path_factory.mktemp("gpu")
    trainer = programs(place / "programs", TRAINER)
    server = ServerProcess(data_dir=place / "data", log_file=place / "log", trainer=trainer, environment=CUDA).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def replaying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One whose runs sample every record and get no noise."""
    place = tmp_path_factory.mktemp("replay")
    trainer = programs(place / "programs", REPLAY_TRAINER)
    without_noise = CUDA | {"BASTIONLAB_REPLAY_NOISE": "0"}
    server = ServerProcess(place / "data", place / "log", program=REPLAY_SERVER, trainer=trainer, environment=without_noise).start()
    yield server
    server.stop()


def learner_for(client: Any, model: nn.Module, dataset: Any, device: str = "cuda", **settings: Any) -> Any:
    settings = {"max_batch_size": 16, "batch_size": RECORDS, "optimizer": SGD(lr=1.0), "progress": False} | settings
    return client.RemoteLearner(model, dataset, loss="cross_entropy", device=device, **settings)


def seen_by(client: Any, dataset: Any) -> Any:
    return next(each for each in client.list_remote_datasets() if each.identifier == dataset.identifier)


def command(*arguments: object) -> str:
    done = subprocess.run([SERVER, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def program_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]


@contextlib.contextmanager
def trainers_of(server: ServerProcess) -> Iterator[set[str]]:
    """The programs of the trainers that the server starts meanwhile for runs and tests."""
    found: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            for pid in server.trainers():
                with contextlib.suppress(OSError):
                    found.add(program_of(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()
        found.discard("")  # one that had just ended


def test_the_server_says_that_it_offers_a_gpu_and_what_that_means(gpu_server: ServerProcess) -> None:
    said = [json.loads(line) for line in gpu_server.log().splitlines()]
    (probed,) = [line for line in said if line["msg"] == "trainer for the GPU probed"]
    assert probed["path"] == f"{gpu_server.trainer}-cuda"
    assert probed["missing"] == next(line["missing"] for line in said if line["msg"] == "trainer probed")
    (warned,) = [line for line in said if line["msg"].startswith("runs may be computed on a GPU")]
    assert warned["level"] == "WARN"


def test_doctor_tells_a_gpu_that_computes_from_a_driver_that_is_not_there(gpu_server: ServerProcess) -> None:
    doctor = [SERVER, "doctor", "--cuda", "--json", "--trainer", gpu_server.trainer]
    done = subprocess.run(doctor, capture_output=True, text=True, check=False)
    found = {each["name"]: each["ok"] for each in json.loads(done.stdout)}
    driver = Path("/proc/driver/nvidia/version").exists()
    assert (found["GPU: trainer"], found["GPU: computes"], found["GPU: driver"]) == (True, True, driver)
    for name in ("sandbox: seccomp", "sandbox: landlock", "denied: open", "denied: execve"):
        assert found[f"GPU {name}"] == found[name], "as confined as the other one"
    assert driver or "GPU: driver" in done.stderr


def test_a_run_on_a_gpu_from_its_plan_to_its_receipt(gpu_server: ServerProcess, connect: Connect, tmp_path: Path) -> None:
    owner, scientist = connect(gpu_server, "owner").client.torch, connect(gpu_server, "scientist").client.torch
    held_out = small.dataset(50, seed=1)
    uploaded = owner.RemoteDataset(
        small.dataset(RECORDS), held_out, privacy_limit=9.0, name="d", permissions=PERMITTED, progress=False
    )
    learner = learner_for(scientist, small.linear(), seen_by(scientist, uploaded), batch_size=20)
    plan = learner.plan(nb_epochs=2, eps=2.0)
    assert (plan.device, plan.seconds) == ("cuda", 0.0)
    assert "device            cuda" in str(plan)
    assert any("GPU's memory, of which this server's evidence says nothing" in warning for warning in plan.warnings)
    with trainers_of(gpu_server) as programs:
        run = learner.fit(nb_epochs=2, eps=2.0)
    assert programs == {"bastionlab-trainer-cuda"}
    assert run.plan.device == "cuda"
    assert [each.epoch for each in run.history] == [1, 2]
    before, after = small.linear().state_dict(), learner.get_model().state_dict()
    assert all(torch.isfinite(after[name]).all() and not torch.equal(after[name], before[name]) for name in before)
    with trainers_of(gpu_server) as programs:
        assert learner.test(eps=1.0).standard_error > 0
    assert programs == {"bastionlab-trainer"}, "tests compute on the CPU"
    assert "device" in command("run", "show", run.id, "--data-dir", gpu_server.data_dir)
    shown = json.loads(command("run", "show", run.id, "--json", "--data-dir", gpu_server.data_dir))
    assert shown["plan"]["device"] == "cuda"
    saved = tmp_path / "receipt.json"
    reserved = run.receipts[0]
    saved.write_text(json.dumps(reserved.to_dict()))
    read = bastionlab.verify_receipt(saved, key=reserved.key)
    assert (read.type, read.device) == ("reserve", "cuda")
    assert "cuda" in command("verify", "receipt", saved, "--key", reserved.key)
    assert "everything holds" in command("ledger", "fsck", "--data-dir", gpu_server.data_dir)


@pytest.mark.parametrize("limit", [6.0, math.inf], ids=["private", "unlimited"])
def test_weights_are_those_of_the_cpu(limit: float, replaying: ServerProcess, connect: Connect) -> None:
    """Where noise is left out and all records are sampled, nothing differs but the order in which they are added."""
    client = connect(replaying).client.torch
    remote = client.RemoteDataset(small.dataset(RECORDS), privacy_limit=limit, name="d", permissions=PERMITTED, progress=False)
    weights = {}
    for device in ("cpu", "cuda"):
        learner = learner_for(client, small.linear(), remote, device)
        with trainers_of(replaying) as programs:
            learner.fit(nb_epochs=3, eps=None if limit == math.inf else 1.0)
        assert programs == {"bastionlab-trainer" + ("-cuda" if device == "cuda" else "")}
        weights[device] = learner.get_model().state_dict()
    for name, before in small.linear().state_dict().items():
        assert torch.allclose(weights["cuda"][name], weights["cpu"][name], rtol=0, atol=1e-6)
        assert not torch.allclose(weights["cuda"][name], before, rtol=0, atol=1e-3), "the comparison must notice"


def test_others_runs_need_the_owners_word(gpu_server: ServerProcess, connect: Connect) -> None:
    owner, scientist = connect(gpu_server, "owner").client.torch, connect(gpu_server, "scientist").client.torch
    without = Permissions(everybody=Grant())
    uploaded = owner.RemoteDataset(small.dataset(RECORDS), privacy_limit=6.0, name="d", permissions=without, progress=False)
    remote = seen_by(scientist, uploaded)
    for attempt in ("plan", "fit"):
        with pytest.raises(errors.PermissionDenied, match="permits no runs on a GPU"):
            getattr(learner_for(scientist, small.linear(), remote), attempt)(nb_epochs=1, eps=1.0)
    assert remote.budget().spent == 0.0
    assert learner_for(scientist, small.linear(), remote, "cpu").plan(nb_epochs=1, eps=1.0).device == "cpu"
    assert learner_for(owner, small.linear(), uploaded).plan(nb_epochs=1, eps=1.0).device == "cuda"


def test_where_people_are_registered_nothing_is_permitted_unless_said(
    new_server: Callable[..., ServerProcess], connect: Connect, tmp_path: Path
) -> None:
    server = new_server(trainer=programs(tmp_path / "programs", TRAINER), environment=CUDA)
    connect(server, "owner").close()
    for role in ("owner", "scientist"):
        try:
            identity = Identity.load(role)
        except errors.BastionLabError:
            identity = Identity.create(role)
        (tmp_path / f"{role}.pub").write_text(identity.public_key.pem)
        command("user", "add", "--role", role, tmp_path / f"{role}.pub", "--data-dir", server.data_dir)
    owner, client = connect(server, "owner").client.torch, connect(server, "scientist").client
    assert client.info.development is False
    scientist = {client.user: Grant()}
    said = {"silent": Permissions(scientist), "permitting": Permissions(scientist, gpu=True)}
    for name, permissions in said.items():
        owner.RemoteDataset(small.dataset(RECORDS), privacy_limit=6.0, name=name, permissions=permissions, progress=False)
    remotes = {each.name: each for each in client.torch.list_remote_datasets()}
    with pytest.raises(errors.PermissionDenied, match="permits no runs on a GPU"):
        learner_for(client.torch, small.linear(), remotes["silent"]).fit(nb_epochs=1, eps=1.0)
    run = learner_for(client.torch, small.linear(), remotes["permitting"]).fit(nb_epochs=1, eps=1.0)
    reserved = run.receipts[0]
    assert (run.status, reserved.device, reserved.development) == ("completed", "cuda", False)


def test_where_no_gpu_is_offered_none_can_be_had(server: ServerProcess, connect: Connect) -> None:
    client = connect(server).client.torch
    remote = client.RemoteDataset(small.dataset(RECORDS), privacy_limit=6.0, name="d", permissions=PERMITTED, progress=False)
    with pytest.raises(errors.InvalidArgument, match="cuda") as refused:
        learner_for(client, small.linear(), remote).fit(nb_epochs=1, eps=1.0)
    assert "--cuda" in refused.value.next
    assert remote.budget().spent == 0.0


class Squared(nn.Module):
    """With an operator that is admitted on the CPU only."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(small.FEATURES, small.CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        outer = x.unsqueeze(2) * x.unsqueeze(1)
        return self.head(torch.linalg.matrix_power(outer, 2).sum(2).tanh())


def test_a_model_that_could_stop_a_gpu_is_refused_before_a_charge(gpu_server: ServerProcess, connect: Connect) -> None:
    client = connect(gpu_server).client.torch
    remote = client.RemoteDataset(small.dataset(RECORDS), privacy_limit=6.0, name="d", progress=False)
    for attempt in ("plan", "fit"):
        with pytest.raises(errors.IncompatibleModel, match="matrix_power") as refused:
            getattr(learner_for(client, Squared(), remote), attempt)(nb_epochs=1, eps=1.0)
        assert "torch.matmul" in refused.value.next
    assert remote.budget().spent == 0.0
    assert learner_for(client, Squared(), remote, "cpu").plan(nb_epochs=1, eps=1.0).device == "cpu"


class Pooled(nn.Module):
    """Its gradient goes through the one operator of the stand-in that has no kernel with a fixed order."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.Linear(small.FEATURES, 64), nn.Linear(8, small.CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.avg_pool3d(self.mix(x).reshape(-1, 1, 4, 4, 4), 2).flatten(1))


def test_an_operator_without_a_fixed_order_is_refused_before_the_data(gpu_server: ServerProcess, connect: Connect) -> None:
    client = connect(gpu_server).client.torch
    remote = client.RemoteDataset(small.dataset(RECORDS), privacy_limit=6.0, name="d", progress=False)
    with pytest.raises(errors.TrainingFailed, match="no kernel there that adds in a fixed order") as refused:
        learner_for(client, Pooled(), remote).fit(nb_epochs=1, eps=1.0)
    assert 'device="cpu"' in str(refused.value)
    (run,) = client.runs()
    assert [each.type for each in run.receipts] == ["reserve", "release"]
    assert remote.budget().spent == 0.0


class Looks(nn.Module):
    """Looks a record's words up in a table of ten."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, small.FEATURES)
        self.head = nn.Linear(small.FEATURES, small.CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.table(words).mean(1))


def ended(client: TorchClient, learner: RemoteLearner, **fit: float) -> Run:
    """The run of `fit` when it is over, or waits for its dataset's owner, as one does whose trainer died twice."""

    def fit_until_the_end() -> None:
        with contextlib.suppress(errors.BastionLabError):
            learner.fit(**fit)  # type: ignore[arg-type]

    threading.Thread(target=fit_until_the_end, daemon=True).start()
    deadline = time.monotonic() + 60
    while not (over := [run for run in client.runs() if run.status not in ("queued", "running")]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return over[0]


def test_a_record_out_of_range_ends_no_run(gpu_server: ServerProcess, connect: Connect) -> None:
    words, labels = torch.arange(RECORDS * 4).reshape(RECORDS, 4) % 10, torch.arange(RECORDS) % small.CLASSES
    words[7, 2] = 1000
    client = connect(gpu_server).client.torch
    remote = client.RemoteDataset(TensorDataset(words, labels), privacy_limit=6.0, name="d", progress=False)
    learner = learner_for(client, Looks(), remote)
    assert learner.plan(nb_epochs=2, eps=1.0).sample_rate == 1.0, "every step has every record"
    run = ended(client, learner, nb_epochs=2, eps=1.0)
    assert (run.status, run.interruptions) == ("completed", 0)


def test_a_killed_trainers_run_goes_on_on_its_device(gpu_server: ServerProcess, connect: Connect) -> None:
    client = connect(gpu_server).client.torch
    remote = client.RemoteDataset(small.dataset(64), privacy_limit=6.0, name="d", progress=False)
    known = len(states(gpu_server))
    learner = learner_for(client, small.Slow(width=120), remote, max_batch_size=8, batch_size=8, optimizer=SGD(lr=0.1))
    run_id = start(client, learner, gpu_server, nb_epochs=2, eps=2.0)
    wait_for_state(gpu_server, known)
    (first,) = gpu_server.trainers()
    assert program_of(first) == "bastionlab-trainer-cuda"
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not (second := [pid for pid in gpu_server.trainers() if pid != first]):
        assert time.monotonic() < deadline, f"no second attempt:\n{gpu_server.log()}"
        time.sleep(0.02)
    assert program_of(second[0]) == "bastionlab-trainer-cuda"
    run = client.run(run_id).wait(progress=False)
    assert (run.status, run.interruptions, run.plan.device) == ("completed", 1, "cuda")
    assert [each.epoch for each in run.history] == [1, 2]
    assert remote.budget().spent == 2.0
