package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

var (
	errAccountClosed = errors.New("the account is closed: nothing follows on that")
	errRunUnderWay   = errors.New("an account with a run under way is not closed")
	errCloseDiffers  = errors.New("a close that tells something else than the account")
)

// CloseAccounts ends the ledger of a boot whose key ends with it: what still runs is ended as a start would end it, every account gets a last
// receipt with what was spent, and nothing is written any more, whoever asks. An owner who holds that receipt may count on what it
// leaves; without it the account counts as wholly spent. Nothing may train any more, and no call be under way.
func (l *Ledger) CloseAccounts() error {
	for _, run := range l.Unsettled() {
		var err error
		if run.DataGiven {
			err = l.Settle(run.Dataset, run.Run, OutcomeFailed)
		} else {
			err = l.Release(run.Dataset, run.Run)
		}
		if err != nil {
			return fmt.Errorf("end a run before its account is closed: %w", err)
		}
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	for _, a := range l.books.lasting() {
		if err := l.append(a.closing()); err != nil {
			return wrap("close account", err)
		}
	}
	if l.journal.broken == nil {
		// PRIVACY: a charge after the close would be one that the owner was told there is none of.
		l.journal.broken = errClosed
	}
	return nil
}

// lasting are the accounts that no other continues and that are not closed, in the order in which they began.
func (b *books) lasting() []*account {
	var found []*account
	for _, a := range b.accounts {
		if a.heir == "" && !a.closed {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b *account) int { return cmp.Compare(a.chain[0].offset, b.chain[0].offset) })
	return found
}

// closing is the movement that closes an account. The sums and the limit are in what every receipt tells after the movement; the counting
// filters' are told here.
func (a *account) closing() receipt.Body {
	return receipt.Body{Type: receipt.Close, Account: a.ID, Owner: a.Owner, Dataset: a.ID, Orders: a.Orders, Renyi: a.Renyi}
}

func (a *account) checkClose(m receipt.Body) error {
	for _, e := range a.Entries {
		if e.Outcome == "" {
			return errRunUnderWay
		}
	}
	if m.Dataset != a.ID || !slices.Equal(m.Orders, a.Orders) || !slices.Equal(m.Renyi, a.Renyi) {
		return errCloseDiffers
	}
	return nil
}
