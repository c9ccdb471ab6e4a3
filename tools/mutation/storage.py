"""Mutants of what is kept at rest, and of what a restart does to a budget."""

from __future__ import annotations

from mutant import Client, Go, Mutant, without


def stored(name: str, path: str, old: str, new: str, tests: str) -> Mutant:
    """``path`` below internal/, with the tests of its package."""
    return without(name, f"internal/{path}", old, new, Go(f"internal/{path.rpartition('/')[0]}", tests))


def client(name: str, path: str, old: str, new: str, select: str = "", file: str = "test_continuing.py") -> Mutant:
    return without(name, f"../client/src/bastionlab/{path}", old, new, Client((f"tests/{file}",), select))


MUTANTS: list[Mutant] = [
    stored(
        "the wrapped key is kept when a dataset is deleted",
        "storage/datasets.go",
        '"destroy key of dataset", -1, keys, id)',
        '"destroy key of dataset", -1, keys, "")',
        "TestABlobThatWasCopied",
    ),
    stored(
        "the test set's key is kept",
        "storage/datasets.go",
        "?1 OR dataset_id IN (SELECT id FROM datasets WHERE test_of = ?1)",
        "?1",
        "TestABlobThatWasCopied",
    ),
    stored(
        "a destroyed key stays in the database's log",
        "storage/datasets.go",
        "\ts.emptyLog(ctx)\n",
        "",
        "TestABlobThatWasCopied",
    ),
    stored(
        "a wrapped key is another dataset's too",
        "storage/datasetkeys.go",
        "wrapped[seal.NonceSize():], []byte(dataset))",
        "wrapped[seal.NonceSize():], nil)",
        "TestAWrappedKey|TestABlobIsOpened",
    ),
    stored(
        "a dataset that is gone gets a new key",
        "storage/datasetkeys.go",
        "WHERE EXISTS (SELECT 1 FROM datasets WHERE id = ?1) ON CONFLICT",
        "WHERE true ON CONFLICT",
        "TestABlobThatWasCopied",
    ),
    stored(
        "records are under the server's key",
        "dataset/upload.go",
        "c.store.CreateDatasetBlob(ctx, id, blobKind, id)",
        "c.store.CreateBlob(blobKind, id)",
        "TestRecordsAreUnder",
    ),
    stored(
        "states are under the server's key",
        "training/states.go",
        "Store.CreateDatasetBlob(ctx, row.DatasetID, stateKind, row.StateID)",
        "Store.CreateBlob(stateKind, row.StateID)",
        "TestAStateIsUnder",
    ),
    stored(
        "a directory is opened at any level",
        "storage/level.go",
        "if found != s.level {",
        "if false {",
        "TestADirectoryKeepsTheLevel",
    ),
    stored(
        "the key of the level memory is written",
        "storage/level.go",
        "if s.level == File {",
        "if true {",
        "TestAtTheLevelMemory",
    ),
    stored(
        "what cannot be read stays listed",
        "storage/level.go",
        '"DELETE FROM datasets",',
        "",
        "TestARestartAtTheLevelMemory",
    ),
    without(
        "no account is closed at a stop",
        "cmd/bastionlab/domain.go",
        "errs = append(errs, d.ledger.CloseAccounts())",
        "_ = d.ledger.CloseAccounts",
        Go("cmd/bastionlab", "TestAStartInMemory"),
    ),
    stored(
        "an account is charged after its close",
        "ledger/rules.go",
        "if a.closed {",
        "if false {",
        "TestNothingFollowsOnAClose",
    ),
    stored(
        "an account is opened after the close",
        "ledger/close.go",
        "if l.journal.broken == nil {",
        "if false {",
        "TestNothingFollowsOnAClose",
    ),
    stored(
        "an account with a run under way is closed",
        "ledger/close.go",
        'if e.Outcome == "" {',
        "if e.Outcome == OutcomeReleased {",
        "TestAnAccountWithARun",
    ),
    stored(
        "the old position is forgotten before the file is aside",
        "ledger/aside.go",
        "errors.Join(disk.syncDir(folder), disk.syncDir(dir))",
        "error(nil)",
        "TestWhateverCallIsTheLastTheNextBoot",
    ),
    stored(
        "an old ledger is gone on with",
        "ledger/aside.go",
        "err := disk.rename(",
        "err := func(_, _ string) error { return nil }(",
        "TestAFileOfAnotherBoot",
    ),
    stored(
        "fsck takes what follows on a close",
        "ledger/fsck/books.go",
        "if b.closed {",
        "if false {",
        "TestACloseThatTells",
    ),
    stored(
        "a close that nobody signed is handed on",
        "ledger/closings.go",
        " || !found.SignedBy(found.Key)",
        "",
        "TestWhatDoesNotFit",
    ),
    client(
        "a close is verified with the key that the server sends",
        "_closings.py",
        "remembered = next((key for key in wanted if key == message.key.hex()), None)",
        "remembered = message.key.hex()",
        "key_of_the_time",
    ),
    client(
        "an account without a close counts as new",
        "torch/_continuing.py",
        "    if closing is None:\n        why = (",
        "    if False:\n        why = (",
        "wholly_spent",
    ),
    client(
        "what is left goes to two uploads",
        "torch/_continuing.py",
        "continues=() if which else tuple(given),",
        "continues=(),",
        "good_once or twice",
    ),
    client(
        "the remainder is given away after the upload",
        "torch/_continuing.py",
        "        note.save(Sketch.of(each).to_bytes())\n",
        "        pass\n",
        "before_anything_is_sent",
    ),
    client(
        "a book that contradicts a close is not looked at",
        "_closings.py",
        "if any(True for _ in contradictions(known)):",
        "if False:",
        "key_of_the_time",
    ),
    client(
        "two uploads decide at once",
        "torch/_continuing.py",
        "    with exclusively():",
        "    if True:",
        "two_uploads_at_once",
    ),
    client(
        "a lost attempt's remainder is given away again",
        "torch/_continuing.py",
        "for notes in lost for note in notes for identifier in note.continues",
        "for notes in lost for note in notes for identifier in ()",
        "attempt_that_was_lost",
    ),
    client(
        "a wider dtype is another record",
        "torch/_sketch.py",
        "forms = values.to(torch.float64).numpy().view(np.uint64).copy()\n        numbers = values.to(torch.float64).numpy()",
        "forms = values.numpy().view(np.uint8).copy()\n        numbers = np.ones(forms.shape)",
        "known_again",
    ),
    client(
        "the delta that was spent comes back",
        "torch/_continuing.py",
        'min(after["delta"] for after in afters) - sum(after["spent_delta"] for after in afters)',
        'min(after["delta"] for after in afters)',
        "orderly_stop",
    ),
]
