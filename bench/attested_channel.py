"""What attestation costs on the wire: connecting with the first call, and an upload, beside plain TLS to the same server.

Plain TLS is a gRPC channel that already has the server's certificate as its only root. Rounds of the three kinds alternate in one
process, so
that their ratio holds on a noisy machine. The device is simulated: a real one adds the time that its reports take.

    python bench/attested_channel.py [--connects 40] [--rounds 5] [--mib 256] [--json]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import safetensors.torch
import torch
from cryptography.hazmat.primitives.asymmetric import ed25519

from bastionlab import Identity, errors
from bastionlab._acceptance import Acceptance
from bastionlab._address import Address, reach
from bastionlab._attestation import Attested, Channel
from bastionlab._channel import fetch_certificate, key_of, pinned_channel
from bastionlab._link import Link, open_link
from bastionlab._methods import DATASETS, SESSIONS, metadata
from bastionlab._sign_in import sign_in
from bastionlab.v1 import attestation_pb2, dataset_pb2, session_pb2

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
KINDS = ("plain", "key", "exporter")
# Of the floor: how much slower a connect may be, and which part of plain TLS's speed an upload must reach.
MOST_TIMES_PLAIN = 4.0
LEAST_OF_PLAIN = {"key": 0.9, "exporter": 0.6}
RECORD_FLOATS = 1024
Open = Callable[[], Link]


@contextmanager
def server() -> Iterator[Address]:
    directory = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR"), prefix="bastionlab-bench-"))
    command = [ROOT / "bin" / "bastionlab", "serve", "--listen", "127.0.0.1:50156", "--data-dir", directory, "--log-level", "error"]
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
    try:
        yield answering(process)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def answering(process: subprocess.Popen[bytes]) -> Address:
    deadline = time.monotonic() + 30
    while True:
        try:
            return reach("127.0.0.1", 50156)
        except errors.ServerUnavailable:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.1)


class Kept:
    """What a plain channel knows beforehand of the server that it leads to."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.certificate = fetch_certificate(address)
        self.facts = Channel(key_of(self.certificate), attestation_pb2.BINDING_KEY, bytes(32))
        attested = open_link(address, acceptance("key"))
        self.attested: Attested = attested.attested
        attested.close()

    def open(self) -> Link:
        return Link(pinned_channel(self.address, self.certificate), self.attested, None)


def acceptance(binding: str) -> Acceptance:
    everything: dict[str, object] = {"measurements": None, "chip_ids": None, "config_digests": None}
    return Acceptance.of(
        {"platforms": ["simulated"], "storage_levels": ["file"], "development": True, "binding": binding, **everything}
    )


def openers(address: Address) -> dict[str, Open]:
    kept = Kept(address)
    return {
        "plain": kept.open,
        "key": lambda: open_link(address, acceptance("key")),
        "exporter": lambda: open_link(address, acceptance("exporter")),
    }


def connect(open: Open) -> float:
    """Seconds to a connection and the answer to its first call."""
    began = time.perf_counter()
    link = open()
    link.bind(SESSIONS.Hello)(session_pb2.HelloRequest(), metadata=metadata())
    seconds = time.perf_counter() - began
    link.close()
    return seconds


def batches(mib: int) -> list[dataset_pb2.RecordBatch]:
    records = MIB // (4 * RECORD_FLOATS)
    made = []
    for number in range(mib):
        values = torch.randn(records, RECORD_FLOATS, generator=torch.Generator().manual_seed(number))
        file = safetensors.torch.save({"input.x": values, "label": torch.zeros(records, dtype=torch.int64)})
        made.append(dataset_pb2.RecordBatch(count=records, safetensors=file, sha256=hashlib.sha256(file).digest()))
    return made


def upload(open: Open, identity: Identity, parts: list[dataset_pb2.RecordBatch], name: str) -> float:
    """Seconds for the stream alone: the sign-in is before, and the dataset is deleted after."""
    link = open()
    try:
        signed_in = sign_in(link, identity, "the server")
        began = time.perf_counter()
        answer = signed_in.bind(DATASETS.UploadDataset)(stream(parts, name), metadata=signed_in.metadata)
        seconds = time.perf_counter() - began
        deletion = dataset_pb2.DeleteDatasetRequest(id=answer.dataset.id)
        signed_in.bind(DATASETS.DeleteDataset)(deletion, metadata=signed_in.metadata)
        return seconds
    except grpc.RpcError as error:
        raise SystemExit(f"the upload failed: {error.details()}") from None
    finally:
        link.close()


def stream(parts: list[dataset_pb2.RecordBatch], name: str) -> Iterator[dataset_pb2.UploadDatasetRequest]:
    spec = dataset_pb2.TensorSpec(name="x", dtype=dataset_pb2.DTYPE_F32, shape=[RECORD_FLOATS])
    label = dataset_pb2.TensorSpec(name="label", dtype=dataset_pb2.DTYPE_I64, shape=[])
    records = sum(part.count for part in parts)
    header = dataset_pb2.UploadDatasetHeader(
        name=name, schema=dataset_pb2.Schema(inputs=[spec], label=label), records=records, privacy_limit=1.0
    )
    yield dataset_pb2.UploadDatasetRequest(header=header)
    digests = hashlib.sha256()
    for part in parts:
        digests.update(part.sha256)
        yield dataset_pb2.UploadDatasetRequest(batch=part)
    trailer = dataset_pb2.UploadDatasetTrailer(records=records, sha256=digests.digest())
    yield dataset_pb2.UploadDatasetRequest(trailer=trailer)


def measure(connects: int, rounds: int, mib: int) -> dict[str, dict[str, float]]:
    with server() as address:
        ways = openers(address)
        for kind in KINDS:
            connect(ways[kind])
        milliseconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(connects):
            for kind in KINDS:
                milliseconds[kind].append(1000 * connect(ways[kind]))
        identity = Identity("bench", ed25519.Ed25519PrivateKey.generate())
        parts = batches(mib)
        speeds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number in range(rounds):
            for kind in KINDS:
                speeds[kind].append(mib / upload(ways[kind], identity, parts, f"{kind} {number}"))
    return {
        "connect_ms": {kind: statistics.median(milliseconds[kind]) for kind in KINDS},
        "upload_mib_per_s": {kind: statistics.median(speeds[kind]) for kind in KINDS},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--connects", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = measure(arguments.connects, arguments.rounds, arguments.mib)
    connects, uploads = found["connect_ms"], found["upload_mib_per_s"]
    if arguments.json:
        print(json.dumps(found))
    else:
        print("connect with first call, and upload (medians; a simulated device)")
        for kind in KINDS:
            times, part = connects[kind] / connects["plain"], uploads[kind] / uploads["plain"]
            print(
                f"  {kind:9s} {connects[kind]:7.2f} ms ({times:4.2f} x plain)   {uploads[kind]:6.0f} MiB/s ({part:4.2f} of plain)"
            )
    slow = [kind for kind in LEAST_OF_PLAIN if connects[kind] > MOST_TIMES_PLAIN * connects["plain"]]
    slow += [kind for kind, least in LEAST_OF_PLAIN.items() if uploads[kind] < least * uploads["plain"]]
    if slow:
        print(f"slower than promised: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
