"""Does a page as somebody would who has just come, in a fresh virtual environment and an empty directory; says how long it took.

    python tools/docs/follow.py docs/tutorials/owner.md [--download]

The client is the wheel built from this checkout. What it needs comes from the checkout's virtual environment: PyTorch is not
downloaded again (5 GB); with --download everything comes from the package index.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from page import Page
from reader import Broken, Programs, Reader, port_is_taken

ROOT = Path(__file__).resolve().parent.parent.parent
ALSO = ["scikit-learn"]


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("page", type=Path)
    arguments.add_argument("--download", action="store_true", help="take what the client needs from the package index")
    options = arguments.parse_args()
    if port_is_taken():
        print("a server listens already: stop it first", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="follow-") as directory:
        began = time.monotonic()
        python = environment(Path(directory) / "venv", options.download)
        prepared = time.monotonic()
        work = Path(directory) / "work"
        work.mkdir()
        reader = Reader(Page(options.page.resolve(), ROOT), work, Programs(ROOT / "bin", python))
        try:
            blocks = [(block.where, seconds) for block, seconds in reader.follow()]
        except Broken as reason:
            print(reason, file=sys.stderr)
            return 1
        finally:
            reader.end()
        for where, seconds in blocks:
            print(f"{seconds:7.1f} s  {where}")
        took = time.monotonic() - prepared
        print(f"{options.page}: {len(blocks)} blocks in {took:.0f} s; the environment took {prepared - began:.0f} s")
    return 0


def environment(directory: Path, download: bool) -> Path:
    """A new one with the client, from a wheel."""
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    ours = next((Path(sys.prefix) / "lib").glob("python3*/site-packages"))
    packages = next((directory / "lib").glob("python3*/site-packages"))
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    if not download:
        # After the environment's own, so that the client is the wheel's.
        (packages / "checkout.pth").write_text(f"{ours}\n")
    alone = [] if download else ["--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", "--no-deps", *alone, "-w", str(directory), str(ROOT / "client")], check=True)
    wheel = next(directory.glob("bastionlab-*.whl"))
    subprocess.run(
        [*pip, "install", "--force-reinstall", *([str(wheel), *ALSO] if download else ["--no-deps", str(wheel)])], check=True
    )
    where = subprocess.check_output([str(python), "-c", "import bastionlab; print(bastionlab.__file__)"], text=True, cwd=directory)
    if not where.startswith(str(directory)):
        raise SystemExit(f"the client is not the wheel's: {where}")
    return python


if __name__ == "__main__":
    sys.exit(main())
