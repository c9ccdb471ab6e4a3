"""Takes one defence after the other out of a copy of the product, and sees whether a test notices.

    run.py [WORD ...]    only the mutants whose name holds one of the words
    run.py --stale       only which of them replace a text that is not there any more

One line for each, and at the end `N passed, N failed`. Passed: the loss was noticed. Failed: no test noticed, the mutant hung or
did not compile, or the text that it replaces is not there any more.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import accounts
import attestation
import audit
import books
import engine
import gpu
import measurement
import operations
import permissions
import server
import storage
import verification
from mutant import DoesNotApply, Go, Mutant, Tests
from scratch import ROOT, Scratch

PYTEST_FAILED, PYTEST_NONE = 1, 5


# One module for each part of the product.
PARTS = (engine, gpu, server, accounts, books, permissions, storage, verification, attestation, audit, measurement, operations)


def outcome(scratch: Scratch, mutant: Mutant) -> str:
    """Nothing where the loss was noticed, else why not."""
    try:
        scratch.apply(mutant)
        if said := scratch.build(mutant.tests):
            return f"does not compile: {said}"
        return verdict(mutant.tests, scratch.test(mutant.tests))
    except DoesNotApply as failure:
        return str(failure)
    except subprocess.TimeoutExpired:
        return "hangs"
    finally:
        scratch.restore(mutant)


def verdict(tests: Tests, ran: subprocess.CompletedProcess[str]) -> str:
    if ran.returncode == 0:
        return "no test ran" if "no tests to run" in ran.stdout else "no test noticed"
    if isinstance(tests, Go):
        return f"does not compile: {ran.stdout[-2000:]}" if "build failed" in ran.stdout or "setup failed" in ran.stdout else ""
    # A process that died of the mutant is a test that noticed.
    return (
        "" if ran.returncode == PYTEST_FAILED or ran.returncode < 0 else f"pytest ended with {ran.returncode}: {ran.stdout[-2000:]}"
    )


def sound(scratch: Scratch, mutants: list[Mutant]) -> str:
    """Without a mutant the same tests pass: else a failure would say nothing."""
    for tests in dict.fromkeys(mutant.tests for mutant in mutants):
        if said := scratch.build(tests):
            return said
        ran = scratch.test(tests)
        if ran.returncode != 0 or "no tests to run" in ran.stdout:
            return f"{tests}: {ran.stdout[-4000:]}"
    return ""


def stale(mutants: list[Mutant]) -> int:
    """Says which mutants must follow a source that has moved on; their number."""
    found = 0
    for mutant in mutants:
        try:
            for replacement in mutant.replacements:
                replacement.applied_to((ROOT / "server" / replacement.file).read_text())
        except (DoesNotApply, OSError) as failure:
            found += 1
            print(f"the mutant {mutant.name!r} is stale: {failure}")
    return found


def main(words: list[str]) -> int:
    every = [mutant for part in PARTS for mutant in part.MUTANTS]
    if words == ["--stale"]:
        return 1 if stale(every) else 0
    mutants = [mutant for mutant in every if not words or any(word in mutant.name for word in words)]
    torch = importlib.util.find_spec("torch")
    assert torch is not None, "torch is not installed"
    assert torch.origin is not None
    with tempfile.TemporaryDirectory(prefix="bastionlab-mutation-") as directory:
        scratch = Scratch(Path(directory), sys.executable, str(Path(torch.origin).parent))
        if said := sound(scratch, mutants):
            print(f"the tests fail without a mutant: {said}")
            return 1
        failed = 0
        for mutant in mutants:
            begin = time.monotonic()
            why = outcome(scratch, mutant)
            failed += why != ""
            print(
                f"{'FAILED' if why else 'noticed'}  {mutant.name}  ({time.monotonic() - begin:.0f} s){': ' + why if why else ''}",
                flush=True,
            )
    print(f"{len(mutants) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
