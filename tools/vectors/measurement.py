"""Writes vectors/measurement/sev_snp.json: launch measurements of random guests, by the independent sev-snp-measure.

    python -m venv build/vectors && build/vectors/bin/pip install -r requirements/vectors.txt
    build/vectors/bin/python tools/vectors/measurement.py            # writes the file
    build/vectors/bin/python tools/vectors/measurement.py --check    # recomputes every measurement, and fails if one differs

A file of a guest is described and not stored: its bytes are SHA-256(seed, counter as 8 bytes, little endian) for the counters
from 0, cut to its length; a firmware's last bytes, where its tables lie, stand in the case as `end`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import struct
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from sevsnpmeasure import guest, vcpu_types
from sevsnpmeasure.sev_mode import SevMode

FILE = Path(__file__).resolve().parents[2] / "vectors" / "measurement" / "sev_snp.json"
CASES = 60
PAGE = 4096

TABLE = "96b582de-1fb2-45f7-baea-a366c55a082d"
HASHES = "7255371f-3a3b-4b04-927b-1da6efa8d454"
RESET = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"
METADATA = "dc886566-984a-4798-a75e-5585a7bf67cc"
MEMORY, SECRETS, CPUID, CALLING_AREA, HASHES_PAGE = 1, 2, 3, 4, 0x10

Case = dict[str, Any]


def stream(seed: str, length: int) -> bytes:
    blocks = (hashlib.sha256(seed.encode() + struct.pack("<Q", i)).digest() for i in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def entry(name: str, data: bytes) -> bytes:
    return data + struct.pack("<H", len(data) + 18) + uuid.UUID(name).bytes_le


def end_of(draw: random.Random) -> bytes:
    """The last bytes of a firmware: metadata, a few bytes of code, the table, the reset vector."""
    sections: list[tuple[int, int, int]] = []
    address = 0x800000
    kinds = [SECRETS, CPUID, HASHES_PAGE] + [MEMORY] * draw.randint(0, 3) + [CALLING_AREA] * draw.randint(0, 1)
    draw.shuffle(kinds)
    hashes = 0
    for kind in kinds:
        address += PAGE * draw.randint(0, 3)
        length = PAGE * draw.randint(1, 12) if kind in (MEMORY, CALLING_AREA) else PAGE
        if kind == HASHES_PAGE:
            hashes = address + draw.choice([0, 0xC00, 16 * draw.randint(0, 245)])
        sections.append((address, length, kind))
        address += length
    metadata = struct.pack("<4sIII", b"ASEV", 16 + 12 * len(sections), 1, len(sections))
    metadata += b"".join(struct.pack("<III", *section) for section in sections)
    code = draw.randbytes(draw.randint(0, 40))
    entries = [
        (HASHES, struct.pack("<II", hashes, draw.choice([0x400, PAGE]))),
        (RESET, struct.pack("<I", draw.choice([0x80B004, 0xFFFFF000 + 4 * draw.randint(0, 900), draw.getrandbits(31) + 1]))),
        (str(uuid.UUID(bytes=draw.randbytes(16))), draw.randbytes(draw.randint(0, 24))),
    ]
    draw.shuffle(entries)
    before = b"".join(entry(name, data) for name, data in entries)
    length = len(before) + len(entry(METADATA, bytes(4))) + 18
    distance = len(metadata) + len(code) + length + 32
    table = before + entry(METADATA, struct.pack("<I", distance)) + struct.pack("<H", length) + uuid.UUID(TABLE).bytes_le
    return metadata + code + table + draw.randbytes(32)


def case_of(number: int) -> Case:
    draw = random.Random(f"bastionlab measurement {number}")
    command = "".join(draw.choice("abz09 =.,-_/\"'é\n\t") for _ in range(draw.choice([0, 1, 40, 900])))
    known = draw.random() < 0.8
    model = draw.choice(sorted(vcpu_types.CPU_SIGS)) if known else None
    return {
        "firmware": {"bytes": PAGE * draw.choice([1, 2, 16, 64]), "seed": f"firmware {number}", "end": end_of(draw).hex()},
        "kernel": {"bytes": draw.randint(1, 9000), "seed": f"kernel {number}"},
        "initrd": {"bytes": draw.choice([0, draw.randint(1, 9000)]), "seed": f"initrd {number}"},
        "command": command,
        "processors": draw.choice([1, 1, 2, 3, 4, 8, 64, 255]),
        "model": model,
        "signature": vcpu_types.CPU_SIGS[model] if model else draw.getrandbits(28) + 1,
        "features": draw.choice([1, 1, 1, 0x21, draw.getrandbits(64) | 1]),
    }


def contents(file: Case) -> bytes:
    end = bytes.fromhex(file.get("end", ""))
    return stream(file["seed"], file["bytes"] - len(end)) + end


def measured(case: Case) -> str:
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in ("firmware", "kernel", "initrd")}
        for name, path in paths.items():
            path.write_bytes(contents(case[name]))
        return guest.calc_launch_digest(
            SevMode.SEV_SNP,
            case["processors"],
            case["signature"],
            str(paths["firmware"]),
            str(paths["kernel"]),
            str(paths["initrd"]) if case["initrd"]["bytes"] else "",
            case["command"],
            case["features"],
        ).hex()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="recompute what the file says")
    if parser.parse_args().check:
        cases = json.loads(FILE.read_text())["cases"]
        wrong = [number for number, case in enumerate(cases) if measured(case) != case["measurement"]]
        print(f"{len(cases)} measurements recomputed, {len(wrong)} differ: {wrong}")
        return 1 if wrong else 0
    cases = [case_of(number) for number in range(CASES)]
    for case in cases:
        case["measurement"] = measured(case)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps({"oracle": "sev-snp-measure 0.0.13", "cases": cases}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
