package ledger

import (
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// Standing says what the ledger knows of a receipt that somebody presents.
type Standing int

// A receipt is known, or was signed by this ledger and forgotten, or is nothing of this ledger. The numbers are those of
// bastionlab.v1.Standing.State: never renumber.
const (
	Known Standing = iota + 1
	Forgotten
	Foreign
)

const (
	reasonForgotten = "a receipt that this server signed is not in its ledger, which was put back from an older copy"
	maxReasonBytes  = 512
)

// Present judges a receipt, and tells the number of its account's newest receipt. One that the ledger's key signed and that the ledger does
// not hold proves that the ledger was put back, or that a second one runs with the same key: its account is frozen, durably, and nothing
// more is charged on it.
func (l *Ledger) Present(presented receipt.Receipt) (standing Standing, newest int64, err error) {
	// SECURITY: whatever this key did not sign, anybody could have written: it freezes nothing.
	if !presented.SignedBy(l.Key()) {
		return Foreign, 0, nil
	}
	body, err := receipt.Decode(presented.Body)
	if err != nil {
		return Foreign, 0, nil // the first line of the file, or the form of another release
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	a := l.books.accounts[body.Account]
	if a == nil {
		return Forgotten, 0, nil // there is nothing to freeze
	}
	newest = int64(len(a.chain))
	if body.Seq >= 1 && body.Seq <= newest && a.chain[body.Seq-1].hash == receipt.Hash(presented.Body) {
		return Known, newest, nil
	}
	heir := a
	for heir.heir != "" {
		heir = l.books.accounts[heir.heir]
	}
	if heir.Frozen != "" || heir.closed {
		return Forgotten, newest, nil
	}
	return Forgotten, newest, wrap("freeze account", l.append(receipt.Body{
		Type: receipt.Freeze, Account: heir.ID, Owner: heir.Owner, Dataset: heir.ID, Reason: reasonForgotten, Presented: receipt.HashText(presented.Body),
	}))
}
