package ledger

import "github.com/bastionlab/bastionlab/server/internal/receipt"

const reasonRestored = "the server was restored from a backup that was taken while it could go on, and what was charged since is not known"

// FreezeRestored freezes every account of a ledger that may have gone on after it was copied, and says how many it froze. Nothing more is charged on
// them, and no run gets their data; records that are uploaded again draw on them, and are not trained on either.
func (l *Ledger) FreezeRestored() (frozen int, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	for _, a := range l.books.lasting() {
		if a.Frozen != "" {
			continue
		}
		if err := l.append(receipt.Body{Type: receipt.Freeze, Account: a.ID, Owner: a.Owner, Dataset: a.ID, Reason: reasonRestored}); err != nil {
			return frozen, wrap("freeze account", err)
		}
		frozen++
	}
	return frozen, nil
}
