"""The container image: what can be seen without building it, and with --all its proof (tools/image/prove.py)."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from server_process import ROOT

from bastionlab import __version__

SERVER = ROOT / "server"
DOCKERFILE = (SERVER / "Dockerfile").read_text()
BIN = Path(sys.executable).parent


def instructions(name: str, text: str = DOCKERFILE) -> list[str]:
    return re.findall(rf"^{name} (.*)$", text.replace("\\\n", " "), re.MULTILINE)


def service() -> dict[str, Any]:
    composed = yaml.safe_load((SERVER / "compose.yaml").read_text())
    (found,) = composed["services"].values()
    return dict(found)


def ignored(path: str) -> bool:
    lines = (SERVER / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    starts = ["/".join(path.split("/")[: depth + 1]) for depth in range(path.count("/") + 1)]
    return any(fnmatch.fnmatch(start, pattern.removeprefix("**/")) for start in starts for pattern in patterns) or any(
        fnmatch.fnmatch(part, pattern.removeprefix("**/"))
        for part in path.split("/")
        for pattern in patterns
        if pattern.startswith("**/")
    )


def test_what_is_copied_is_in_the_context() -> None:
    for line in instructions("COPY"):
        words = [word for word in line.split() if not word.startswith("--")]
        if "--from=" in line:
            continue
        for source in words[:-1]:
            assert (SERVER / source).exists(), f"COPY {line}"
            assert source == "." or not ignored(source), f"COPY {line}: .dockerignore leaves it out"


def test_what_a_checkout_has_built_stays_out_of_the_context() -> None:
    for path in ("engine/build/link.flags", "build/x", "bastionlab", "cmd/bastionlab/health_test.go", "compose.yaml"):
        assert ignored(path), path
    needed = ["cmd/bastionlab/health.go", "internal/program/operators.txt", "engine/src/abi.cpp", "Makefile", "go.sum"]
    assert [path for path in needed if ignored(path)] == []


def test_every_embedded_file_is_in_the_context() -> None:
    embedded = []
    for source in SERVER.rglob("*.go"):
        for name in re.findall(r"^//go:embed (.+)$", source.read_text(), re.MULTILINE):
            embedded += [str((source.parent / word).relative_to(SERVER)) for word in name.split()]
    assert embedded, "the check sees none"
    assert [path for path in embedded if ignored(path)] == []


def test_the_wheels_are_those_of_the_pinned_libtorch() -> None:
    text = (SERVER / "libtorch.txt").read_text()
    pinned = dict(re.findall(r"^([a-z-]+)==(\S+)", text, re.MULTILINE))
    assert pinned["torch"] == (SERVER / "LIBTORCH_VERSION").read_text().strip()
    assert set(pinned) == {"torch", "nvidia-cuda-runtime", "nvidia-cuda-cupti"}
    # Two machines, a digest for each; pip takes nothing without one.
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", text)) == 2 * len(pinned)
    assert "--require-hashes" in (SERVER / "fetch-libtorch.sh").read_text()


def test_the_compiler_is_as_new_as_go_mod_wants() -> None:
    module = (SERVER / "go.mod").read_text()
    (pinned,) = re.findall(r"^ENV GOTOOLCHAIN=go(\S+)$", DOCKERFILE, re.MULTILINE)
    (wanted,) = re.findall(r"^toolchain go(\S+)$", module, re.MULTILINE) or [""]
    (least,) = re.findall(r"^go (\S+)$", module, re.MULTILINE)
    assert wanted in ("", pinned)
    assert [int(part) for part in pinned.split(".")] >= [int(part) for part in least.split(".")]


def test_the_image_is_of_one_user_who_is_not_root() -> None:
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert instructions("FROM", final) == ["scratch"]
    (user,) = instructions("USER", final)
    assert re.fullmatch(r"([1-9]\d*):\1", user)
    assert f"x:{user}:" in DOCKERFILE, "the user has a name"
    assert f"--chown={user} " in final, "the data directory is theirs"


def test_compose_says_what_the_image_says() -> None:
    found = service()
    (volume,) = instructions("VOLUME")
    (port,) = instructions("EXPOSE")
    (check,) = instructions("HEALTHCHECK")
    options, _, command = check.partition("CMD ")
    assert found["volumes"] == [f"data:{volume}"]
    assert [published.rsplit(":", 1)[1] for published in found["ports"]] == [port]
    assert found["ports"][0].startswith("127.0.0.1:"), "in development mode nobody else reaches it"
    assert found["healthcheck"]["test"] == ["CMD", *json.loads(command)]
    for name in ("interval", "timeout", "start-period", "retries"):
        assert f"--{name}={found['healthcheck'][name.replace('-', '_')]}" in options
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true", "seccomp=deploy/seccomp.json"]
    assert "privileged" not in found
    (settings,) = [line.split() for line in instructions("ENV") if "BASTIONLAB" in line]
    assert settings == [f"BASTIONLAB_LISTEN=0.0.0.0:{port}", f"BASTIONLAB_DATA_DIR={volume}", "BASTIONLAB_DEVELOPMENT=true"]


def test_the_profile_has_the_sandbox_and_little_else() -> None:
    profile = json.loads((SERVER / "deploy/seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    admitted = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert {"clone", "seccomp", "landlock_restrict_self", "memfd_create", "ioctl"} <= admitted
    assert not admitted & {
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "setns",
        "unshare",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
    }
    assert not admitted & {
        "bpf",
        "io_uring_setup",
        "userfaultfd",
        "perf_event_open",
        "keyctl",
        "init_module",
        "kexec_load",
        "reboot",
        "personality",
    }


COMPARED = {
    "SCMP_CMP_EQ": lambda seen, rule: seen == rule["value"],
    "SCMP_CMP_LT": lambda seen, rule: seen < rule["value"],
    "SCMP_CMP_LE": lambda seen, rule: seen <= rule["value"],
    "SCMP_CMP_MASKED_EQ": lambda seen, rule: seen & rule["value"] == rule["valueTwo"],
}


def admits(name: str, *arguments: int) -> bool:
    """What the profile says of one call, as the kernel would see it."""
    profile = json.loads((SERVER / "deploy/seccomp.json").read_text())
    return any(
        all(COMPARED[each["op"]](arguments[each["index"]], each) for each in rule.get("args", []))
        for rule in profile["syscalls"]
        if name in rule["names"] and rule["action"] == "SCMP_ACT_ALLOW"
    )


SANDBOX = 0x7C020000  # allNamespaces of internal/supervisor


@pytest.mark.parametrize(
    ("call", "admitted"),
    [
        (("clone", 17), True),
        (("clone", SANDBOX | 17), True),
        (("clone", 0x10000000 | 17), False),  # a user namespace alone, in which the container's network would be theirs to look at
        (("clone", SANDBOX | 0x02000000 | 17), False),
        (("clone3", 0, 0), False),
        (("socket", 1, 1, 0), True),
        (("socket", 2, 1 | 0x80800, 0), True),
        (("socket", 10, 1 | 0x80800, 6), True),
        (("socket", 10, 2 | 0x80000, 17), True),
        (("socket", 2, 3, 0), False),  # raw
        (("socket", 2, 1, 132), False),  # SCTP
        (("socket", 16, 3, 0), False),  # netlink: addresses, traffic control
        (("socket", 16, 3, 12), False),  # netlink: nftables
        (("socket", 17, 3, 0), False),  # packets
        (("setsockopt", 3, 6, 1), True),
        (("setsockopt", 3, 0, 64), False),  # IPT_SO_SET_REPLACE
        (("setsockopt", 3, 0, 1 << 32 | 64), False),
    ],
)
def test_being_root_of_a_namespace_opens_nothing(call: tuple[Any, ...], admitted: bool) -> None:
    """The sandbox needs user namespaces, in which a process has capabilities: what those would reach in the kernel is shut."""
    assert admits(*call) is admitted


@pytest.mark.parametrize(
    "command",
    [
        [BIN / "hadolint", SERVER / "Dockerfile"],
        [BIN / "python", "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", SERVER / "compose.yaml"],
    ],
    ids=["hadolint", "schema"],
)
def test_others_find_nothing_wrong_with_it(command: list[str | Path]) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(
    not shutil.which("curl") or not shutil.which("unzip"), reason="curl or unzip is missing; the image has both while it is built"
)
def test_a_libtorch_zip_is_taken_by_its_digest_only(tmp_path: Path) -> None:
    archive = tmp_path / "libtorch.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("libtorch/build-version", "2.15.0+cpu")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()

    def fetch(directory: str, wanted: str) -> subprocess.CompletedProcess[str]:
        command = [SERVER / "fetch-libtorch.sh", tmp_path / directory, archive.as_uri(), wanted]
        return subprocess.run([str(word) for word in command], capture_output=True, text=True)

    assert fetch("right", digest).returncode == 0
    assert (tmp_path / "right/torch/build-version").read_text() == "2.15.0+cpu"
    refused = fetch("wrong", "0" * 64)
    assert refused.returncode != 0
    assert "FAILED" in refused.stdout + refused.stderr
    assert not (tmp_path / "wrong/torch").exists()


def test_the_licences_of_what_is_in_it_go_with_it(tmp_path: Path) -> None:
    (commands,) = [command for command in instructions("RUN") if "make bundle" in command]
    assert "./licences.sh /opt/torch /root-of-image/usr/share/doc/bastionlab/licences" in commands
    assert os.access(SERVER / "licences.sh", os.X_OK)
    assert not ignored("licences.sh")
    debian, torch = tmp_path / "debian", tmp_path / "site-packages/torch"
    for package in ("libc6", "libstdc++6", "libgcc-s1", "ca-certificates"):
        (debian / package).mkdir(parents=True)
        (debian / package / "copyright").write_text(package)
    torch.mkdir(parents=True)
    (torch.parent / "torch-2.15.0.dist-info/licenses").mkdir(parents=True)
    (torch.parent / "torch-2.15.0.dist-info/licenses/LICENSE").write_text("torch")
    command = [str(SERVER / "licences.sh"), str(torch), str(tmp_path / "into")]
    environment = os.environ | {"DEBIAN": str(debian)}
    subprocess.run(command, env=environment, check=True)
    of = ("bastionlab", "go", "google.golang.org/grpc", "torch-2.15.0/licenses")
    assert [name for name in of if not (tmp_path / "into" / name / "LICENSE").exists()] == []
    assert (tmp_path / "into/bastionlab/LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert not ignored("LICENSE")
    assert (tmp_path / "into/debian/libc6/copyright").read_text() == "libc6"
    (debian / "libc6/copyright").unlink()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "libc6 has no text of a licence" in done.stderr


def test_make_names_version_and_commit(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    docker.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = subprocess.run(
        ["make", "--silent", "image"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert words[:3] == ["build", "-t", "bastionlab:latest"]
    assert words[-1] == "server"
    assert f"VERSION={__version__}" in words
    assert any(re.fullmatch("REVISION=[0-9a-f]{40}", word) for word in words)


def test_the_proof_finds_all_that_it_is_made_of() -> None:
    """It is played with --all only, and would rot until then: it takes the walk-through from the tests."""
    done = subprocess.run([sys.executable, "-c", "import prove"], cwd=ROOT / "tools/image", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_image_is_what_the_documentation_says(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--all"):
        pytest.skip("builds an image and plays on it: with --all only")
    if not shutil.which("docker"):
        pytest.skip("the docker command line is missing")
    if subprocess.run(["docker", "version"], capture_output=True).returncode != 0 and not shutil.which("podman"):
        pytest.skip("there is neither a Docker engine nor podman to answer for one")
    done = subprocess.run([sys.executable, str(ROOT / "tools/image/prove.py")], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
