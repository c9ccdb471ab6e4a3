"""Mutants of the books: what is charged, given back, joined, frozen and signed."""

from __future__ import annotations

from mutant import Client, Go, Mutant, without


def mutant(name: str, path: str, old: str, new: str, tests: str) -> Mutant:
    """``path`` below internal/, with the tests of its package."""
    return without(name, f"internal/{path}", old, new, Go(f"internal/{path.rpartition('/')[0]}", tests))


MUTANTS: list[Mutant] = [
    mutant(
        "a charge is not held to the filters",
        "ledger/charge.go",
        "if m.Infinite || a.Admits(entryOf(m).Cost) {",
        "if true {",
        "TestThreeRunsOfTwo",
    ),
    mutant(
        "data are given past a lowered limit",
        "ledger/rules.go",
        "if a.OverLimit() || a.overLimitOf(e.Scientist) {",
        "if false {",
        "TestALimitThatCameWhileARunWaited",
    ),
    mutant(
        "data are given on a frozen account",
        "ledger/rules.go",
        "if err := a.CheckFrozen(); err != nil {",
        "if err := error(nil); err != nil {",
        "TestALedgerThatWasPutBack",
    ),
    mutant(
        "a frozen account is charged",
        "ledger/charge.go",
        'case a.Frozen != "":\n\t\treturn a.CheckFrozen()',
        "case false:\n\t\treturn a.CheckFrozen()",
        "TestALedgerThatWasPutBack",
    ),
    mutant(
        "anybody freezes an account",
        "ledger/present.go",
        "if !presented.SignedBy(l.Key()) {",
        "if false {",
        "TestWhatAnybodyCouldHaveWritten",
    ),
    mutant(
        "what was forgotten is known",
        "ledger/present.go",
        "body.Seq <= newest &&",
        "body.Seq > newest ||",
        "TestAReceiptOfAJoined",
    ),
    mutant(
        "a file is taken whoever signed it",
        "ledger/replay.go",
        "if err := l.verify(last.line); err != nil {",
        "if err := error(nil); err != nil {",
        "TestAFileThatAnotherKeySigned",
    ),
    mutant(
        "a receipt's sums are not looked at",
        "ledger/replay.go",
        "if m.After != next.after() {",
        "if false {",
        "TestABodyWritten",
    ),
    mutant(
        "a failed run is settled to a part",
        "ledger/rules.go",
        "if m.Outcome != OutcomeCancelled || len(m.Renyi)",
        "if len(m.Renyi)",
        "TestAMovementThatBreaksTheRules",
    ),
    mutant(
        "a charge is given back after the data",
        "ledger/rules.go",
        "case m.Type == receipt.Release && e.DataGiven:",
        "case false:",
        "TestAChargeIsGivenBack",
    ),
    mutant(
        "a joined account drops what others drew",
        "ledger/movements.go",
        "m.Renyi = sum(m.Renyi, drawn)",
        "m.Renyi = sum(m.Renyi, make([]accounting.Renyi, len(drawn)))",
        "TestAJoinedAccountKeeps",
    ),
    mutant(
        "a joined account keeps the looser delta",
        "ledger/movements.go",
        "m.Delta = min(m.Delta, a.Delta)",
        "_ = a.Delta",
        "TestAJoinedAccountKeeps",
    ),
    mutant(
        "a scientist's limit is not held",
        "ledger/charge.go",
        "if !m.Infinite && spent <= limit && m.Epsilon <= limit-spent {",
        "if true {",
        "TestAScientistsLimit",
    ),
    mutant(
        "an interrupted run is settled to a part",
        "training/end.go",
        "row.StateSteps == 0 || row.Attempts > 1 || row.Interruptions > 0",
        "row.StateSteps == 0",
        "TestACancelledRunIsSettled",
    ),
    mutant(
        "a run that showed its pace only is settled to nothing",
        "training/end.go",
        "row.StateSteps == 0 || row.Attempts > 1 || row.Interruptions > 0",
        "row.Attempts > 1 || row.Interruptions > 0",
        "TestACancelledRunIsSettled",
    ),
    mutant(
        "the sampler's share is left out of the filters",
        "planning/drawn.go",
        "drawn[i] = min(drawn[i]+samplerRenyi, accounting.MaxRenyi)",
        "drawn[i] = min(drawn[i], accounting.MaxRenyi)",
        "TestTheChargeHolds",
    ),
    mutant(
        "an upload of the same records gets an account of its own",
        "dataset/publish.go",
        "if len(decision.Joins) == 0 {",
        "if true {",
        "TestACollectionUploadedAgain",
    ),
    mutant(
        "all owners' digests are under one key",
        "dataset/digests.go",
        "mac.Write([]byte(owner))",
        "_ = owner",
        "Owner",
    ),
    mutant(
        "a history that cannot be read is none",
        "dataset/history.go",
        "rows, err := c.digestsOf(dataset)\n\t\tif err != nil {\n\t\t\treturn lineage.Set{}, err\n\t\t}",
        "rows, err := c.digestsOf(dataset)\n\t\tif err != nil {\n\t\t\tcontinue\n\t\t}",
        "TestAnUploadIsNotCompared",
    ),
    mutant("a charge says nothing of a GPU", "planning/charge.go", "Device:        p.Device,", "", "TestADeviceThatIsOffered"),
    mutant(
        "a plan on a GPU does not warn",
        "planning/warn.go",
        'if p.Device != "" {',
        "if false {",
        "TestADeviceThatIsOffered",
    ),
    mutant(
        "a device that is not offered has a price",
        "planning/check.go",
        'case r.device() != "" && !slices.Contains(r.Devices, r.Device):',
        "case !slices.Contains(r.Devices, r.Device) && false:",
        "TestADeviceThatIsNotOffered",
    ),
    mutant(
        "a trainer is not told on what it computes",
        "training/quote.go",
        "Device:             priced.Device,\n\t\t},\n\t\tHasInitialWeights",
        "},\n\t\tHasInitialWeights",
        "TestTheDeviceOfARun",
    ),
    mutant(
        "attempts that cannot begin are made and counted",
        "training/resume.go",
        "if !s.offers(o) &&",
        "if false &&",
        "TestARunWaitsForAServer",
    ),
    mutant(
        "a run is approved on a device that is not there",
        "training/approve.go",
        "if !s.offers(l.order) {",
        "if false {",
        "TestARunWaitsForAServer",
    ),
    mutant(
        "a charge is on whatever device it says",
        "planning/agree.go",
        "case !slices.Contains(chargedDevices, c.GetDevice()):",
        "case !slices.Contains(chargedDevices, c.GetDevice()) && false:",
        "TestAReceiptsCharge",
    ),
    without(
        "the client takes a charge on whatever device it says",
        "../client/src/bastionlab/_receipt_checks.py",
        "if charge.device not in _DEVICES:",
        "if False:",
        Client(("tests/test_receipts.py",), "device"),
    ),
    mutant("a tenth does not join", "lineage/decide.go", "10*shared >= upload", "10*shared > 11*upload", "Test"),
]
