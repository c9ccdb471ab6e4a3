package ledger

import (
	"math/big"

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

// Remaining is the largest eps that a run with its ordinary share of delta is sure to get: within the limit less what is spent, and with
// a share that fits in what is left of delta/2. It is 0 without a limit, after training without noise, and where the limit was lowered
// below what is spent.
func (a Account) Remaining() accounting.Epsilon {
	if a.Limit == 0 || a.Infinite {
		return 0
	}
	byEpsilon := max(a.Limit-a.Spent, 0)
	left := a.Delta/2 - a.SpentDelta
	if left < 0 || a.Delta <= 0 {
		return 0
	}
	// The largest e with floor(delta*e / (2*limit)) <= left is the one below (left+1) * 2*limit / delta.
	bound := new(big.Int).Mul(big.NewInt(int64(left)+1), big.NewInt(2*int64(a.Limit)))
	bound.Sub(bound, big.NewInt(1))
	bound.Quo(bound, big.NewInt(int64(a.Delta)))
	if bound.IsInt64() && accounting.Epsilon(bound.Int64()) < byEpsilon {
		return accounting.Epsilon(bound.Int64())
	}
	return byEpsilon
}
