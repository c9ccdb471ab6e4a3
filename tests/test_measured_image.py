"""From a release to a measured image: what it will measure, the policy for clients, and the image itself in a virtual machine.

The image is built and started with ``--all`` only. It needs qemu-system-x86_64, mksquashfs, veritysetup and cpio, and the package
of the kernel: its file is named by BASTIONLAB_KERNEL_DEB, or fetched from a Debian mirror. BASTIONLAB_SNP_FIRMWARE may name an
OVMF for SEV-SNP.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import torch
from server_process import SERVER, TRAINER, free_port

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "client" / "tests"))

import small  # noqa: E402
from software_device import SoftwareDevice, claims  # noqa: E402

from bastionlab import Connection, Identity, errors  # noqa: E402
from bastionlab._attestation import Channel, Policy, _saved, verify  # noqa: E402
from bastionlab.errors import AttestationError  # noqa: E402
from bastionlab.torch import Adam  # noqa: E402
from bastionlab.v1 import attestation_pb2  # noqa: E402

VECTOR = json.loads((ROOT / "vectors" / "measurement" / "sev_snp.json").read_text())["cases"][0]
IMAGE = ROOT / "server" / "image"
NONCE, EXPORTER = b"\1" * 32, b"\2" * 32
CHANNEL = Channel(b"a key", attestation_pb2.BINDING_EXPORTER, EXPORTER)
FLOOR = "Milan:bl=4,tee=0,snp=24,ucode=219"
BOOT_SECONDS = 900  # without KVM, beside whatever else runs
# What the machine says when a block, or the tree over the blocks, is not what it was; and that it ends with that.
DATA, TREE, END = "data block 0 is corrupted", "metadata block", "panic - not syncing: dm-verity device corrupted"


def described(file: dict[str, Any]) -> bytes:
    """A file of a vector: see tools/vectors/measurement.py."""
    end = bytes.fromhex(file.get("end", ""))
    count = file["bytes"] // 32 + 1
    blocks = (hashlib.sha256(file["seed"].encode() + struct.pack("<Q", i)).digest() for i in range(count))
    return b"".join(blocks)[: file["bytes"] - len(end)] + end


@pytest.fixture
def written(tmp_path: Path) -> tuple[list[str], dict[str, Any], Path]:
    """Measurements of a guest with one and with two processors, and the policy that takes both."""
    return write_policy(tmp_path, TRAINER)


def write_policy(tmp_path: Path, trainer: Path) -> tuple[list[str], dict[str, Any], Path]:
    (tmp_path / "firmware").write_bytes(described(VECTOR["firmware"]))
    (tmp_path / "kernel").write_bytes(bytes(0x202) + b"HdrS" + bytes(64))
    (tmp_path / "initrd").write_bytes(b"files")
    command = [SERVER, "measure", "--command-line", "quiet", "--vcpus", "1,2", "--vcpu-type", "EPYC-Milan", "--json"]
    for name in ("firmware", "kernel", "initrd"):
        command += [f"--{name}", tmp_path / name]
    command += ["--policy", tmp_path / "policy.json", "--tcb", FLOOR, "--trainer", trainer, "--config", IMAGE / "bastionlab.conf"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    assert "chip_ids is null: any chip" in done.stderr
    measured = [shape["measurement"] for shape in json.loads(done.stdout)["measurements"]]
    return measured, json.loads((tmp_path / "policy.json").read_text()), tmp_path / "policy.json"


def evidence(device: SoftwareDevice, said: bytes, measurement: str) -> attestation_pb2.Evidence:
    return device.evidence(NONCE, CHANNEL.binding, CHANNEL, said, measurement=bytes.fromhex(measurement))


def test_a_client_takes_the_measured_guest_and_no_other(written: tuple[list[str], dict[str, Any], Path]) -> None:
    measured, policy, file = written
    accepted = Policy.load(file)
    device = SoftwareDevice("Milan", format="sev-snp")
    said = claims(config_digest=bytes.fromhex(policy["config_digests"][0]))
    now = datetime.now(timezone.utc)
    for each in measured:
        verify(evidence(device, said, each), NONCE, CHANNEL, accepted, now, device.roots)
    with pytest.raises(AttestationError) as refused:
        verify(evidence(device, said, measured[0][:-2] + "00"), NONCE, CHANNEL, accepted, now, device.roots)
    assert refused.value.check == "measurement"
    with pytest.raises(AttestationError) as refused:
        verify(evidence(device, claims(), measured[0]), NONCE, CHANNEL, accepted, now, device.roots)
    assert refused.value.check == "config"
    other = SoftwareDevice("Milan", format="simulated")
    with pytest.raises(AttestationError) as refused:
        verify(evidence(other, said, measured[0]), NONCE, CHANNEL, accepted, now, device.roots)
    assert refused.value.check == "simulated"


def test_the_command_line_reads_the_policy_too(written: tuple[list[str], dict[str, Any], Path], tmp_path: Path) -> None:
    measured, policy, _ = written
    simulated = policy | {"platforms": ["simulated"]}
    for name, measurements, refused in (("this", measured, None), ("another", ["00" * 48], "measurement")):
        policy_file, evidence_file = tmp_path / f"{name}.json", tmp_path / f"{name}.evidence"
        policy_file.write_text(json.dumps(simulated | {"measurements": measurements}))
        said = claims(config_digest=bytes.fromhex(policy["config_digests"][0]))
        _saved.save(evidence_file, evidence(SoftwareDevice(), said, measured[0]), NONCE, CHANNEL)
        command = [str(SERVER), "verify", "evidence", str(evidence_file), "--policy", str(policy_file), "--json"]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)["refused"]
        assert (found and found["check"]) == refused


# ---- the image itself ----


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root whose trainer is this machine's /bin/true, of which the loader tells what it loads; the users' folder beside it."""
    programs = tmp_path / "root/usr/lib/bastionlab"
    programs.mkdir(parents=True)
    for name in ("bastionlab", "bastionlab-trainer"):
        shutil.copy("/bin/true", programs / name)
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "home"))
    Identity.create("owner")
    (tmp_path / "users/owner").mkdir(parents=True)
    shutil.copy(tmp_path / "home/identities/owner.pub", tmp_path / "users/owner/hospital.pub")
    return tmp_path


def put_together(folder: Path) -> subprocess.CompletedProcess[str]:
    shutil.rmtree(folder / "made", ignore_errors=True)
    command = [IMAGE / "root.sh", folder / "root", folder / "users", folder / "made"]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def test_users_whom_no_machine_could_register_are_refused_while_it_is_made(installed: Path) -> None:
    done = put_together(installed)
    assert done.returncode == 0, done.stderr
    assert (installed / "made/etc/bastionlab/users/owner/hospital.pub").exists()
    key = installed / "users/owner/hospital.pub"
    for name, words in (
        ("lost.pub", "lost.pub is not ROLES/NAME.pub"),
        ("owner/of/lost.pub", "of/lost.pub is not ROLES/NAME.pub"),
        ("owners/hospital.pub", "owners is no role"),
        ("owner,admin/hospital.pub", "admin is no role"),
    ):
        (installed / "users" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(key, installed / "users" / name)
        done = put_together(installed)
        assert done.returncode == 1, name
        assert words in done.stderr
        (installed / "users" / name).unlink()
    key.write_text("ssh-ed25519 AAAA")
    done = put_together(installed)
    assert done.returncode == 1
    assert "hospital.pub is no public key in PEM" in done.stderr


def test_the_first_program_is_built_by_the_go_of_go_mod(tmp_path: Path) -> None:
    """Whatever Go is on the path: another one makes other bytes, and another measurement."""
    (tmp_path / "go").write_text(f'#!/bin/sh\necho "$GOTOOLCHAIN" >{tmp_path}/asked\nexit 3\n')
    (tmp_path / "go").chmod(0o755)
    for tool in ("dpkg-deb", "mksquashfs", "veritysetup", "cpio", "xz"):
        (tmp_path / tool).symlink_to("/bin/true")
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [IMAGE / "build.sh", "--root", tmp_path, "--users", tmp_path, "--output", tmp_path / "image"]
    assert subprocess.run([str(word) for word in command], env=environment).returncode == 3
    (toolchain,) = re.findall(r"^toolchain (\S+)$", (ROOT / "server/go.mod").read_text(), re.MULTILINE)
    assert (tmp_path / "asked").read_text().strip() == toolchain


def test_nothing_of_an_earlier_image_is_left_beside_a_new_one(tmp_path: Path) -> None:
    """Not even where the new one fails: a policy that is not this image's would be handed to owners."""
    if not all(
        shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin") for tool in ("dpkg-deb", "mksquashfs", "veritysetup", "cpio")
    ):
        pytest.skip("the tools that make an image are missing")
    old = ("policy.json", "measurement", "firmware", "SHA256SUMS", "root.img")
    for name in old:
        (tmp_path / name).write_text("of another")
    no_kernel = tmp_path / "kernel.deb"
    no_kernel.write_text("no kernel")
    command = [IMAGE / "build.sh", "--root", tmp_path, "--users", tmp_path, "--output", tmp_path, "--kernel", no_kernel]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert "is not the kernel of kernel.lock" in done.stderr
    assert [name for name in old if (tmp_path / name).exists()] == []


def needs(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"there is no {name} here")
    return found


@pytest.fixture(scope="module")
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An image in the folder `image`, another of the same things in `again`, and its users' identities in `home`."""
    if not request.config.getoption("--all"):
        pytest.skip("the image is built and started with --all only")
    for tool in ("qemu-system-x86_64", "mksquashfs", "veritysetup", "cpio", "go"):
        needs(tool)
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BASTIONLAB_HOME", str(folder / "home"))
        for who in ("owner", "scientist"):
            Identity.create(who)
            (folder / "users" / who).mkdir(parents=True)
            shutil.copy(folder / "home" / "identities" / f"{who}.pub", folder / "users" / who)
    libtorch = os.environ.get("LIBTORCH") or str(Path(torch.__file__).parent)
    subprocess.run(["make", "-C", ROOT / "server", "bundle", f"DESTDIR={folder / 'bundle'}", f"LIBTORCH={libtorch}"], check=True)
    for name in ("image", "again"):
        subprocess.run([str(part) for part in build_command(folder, name)], check=True, timeout=900)
    yield folder
    shutil.rmtree(folder)


def build_command(folder: Path, name: str) -> list[Any]:
    command = [IMAGE / "build.sh", "--root", folder / "bundle", "--users", folder / "users", "--output", folder / name]
    if kernel := os.environ.get("BASTIONLAB_KERNEL_DEB"):
        command += ["--kernel", kernel]
    if firmware := os.environ.get("BASTIONLAB_SNP_FIRMWARE"):
        command += ["--firmware", firmware, "--vcpus", "2", "--vcpu-type", "EPYC-Milan", "--tcb", FLOOR]
    return command


def test_two_builds_are_one_image(whole: Path) -> None:
    first, second = ((whole / name / "SHA256SUMS").read_text() for name in ("image", "again"))
    assert first == second
    named = {line.split()[1] for line in first.splitlines()}
    assert named == {path.name for path in (whole / "image").iterdir()} - {"SHA256SUMS", "measurement", "policy.json"}


def test_there_is_nothing_to_run_but_the_server(whole: Path) -> None:
    files = subprocess.run(
        [needs("unsquashfs"), "-lls", whole / "image" / "root.img"], capture_output=True, text=True, check=True
    ).stdout
    programs = {line.split("squashfs-root")[1] for line in files.splitlines() if re.match(r"-r.x", line) and ".so" not in line}
    assert programs == {"/usr/lib/bastionlab/bastionlab", "/usr/lib/bastionlab/bastionlab-trainer"}
    assert not re.search(r"^[-d]......w|^-..s|^-.....s", files, re.MULTILINE), "nobody but root may write, and nothing gives rights"


def test_an_independent_program_measures_the_same(whole: Path) -> None:
    guest = pytest.importorskip("sevsnpmeasure.guest")
    from sevsnpmeasure.sev_mode import SevMode

    image = whole / "image"
    if not (image / "measurement").exists():
        pytest.skip("BASTIONLAB_SNP_FIRMWARE names no firmware")
    paths = [str(image / name) for name in ("firmware", "kernel", "initrd")]
    expected = guest.calc_launch_digest(SevMode.SEV_SNP, 2, 0xA00F11, *paths, (image / "cmdline").read_text(), 1)
    assert (image / "measurement").read_text().strip() == expected.hex()


# A kernel without KVM wants a few ticks of its clock while it starts, which do not come where the host is busy.
NO_TICKS = "IO-APIC + timer doesn't work"
STARTS = 5


class Machine:
    """A virtual machine with an image, and what it says on its console."""

    def __init__(self, image: Path, log: Path, **environment: str) -> None:
        self.log, self.port = log, free_port()
        self.command = [str(IMAGE / "try.sh"), str(image), str(self.port)]
        # Without KVM: not every machine that has it runs every kernel.
        self.environment = os.environ | {"ACCELERATOR": "tcg"} | environment
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        with self.log.open("wb") as console:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=self.environment
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def runs(self) -> bool:
        if self.process.poll() is None:
            return True
        if NO_TICKS not in self.said() or self.starts == STARTS:
            return False
        self.start()
        return True

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while words not in self.said():
            assert self.runs(), self.said()[-4000:]
            assert time.monotonic() < deadline, self.said()[-4000:]
            time.sleep(0.5)

    def wait_for_the_end(self) -> str:
        deadline = time.monotonic() + BOOT_SECONDS
        while self.runs():
            assert time.monotonic() < deadline, self.said()[-4000:]
            time.sleep(0.5)
        return self.said()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


@pytest.mark.filterwarnings("ignore::bastionlab.errors.BastionLabWarning")  # what a simulated server in memory is
def test_the_image_serves(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASTIONLAB_HOME", str(whole / "home"))
    machine = Machine(whole / "image", tmp_path / "console")
    try:
        machine.wait_for("registered identities")
        machine.wait_for('"listen":["[::]:50056"]')
        _, policy, _ = write_policy(tmp_path, whole / "bundle/usr/lib/bastionlab/bastionlab-trainer")
        claimed = f'"configuration_sha384":"{policy["config_digests"][0]}"'
        assert claimed in machine.said(), "the server claims the configuration that `measure` writes into policies"
        assert "MISSING" not in machine.said(), "doctor finds the trainer's sandbox whole"
        assert "sandbox: landlock" in machine.said()
        assert "sandbox: namespaces" in machine.said()
        walk_through(machine.port)
        with pytest.raises(errors.PermissionDenied):
            _ = Connection("localhost", machine.port, identity=Identity.create("stranger")).client.torch.list_remote_datasets()
    finally:
        machine.stop()


def walk_through(port: int) -> None:
    with Connection("localhost", port, identity=Identity.load("owner")) as connection:
        info = connection.client.info
        assert (info.storage_level, info.development, info.simulated) == ("memory", False, True)
        remote = connection.client.torch.RemoteDataset(small.dataset(), privacy_limit=6.0, name="tiny", progress=False)
        remote.grant(Identity.load("scientist").public_key)
    with Connection("localhost", port, identity=Identity.load("scientist")) as connection:
        client = connection.client.torch
        remote = client.list_remote_datasets()[0]
        learner = client.RemoteLearner(
            small.linear(), remote, max_batch_size=8, loss="cross_entropy", optimizer=Adam(lr=5e-2), progress=False
        )
        assert learner.fit(nb_epochs=1, eps=2.0).status == "completed"
        learner.get_model()
        assert remote.budget().spent == 2.0


def test_a_byte_of_the_root_that_is_not_what_it_was_ends_the_machine(whole: Path, tmp_path: Path) -> None:
    changed = tmp_path / "root.img"
    shutil.copy(whole / "image" / "root.img", changed)
    with changed.open("r+b") as file:  # the time in the superblock, which the file system does not look at
        file.seek(8)
        byte = file.read(1)
        file.seek(8)
        file.write(bytes([byte[0] ^ 1]))
    said = Machine(whole / "image", tmp_path / "console", ROOT=str(changed)).wait_for_the_end()
    assert DATA in said
    assert END in said
    assert "sandbox" not in said
    assert '"ready"' not in said


def test_another_root_hash_does_not_start(whole: Path, tmp_path: Path) -> None:
    line = (whole / "image" / "cmdline").read_text()
    line = line[:-1] + ("0" if line[-1] != "0" else "1")
    said = Machine(whole / "image", tmp_path / "console", CMDLINE=line).wait_for_the_end()
    assert TREE in said
    assert END in said
    assert "sandbox" not in said
    assert '"ready"' not in said
