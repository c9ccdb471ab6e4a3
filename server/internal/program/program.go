// Package program judges what scientists send, before libtorch has read it and after: the outside of the archive, so that nothing hostile
// is unpacked, and the canonical program that the intake made of it, so that only what has a privacy argument is trained.
//
// A canonical program is a straight line of operators and plain tensors (bastionlab.trainer.v1.Graph, and canonical.go for how it lies in
// a file). Its bytes are the model: server and trainer judge them with this package, and their digest is what plan, ledger and receipt
// name. The archive is needed no more once they exist.
//
// Invariants: no entry of an archive is inflated here; every quantity is bounded before memory is taken for it; a canonical program has
// exactly one encoding and one reading; an operator that the table does not name is refused. Nothing that an intake says counts beyond
// what its graph shows, but for two texts that people read (report.go). The table in operators.txt is the one table; which of its operators
// a GPU takes stands in cuda.txt.
//
// Non-goals: no parsing of TorchScript (operators are judged on what libtorch parsed and unrolled), no shapes or types of values (the
// engine tries every step), no I/O but an io.ReaderAt and an io.Writer.
package program
