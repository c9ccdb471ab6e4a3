"""The attested channel between the client and the real server, with somebody in between."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from server_process import ROOT, SERVER, ServerProcess
from torch.utils.data import Dataset

from bastionlab import Connection, Identity, errors
from bastionlab._attestation import load

sys.path.insert(0, str(ROOT / "client" / "tests"))
from middlemen import Middleman, Switch

NewServer = Callable[..., ServerProcess]
BINDINGS = ("exporter", "key")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "home"))


def evidence_of(server: ServerProcess, file: Path) -> Any:
    with Connection("localhost", server.port) as connection:
        connection.client.save_evidence(file)
    return load(file)[0]


def policy_for(server: ServerProcess, directory: Path, binding: str = "exporter") -> dict[str, Any]:
    """Takes this start of this server only: its simulated device has a root of its own."""
    evidence = evidence_of(server, directory / "evidence.json")
    root = x509.load_der_x509_certificate(evidence.endorsements[2])
    key = root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {
        "platforms": ["simulated"],
        "measurements": None,
        "chip_ids": None,
        "config_digests": None,
        "storage_levels": ["file"],
        "development": True,
        "roots": [hashlib.sha256(key).hexdigest()],
        "binding": binding,
    }


def calls(server: ServerProcess) -> list[str]:
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line["method"].rsplit("/", 1)[1] for line in lines if line.get("msg") == "call"]


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_middleman_is_noticed_before_anything_is_said(server: ServerProcess, tmp_path: Path, binding: str) -> None:
    policy = policy_for(server, tmp_path, binding)
    before = len(calls(server))
    with Middleman(server.port) as middleman, pytest.raises(errors.AttestationError) as refused:
        _ = Connection("localhost", middleman.port, attestation=policy).client
    assert refused.value.check == "binding"
    assert set(calls(server)[before:]) == {"GetEvidence"}
    assert not any(word in middleman.heard for word in (b"Hello", b"SignIn", b"authorization"))


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_server_that_is_exchanged_is_told_nothing(new_server: NewServer, tmp_path: Path, binding: str) -> None:
    genuine, other = new_server(), new_server()
    policy = policy_for(genuine, tmp_path, binding)
    with Switch(genuine.port) as switch, Connection("localhost", switch.port, attestation=policy) as connection:
        assert connection.client.torch.runs() == []
        switch.target = other.port
        switch.cut()
        with pytest.raises(errors.AttestationError) as refused:
            connection.client.torch.runs()
        assert refused.value.check == "chain"
        assert set(calls(other)) <= {"GetEvidence"}
        switch.target = genuine.port
        assert connection.client.torch.runs() == []


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_server_that_came_back_proves_itself_anew(server: ServerProcess, binding: str) -> None:
    anybody = {"platforms": ["simulated"], "measurements": None, "chip_ids": None, "config_digests": None}
    policy = {**anybody, "storage_levels": ["file"], "development": True, "binding": binding}
    with Connection("localhost", server.port, attestation=policy) as connection:
        first = connection.client.info.boot_id
        assert server.stop() == 0
        server.start()
        assert connection.client.torch.runs() == []
        assert connection.client.info.boot_id != first


class Counted(Dataset[Any]):
    """A dataset that says how often it was read, and does something while it is."""

    def __init__(self, records: int, during: Callable[[int], None]) -> None:
        self.reads = 0
        self._records, self._during = records, during

    def __len__(self) -> int:
        return self._records

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if index >= self._records:
            raise IndexError
        self.reads += 1
        self._during(index)
        return torch.full((1 << 18,), float(index)), torch.tensor(index % 2)


def test_an_upload_that_was_cut_goes_on(server: ServerProcess) -> None:
    with Switch(server.port) as switch, Connection("localhost", switch.port) as connection:
        cuts = [20, 40]

        def during(index: int) -> None:
            if index in cuts:
                cuts.remove(index)
                switch.wait_until_quiet(1.5)  # or what was read is still on its way, and is rightly sent again
                switch.cut()

        dataset = Counted(60, during)
        remote = connection.client.torch.RemoteDataset(dataset, privacy_limit=1.0, name="cut", progress=False)
    assert remote.nb_samples == 60
    assert switch.connections == 4, "a look whether anybody listens, a connection, and one after each cut"
    assert dataset.reads < 75, f"{dataset.reads} reads of 60 records: what the server held was sent again"
    assert calls(server).count("GetEvidence") == 3


def test_kept_evidence_is_checked_by_the_command_line(server: ServerProcess, tmp_path: Path) -> None:
    policy = policy_for(server, tmp_path)
    (tmp_path / "policy.json").write_text(json.dumps(policy))

    def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(SERVER), "verify", "evidence", str(tmp_path / "evidence.json"), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    taken = verify("--policy", str(tmp_path / "policy.json"))
    assert taken.returncode == 0, taken.stderr
    assert "binding" in taken.stdout
    unjudged = verify()
    assert unjudged.returncode != 0
    assert "policy" in unjudged.stderr
    (tmp_path / "policy.json").write_text(json.dumps({**policy, "roots": ["00" * 32]}))
    refused = verify("--policy", str(tmp_path / "policy.json"))
    assert refused.returncode != 0
    assert "chain" in refused.stdout + refused.stderr


def test_whoever_is_not_registered_is_not_let_in(server: ServerProcess, tmp_path: Path) -> None:
    owner = Identity.create("owner")
    with Connection("localhost", server.port, identity=Identity.create("early")) as early:
        early.client.torch.runs()
        (tmp_path / "owner.pub").write_text(owner.public_key.pem)
        add = [str(SERVER), "user", "add", "--role", "owner", str(tmp_path / "owner.pub"), "--data-dir", str(server.data_dir)]
        subprocess.run(add, check=True, capture_output=True)
        with pytest.raises(errors.PermissionDenied):
            early.client.torch.runs()
    with Connection("localhost", server.port, identity=owner) as connection:
        assert connection.client.roles == ("owner",)
        assert connection.client.info.development is False
        assert [entry.user for entry in connection.client.torch.audit() if entry.action.endswith("SignIn")]
