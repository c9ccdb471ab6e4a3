"""`make demo`: a fresh server, then owner and scientist in two processes, on real data.

Prints what happens and, as its last line, one line of JSON:
{"data", "accuracy", "majority", "epsilon_spent", "epsilon_remaining", "refused", "seconds"}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import parts
import spam

HERE = Path(__file__).parent
START_SECONDS = 60
STOP_SECONDS = 30


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts.add_arguments(arguments)
    arguments.add_argument("--server", type=Path, required=True, help="the bastionlab binary")
    arguments.add_argument("--work-dir", type=Path, required=True, help="emptied first; the server's data and log lie there")
    options = arguments.parse_args()

    began = time.monotonic()
    try:
        if not options.digits:
            spam.read(options.data, options.cache)
    except spam.NotAvailable as reason:
        if options.data is not None:
            print(f"demo: {reason}", file=sys.stderr)
            return 2
        print(f"{reason}.\nPlaying the same on scikit-learn's digits. With a copy of the collection: make demo DATA=FILE")
        options.digits = True

    shutil.rmtree(options.work_dir, ignore_errors=True)
    options.work_dir.mkdir(parents=True)
    options.port = free_port()
    with server(options):
        shared = ["--port", str(options.port), "--cache", str(options.cache), "--encoder", options.encoder]
        shared += ["--seed", str(options.seed)]
        shared += ["--data", str(options.data)] if options.data else []
        shared += ["--digits"] if options.digits else []
        play("owner", shared, options.work_dir)
        written = options.work_dir / "outcome.json"
        play("scientist", [*shared, "--outcome", str(written)], options.work_dir)
    outcome = json.loads(written.read_text())
    outcome["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(outcome))
    return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(options: argparse.Namespace) -> Iterator[None]:
    """A server on a fresh data directory, ready when it accepts connections, stopped in the end."""
    log_file = options.work_dir / "server.log"
    command = [
        str(options.server),
        "serve",
        "--listen",
        f"127.0.0.1:{options.port}",
        "--data-dir",
        str(options.work_dir / "data"),
    ]
    print(f"starting {' '.join(command)} (its log: {log_file})")
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until_it_listens(process, options.port, log_file)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server stopped at once:\n{log_file.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"the server did not answer within {START_SECONDS} s:\n{log_file.read_text()}")


def play(role: str, shared: list[str], work_dir: Path) -> None:
    """Runs one role as its own process, with a key of its own."""
    print(f"\n--- {role} ---", flush=True)
    environment = os.environ | {"BASTIONLAB_HOME": str(work_dir / role), "HF_HUB_OFFLINE": "1"}
    if "distilbert" in shared:
        del environment["HF_HUB_OFFLINE"]
    done = subprocess.run([sys.executable, str(HERE / f"{role}.py"), *shared], env=environment)
    if done.returncode != 0:
        raise SystemExit(f"the {role} failed with exit status {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
