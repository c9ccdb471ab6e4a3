package ledger

import (
	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// Account is what is known of one dataset's budget.
type Account struct {
	Dataset    string
	Owner      string
	Limit      accounting.Epsilon // 0: none
	Delta      accounting.Delta
	Declared   int64
	BlobSHA256 []byte
	Spent      accounting.Epsilon // the sum over charged entries; it can exceed a limit that was lowered
	SpentDelta accounting.Delta
	Infinite   bool // trained on without noise
	Entries    []Entry
}

// Outcomes of a run. An entry whose Outcome is empty is under way.
const (
	OutcomeCompleted = "completed"
	OutcomeFailed    = "failed"
	OutcomeCancelled = "cancelled"
	OutcomeReleased  = "released" // given back; it counts for nothing
)

// Entry is one run's charge.
type Entry struct {
	Run            string
	Epsilon        accounting.Epsilon
	Delta          accounting.Delta
	Infinite       bool
	Charge         []byte // the bytes of bastionlab.v1.Charge that were authorised; not to be changed
	DataGiven      bool
	Outcome        string
	ReservedUnixMS int64
}

// Charged says whether the entry counts.
func (e Entry) Charged() bool { return e.Outcome != OutcomeReleased }

// OverLimit says whether more is charged than the limit allows, which only lowering it can bring about.
// PRIVACY: what a limit promises holds for every record given from then on. Charges whose runs still wait count too: which of them will
// get the data is not known yet. This is no rule of replay: earlier releases gave data past it, and their files must open.
func (a Account) OverLimit() bool {
	return a.Limit != 0 && (a.Infinite || a.Spent > a.Limit || a.SpentDelta > a.Delta/2)
}

// Remaining is what a run with its ordinary share of delta is sure to get: see accounting.Remaining. It is 0 without a limit, and after
// training without noise.
func (a Account) Remaining() accounting.Epsilon {
	if a.Limit == 0 || a.Infinite {
		return 0
	}
	return accounting.Remaining(a.Limit, a.Spent, a.Delta, a.SpentDelta)
}
