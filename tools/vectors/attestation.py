"""Writes vectors/attestation/synthetic.json: evidence, and under which check it is refused.

    python tools/vectors/attestation.py            # draws keys and writes the file
    python tools/vectors/attestation.py --check    # judges the file's cases with the Python verifier, and fails if one differs

An object with `cases`, and with `certificates` that they share, in base64 by name. Of each case:

    evidence      an encoded Evidence in base64, without its endorsements
    endorsements  the names of the certificates that are its endorsements, in their order
    public_key, nonce, exporter    as in a file that `bastionlab verify evidence` takes; an empty exporter: bound to the key
    policy        what a policy file holds
    roots         pins of roots by product, in the place of AMD's; null: AMD's
    now           the time at which it is judged
    refused       the check that refuses it, or null where it is accepted

attestation_cases.py has the cases, client/tests/software_device.py the device that signs them.
"""

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "client" / "src"), str(ROOT / "client" / "tests")]

from attestation_vectors import FILE, cases, outcome  # noqa: E402


def write() -> None:
    import attestation_cases

    made = attestation_cases.cases()
    names = [case["name"] for case in made]
    assert len(set(names)) == len(names), "a name is there twice"
    FILE.parent.mkdir(exist_ok=True)
    certificates: dict[str, str] = {}
    for case in made:
        case["endorsements"] = [shared(certificates, each) for each in case["endorsements"]]
    lines = [json.dumps(case, separators=(",", ":")) for case in made]
    FILE.write_text(f'{{"certificates":{json.dumps(certificates, indent=0)},\n"cases":[\n' + ",\n".join(lines) + "\n]}\n")


def shared(certificates: dict[str, str], encoded: bytes) -> str:
    name = hashlib.sha256(encoded).hexdigest()[:8]
    certificates[name] = base64.b64encode(encoded).decode()
    return name


def check() -> bool:
    good = True
    for case in cases():
        refusal = outcome(case)
        if (refusal and refusal.check) != case["refused"]:
            print(f"{case['name']}: expected {case['refused']}, got {refusal}", file=sys.stderr)
            good = False
    print(f"{FILE.name}: {len(cases())} cases {'agree' if good else 'DO NOT AGREE'}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="judge the file's cases instead of writing them")
    if not parser.parse_args().check:
        write()
    return 0 if check() else 1


if __name__ == "__main__":
    sys.exit(main())
