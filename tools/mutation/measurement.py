"""Mutants of what measures a guest, of the policy that is written for it, and of the first program of a measured image."""

from __future__ import annotations

from mutant import Go, Mutant, without

PACKAGE, COMMAND, INIT = "internal/attestation/measurement", "cmd/bastionlab", "cmd/bastionlab-init"
FIRMWARE, GUESTS = "TestFirmwareThatIsRefused", "TestGuestsThatAreRefused"


def never(name: str, file: str, condition: str, tests: str = FIRMWARE) -> Mutant:
    """The refusal under this condition is taken out."""
    return without(f"measurement: {name}", f"{PACKAGE}/{file}", f"{condition} {{", f"false && ({condition}) {{", Go(PACKAGE, tests))


def written(name: str, file: str, old: str, new: str) -> Mutant:
    return without(f"measure: {name}", f"{COMMAND}/{file}", old, new, Go(COMMAND, "TestMeasure|TestPoliciesThatAreNotWritten"))


def started(name: str, file: str, old: str, new: str) -> Mutant:
    return without(f"image: {name}", f"{INIT}/{file}", old, new, Go(INIT, "."))


MUTANTS = [
    without(
        "measurement: the digests of what is loaded may lie elsewhere",
        f"{PACKAGE}/section.go",
        "f.hashes/pageBytes*pageBytes != s.Address || ",
        "",
        Go(PACKAGE, FIRMWARE),
    ),
    never("a firmware without a place for them", "section.go", "tables != 1"),
    without(
        "measurement: sections of any size", f"{PACKAGE}/section.go", "total > maxSectionsBytes {", "false {", Go(PACKAGE, FIRMWARE)
    ),
    never("two pages where one is known", "section.go", "s.Length != pageBytes"),
    without(
        "measurement: an entry twice",
        f"{PACKAGE}/firmware.go",
        "table[name]; twice {",
        "table[name]; twice && false {",
        Go(PACKAGE, FIRMWARE),
    ),
    without(
        "measurement: a guest that is none of SEV-SNP",
        f"{PACKAGE}/guest.go",
        "case g.Features&SNPActive == 0:",
        "case false:",
        Go(PACKAGE, GUESTS),
    ),
    without(
        "measurement: a command line that Linux cuts",
        f"{PACKAGE}/guest.go",
        "case len(g.Command) > maxCommand:",
        "case false:",
        Go(PACKAGE, GUESTS),
    ),
    written("any file for a kernel", "measure.go", "string(found) != kernelMagic", "false"),
    written("a policy without a floor", "measure_policy.go", "if len(w.floors) == 0 {", "if false {"),
    written("a policy for any configuration", "measure_policy.go", 'if w.trainer == "" {', "if false {"),
    started("a changed block is read", "root.go", "- 1 panic_on_corruption", "-"),
    started("the last of several roots", "root.go", "len(found) != 1", "len(found) == 0"),
    started("a root that can be written", "verity.go", "h.Flags = unix.DM_READONLY_FLAG", "h.Flags = 0"),
]
