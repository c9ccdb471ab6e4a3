"""Mutants of the audit log, and of uploads that are kept."""

from __future__ import annotations

from mutant import Go, Mutant, without


def mutant(name: str, path: str, old: str, new: str, tests: str) -> Mutant:
    """``path`` below internal/, with the tests of its package."""
    return without(name, f"internal/{path}", old, new, Go(f"internal/{path.rpartition('/')[0]}", tests))


MUTANTS: list[Mutant] = [
    mutant(
        "the audit log's chain is not looked at",
        "audit/scan.go",
        "case prev != p.head:",
        "case false:",
        "TestDamageIsRefused|TestNoByteCanBeChanged",
    ),
    mutant(
        "an audit log that lost its end is taken",
        "audit/resume.go",
        "if !reached {",
        "if false {",
        "TestALogThatLostItsEnd",
    ),
    mutant(
        "an audit log that was exchanged is taken",
        "audit/resume.go",
        "if f.Seq == marked && !f.hash.same(markedHead) {",
        "if f.Seq == marked && f.hash.same(nil) && len(markedHead) == 0 {",
        "TestALogThatLostItsEnd",
    ),
    mutant(
        "what a caller wrote is written into the audit log",
        "audit/line.go",
        "*text.value = malformed",
        "_ = malformed",
        "TestNoTextOfAUser",
    ),
    mutant(
        "a change is answered before its entry is on disk",
        "audit/write.go",
        "sync = sync || w.change",
        "sync = sync || false",
        "TestWhateverCallIsTheLast",
    ),
    mutant(
        "a disk that failed is written to again",
        "audit/write.go",
        "l.broken = err\n\tl.mu.Unlock()\n\tl.config.Log.Error",
        "l.mu.Unlock()\n\tl.config.Log.Error",
        "TestABrokenDisk",
    ),
    mutant(
        "a change is begun on a full disk",
        "audit/audit.go",
        "if err := l.ensure(1); err != nil {",
        "if err := error(nil); err != nil {",
        "TestAFullDisk",
    ),
    mutant(
        "looks take the room that changes were promised",
        "audit/write.go",
        "if reads == 0 || l.reserveTo(",
        "if true || l.reserveTo(",
        "TestAFullDisk",
    ),
    mutant(
        "half a line that found no room stays",
        "audit/write.go",
        "errors.Join(l.file.Truncate(at.bytes), l.file.Sync())",
        "errors.Join(l.file.Sync())",
        "TestALineThatFoundNoRoom",
    ),
    mutant(
        "strangers fill the disk",
        "audit/quota.go",
        "if of.written >= most ||",
        'if of.written >= most && user != "" ||',
        "TestStrangersCannot",
    ),
    mutant(
        "everybody is told everything of the audit log",
        "audit/list.go",
        "return concerns && (",
        "return (concerns || true) && (",
        "TestEachIsTold",
    ),
    mutant(
        "an answer leaves before it is noted",
        "server/unary.go",
        "if err := s.note.answer(message); err != nil {\n\t\treturn err\n\t}\n\treturn s.ServerStream.SendMsg(message)",
        "if err := s.ServerStream.SendMsg(message); err != nil {\n\t\treturn err\n\t}\n\treturn s.note.answer(message)",
        "TestAnAnswer",
    ),
    mutant(
        "a change that cannot be noted is made",
        "server/gate.go",
        "if err := this.noted.begin(); err != nil {",
        "if err := error(nil); err != nil {",
        "TestWithoutALog",
    ),
    mutant(
        "strangers make the disk sync",
        "server/note.go",
        "n.log.Record(e, n.begun)",
        "n.log.Record(e, n.weight == change)",
        "TestWhatIsNoted",
    ),
    mutant(
        "an upload goes on under another header",
        "server/kept.go",
        "case !proto.Equal(kept.header, withoutPlace(header)):",
        "case false:",
        "TestAStreamThatDoesNotFit",
    ),
    mutant(
        "an upload goes on after another batch",
        "server/kept.go",
        "case after != kept.batches:",
        "case false:",
        "TestAStreamThatDoesNotFit",
    ),
    mutant(
        "two streams feed one upload",
        "server/kept.go",
        "case kept.streaming:",
        "case false:",
        "TestTwoStreams",
    ),
    mutant(
        "anybody goes on with anybody's upload",
        "server/kept.go",
        "key, after := uploadKey{user, header.GetUploadId()}, header.GetAfterBatches()",
        'key, after := uploadKey{"", header.GetUploadId()}, header.GetAfterBatches()',
        "TestAnotherUsers|TestAnUploadThatWasCut|TestKept",
    ),
    mutant(
        "any number of uploads is kept",
        "server/kept.go",
        "u.dropOldest(maxKept-1, func(*datasetUpload) bool { return true })",
        "",
        "TestKeptUploads",
    ),
    mutant(
        "the upload of a revoked user is kept",
        "server/kept.go",
        " && !errors.As(context.Cause(ctx), &refused)",
        "",
        "TestWhoWasRefused",
    ),
    mutant(
        "a kept upload outlives the server's stop",
        "server/server.go",
        "\ts.uploads.stop()\n",
        "",
        "TestAKeptUpload",
    ),
]
