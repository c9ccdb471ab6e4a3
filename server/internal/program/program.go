// Package program judges what scientists send before and after libtorch has read it: the outside of the archive, so that nothing hostile is
// unpacked, and the list of operators that were found, so that only those with a privacy argument are trained.
//
// Invariants: no entry is inflated here; every quantity is bounded before memory is taken for it; an operator that the table does not name
// is refused. The table in operators.txt is the one table: the trainer enforces it on the parsed graph, the server on the report.
//
// Non-goals: no parsing of TorchScript (operators are judged on what libtorch parsed), no I/O but an io.ReaderAt.
package program
