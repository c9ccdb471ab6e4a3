package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// books are the accounts as the records make them. check says whether a record may follow, apply makes it so; writing and replay use
// the same two, so that no file can be written that cannot be read.
type books struct {
	begun    bool
	accounts map[string]*account
	open     map[runKey]bool // the runs under way
}

type runKey struct{ dataset, run string }

type account struct {
	Account
	byRun map[string]int // index into Entries
}

func newBooks() books { return books{accounts: map[string]*account{}, open: map[runKey]bool{}} }

const maxIDBytes = 128

func (b *books) check(r record) error {
	if b.begun != (r.Type != typeLedger) {
		return errors.New("a ledger begins with its own record, and has one of it")
	}
	switch r.Type {
	case typeLedger:
		return checkLedger(r)
	case typeAccount:
		return b.checkAccount(r)
	}
	a, ok := b.accounts[r.Dataset]
	if !ok {
		return noAccount()
	}
	switch r.Type {
	case typeLimit:
		return a.checkLimit(r)
	case typeReserve:
		if len(r.Run) == 0 || len(r.Run) > maxIDBytes || len(r.Charge) > MaxChargeBytes {
			return errors.New("a charge without a proper run identifier, or too long")
		}
		if _, taken := a.byRun[r.Run]; taken {
			return errors.New("the run was charged before")
		}
		return a.checkReserve(r)
	case typeData, typeRelease, typeSettle:
		entry, err := a.entry(r.Run)
		if err != nil {
			return err
		}
		if r.Type == typeData && entry.Infinite && a.Limit != 0 {
			// PRIVACY: the limit came while the run waited. What it promises holds for every record given from then on.
			return ErrLimited
		}
		return checkEntry(entry, r)
	}
	return fmt.Errorf("the type is none of this release")
}

func checkLedger(r record) error {
	if r.Version != formVersion {
		return fmt.Errorf("the ledger has form %d, this release knows form %d", r.Version, formVersion)
	}
	return nil
}

func (b *books) checkAccount(r record) error {
	switch {
	case len(r.Dataset) == 0 || len(r.Dataset) > maxIDBytes || len(r.Owner) > maxIDBytes:
		return errors.New("an account without a proper dataset identifier")
	case b.accounts[r.Dataset] != nil:
		return errors.New("the dataset has an account already")
	case r.Limit < 0 || r.Declared <= 0:
		return errors.New("an account with an impossible limit or number of declared samples")
	}
	if _, err := hex.DecodeString(r.Blob); err != nil {
		return errors.New("an account with a malformed digest")
	}
	return accounting.CheckDelta(r.Delta, r.Declared)
}

// entry finds a run's charge.
func (a *account) entry(run string) (*Entry, error) {
	i, ok := a.byRun[run]
	if !ok {
		return nil, errors.New("the run has no charge")
	}
	return &a.Entries[i], nil
}

// checkEntry allows reserved -> released, reserved -> data given -> settled, and nothing else.
func checkEntry(e *Entry, r record) error {
	switch {
	case e.Outcome != "":
		return fmt.Errorf("the run has ended: %s", e.Outcome)
	case r.Type == typeData && e.DataGiven:
		return errors.New("the run was given the data before")
	case r.Type == typeRelease && e.DataGiven:
		// PRIVACY: a trainer that had the data may have used it, whatever became of the run.
		return ErrDataGiven
	case r.Type == typeSettle && !e.DataGiven:
		return errors.New("the run was never given the data: its charge is released, not settled")
	case r.Type == typeSettle && r.Outcome != OutcomeCompleted && r.Outcome != OutcomeFailed && r.Outcome != OutcomeCancelled:
		return errors.New("a run ends completed, failed or cancelled")
	}
	return nil
}

func (b *books) apply(r record) {
	switch r.Type {
	case typeLedger:
		b.begun = true
		return
	case typeAccount:
		digest, _ := hex.DecodeString(r.Blob) // checked
		b.accounts[r.Dataset] = &account{byRun: map[string]int{}, Account: Account{
			Dataset: r.Dataset, Owner: r.Owner, Limit: r.Limit, Delta: r.Delta, Declared: r.Declared, BlobSHA256: digest,
		}}
		return
	}
	a := b.accounts[r.Dataset]
	switch r.Type {
	case typeLimit:
		a.Limit = r.Limit
		return
	case typeReserve:
		a.byRun[r.Run] = len(a.Entries)
		a.Entries = append(a.Entries, Entry{
			Run: r.Run, Epsilon: r.Epsilon, Delta: r.Delta, Infinite: r.Infinite, Charge: r.Charge, ReservedUnixMS: r.UnixMS,
		})
		b.open[runKey{r.Dataset, r.Run}] = true
		a.add(a.Entries[len(a.Entries)-1])
		return
	}
	e := &a.Entries[a.byRun[r.Run]]
	switch r.Type {
	case typeData:
		e.DataGiven = true
	case typeRelease:
		e.Outcome = OutcomeReleased
		delete(b.open, runKey{r.Dataset, r.Run})
		a.count()
	case typeSettle:
		e.Outcome = r.Outcome
		delete(b.open, runKey{r.Dataset, r.Run})
	}
}

// count sums up anew what is charged.
func (a *account) count() {
	a.Spent, a.SpentDelta, a.Infinite = 0, 0, false
	for _, e := range a.Entries {
		a.add(e)
	}
}

func (a *account) add(e Entry) {
	if !e.Charged() {
		return
	}
	a.Spent = addUpTo(a.Spent, e.Epsilon)
	a.SpentDelta = addUpTo(a.SpentDelta, e.Delta)
	a.Infinite = a.Infinite || e.Infinite
}

// addUpTo adds and stays at the end of the integers, which a sum can reach only on a dataset without a limit.
func addUpTo[Unit ~int64](a, b Unit) Unit {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
