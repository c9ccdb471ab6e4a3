// Package lineage tells which records were uploaded before, so that a privacy budget belongs to records and not to the name under which
// they arrive. A record becomes a digest of its values, a dataset the set of its records' digests; Decide says which of an owner's
// accounts an upload draws on.
//
// Invariants: equal values give equal digests under one key, whatever the dtypes that hold them, the names, the shapes, the order of the
// inputs and the order of the records; different values do not, but for a chance of 2^-128 a pair. Where two readings of "the same
// record" are possible, the wider one is taken: to join too much costs an owner budget, to join too little breaks the promise made to
// whoever is in the data.
//
// What is not caught, because the values are others: a lossy change of dtype, scaling, another tokenisation or padding, augmentation,
// elements in another order (a transposed image), an input added, split or left out, labels corrected or counted from another number.
// Two records of the same values are one digest, within a dataset as across datasets: persons are not told apart. Fewer than a tenth of
// the rows, and the rows that the two sets of one upload share, do not join anything (see Decide). It is a guard against honest
// mistakes: an owner who wants to evade it adds a constant, and is the one who answers for the data.
//
// Non-goals: no I/O beyond a reader or writer that is handed in, no accounts (the ledger has them), no comparison across owners: each has
// a key of their own, so that whether somebody else has the same record cannot be found out here.
package lineage

import (
	"bytes"
	"cmp"
	"encoding/binary"
)

// DigestBytes is the size of a Digest.
const DigestBytes = 16

// Digest stands for one record's values under an owner's key. PRIVACY: without the key it tells nothing about them, not even to who can
// guess all of them.
type Digest [DigestBytes]byte

// compare orders digests as bytes.Compare does, faster.
func compare(a, b Digest) int {
	if c := cmp.Compare(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])); c != 0 {
		return c
	}
	return bytes.Compare(a[8:], b[8:])
}
