package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const (
	maxIDBytes = 128
	maxOrders  = 16
)

// check says whether a movement may follow.
func (b *books) check(m receipt.Body) error {
	if m.Type == receipt.Open {
		return b.checkOpen(m)
	}
	a := b.accounts[m.Account]
	if a == nil || a.heir != "" {
		return noAccount()
	}
	if a.closed {
		return errAccountClosed
	}
	if m.Owner != a.Owner {
		return errors.New("a movement of another owner")
	}
	switch m.Type {
	case receipt.Join:
		return b.checkJoin(a, m)
	case receipt.Freeze:
		return a.checkFreeze(m)
	case receipt.Close:
		return a.checkClose(m)
	}
	if b.of[m.Dataset] != a.ID {
		return errors.New("a movement of a dataset that draws on another account")
	}
	switch m.Type {
	case receipt.Limit:
		return a.checkLimit(m)
	case receipt.Reserve:
		return a.checkReserve(m)
	case receipt.Data, receipt.Release, receipt.Settle:
		e := a.entry(m.Run)
		if e == nil || e.Dataset != m.Dataset {
			return errors.New("the run has no charge")
		}
		if err := checkEntry(e, m); err != nil || m.Type != receipt.Data {
			return err
		}
		return a.checkData(e)
	}
	return errors.New("the type is none of this release")
}

// overLimitOf is OverLimit for the owner's limit of one scientist.
func (a *account) overLimitOf(scientist string) bool {
	limit, limited := a.Scientists[scientist]
	return limited && a.by[scientist] > limit
}

// checkData says whether a run may be given its data.
// PRIVACY: what a limit promises holds for every record given from then on: also where it came, or the account was frozen or joined, while the run waited.
func (a *account) checkData(e *Entry) error {
	if err := a.CheckFrozen(); err != nil {
		return err
	}
	if a.OverLimit() || a.overLimitOf(e.Scientist) {
		return ErrLimited
	}
	return nil
}

func (b *books) checkOpen(m receipt.Body) error {
	if m.Account != m.Dataset || b.accounts[m.Account] != nil {
		return errors.New("the dataset has an account already")
	}
	if len(m.Orders) == 0 || len(m.Orders) > maxOrders || slices.ContainsFunc(m.Orders, func(order int64) bool { return order < 2 }) {
		return errors.New("an account without proper orders for its counting filters")
	}
	return b.checkDataset(m)
}

func (b *books) checkDataset(m receipt.Body) error {
	switch {
	case len(m.Dataset) == 0 || len(m.Dataset) > maxIDBytes || len(m.Owner) > maxIDBytes || len(m.TestOf) > maxIDBytes:
		return errors.New("an account without a proper dataset identifier")
	case b.of[m.Dataset] != "":
		return errors.New("the dataset has an account already")
	case m.Limit < 0 || m.Declared <= 0:
		return errors.New("an account with an impossible limit or number of declared samples")
	}
	for _, digest := range []string{m.Blob, m.Rows} {
		if _, err := hex.DecodeString(digest); err != nil {
			return errors.New("an account with a malformed digest")
		}
	}
	return accounting.CheckDelta(m.Delta, m.Declared)
}

// checkJoin holds a joined account to the strictest of the terms.
func (b *books) checkJoin(a *account, m receipt.Body) error {
	if err := b.checkDataset(m); err != nil {
		return err
	}
	if !slices.Equal(m.Orders, a.Orders) || (len(m.Renyi) != 0 && len(m.Renyi) != len(a.Orders)) || (len(m.Accounts) == 0) != (len(m.Renyi) == 0) {
		return errors.New("a joining at other orders than the account's")
	}
	joined := []*account{a}
	for i, id := range m.Accounts {
		other := b.accounts[id]
		if other == nil || other.heir != "" || other.closed || other == a || other.Owner != a.Owner || slices.Contains(m.Accounts[:i], id) {
			return errors.New("a joining of an account that cannot be joined")
		}
		for run := range other.byRun {
			if slices.ContainsFunc(joined, func(each *account) bool { return each.entry(run) != nil }) {
				return errors.New("a joining of accounts that charge the same run")
			}
		}
		joined = append(joined, other)
	}
	for _, each := range joined {
		// PRIVACY: a promise about records that are already here may become stricter only.
		if m.Delta > each.Delta || (each.Limit != 0 && (m.Limit == 0 || m.Limit > each.Limit)) {
			return errors.New("a joining that loosens a limit")
		}
	}
	return negative(m.Renyi)
}

func negative(costs []accounting.Renyi) error {
	if slices.ContainsFunc(costs, func(cost accounting.Renyi) bool { return cost < 0 }) {
		return errors.New("a negative charge")
	}
	return nil
}

func (a *account) checkFreeze(m receipt.Body) error {
	if a.Frozen != "" {
		return errors.New("the account is frozen already")
	}
	if m.Reason == "" || len(m.Reason) > maxReasonBytes {
		return errors.New("a freezing without a proper reason")
	}
	return nil
}

func (a *account) checkLimit(m receipt.Body) error {
	if m.Limit <= 0 {
		return refusal.New(refusal.InvalidArgument, "give a limit above 0", "a privacy limit must be positive")
	}
	holds, whose := a.Limit, "a privacy limit"
	if m.Scientist != "" {
		if len(m.Scientist) > maxIDBytes {
			return errors.New("a limit without a proper scientist")
		}
		holds, whose = a.Scientists[m.Scientist], "the limit of a scientist"
	}
	// PRIVACY: the limit is a promise about records that are already here; it may become stricter only.
	if holds != 0 && m.Limit >= holds {
		return refusal.New(refusal.InvalidArgument, fmt.Sprintf("give a limit below %s", holds),
			"%s can only be lowered: it is %s, and %s was asked for", whose, holds, m.Limit)
	}
	return nil
}

// checkEntry allows reserved -> released, reserved -> data given -> settled, and nothing else.
func checkEntry(e *Entry, m receipt.Body) error {
	switch {
	case e.Outcome != "":
		return fmt.Errorf("the run has ended: %s", e.Outcome)
	case m.Type == receipt.Data && e.DataGiven:
		return errors.New("the run was given the data before")
	case m.Type == receipt.Release && e.DataGiven:
		// PRIVACY: a trainer that had the data may have used it, whatever became of the run.
		return ErrDataGiven
	case m.Type == receipt.Settle && !e.DataGiven:
		return errors.New("the run was never given the data: its charge is released, not settled")
	case m.Type == receipt.Settle && m.Outcome != OutcomeCompleted && m.Outcome != OutcomeFailed && m.Outcome != OutcomeCancelled:
		return errors.New("a run ends completed, failed or cancelled")
	case m.Type == receipt.Settle && len(m.Renyi) > 0:
		return checkPart(e, m)
	}
	return nil
}

// checkPart allows a cancelled run to be settled to a part of what it was charged.
func checkPart(e *Entry, m receipt.Body) error {
	// PRIVACY: only a run that a person ended. A failure may depend on records, and so may how far it came.
	if m.Outcome != OutcomeCancelled || len(m.Renyi) != len(e.Renyi) {
		return errors.New("only a cancelled run is settled to a part")
	}
	for i, part := range m.Renyi {
		if part < 0 || part > e.Renyi[i] {
			return errors.New("a run is settled to more than it was charged")
		}
	}
	return nil
}
