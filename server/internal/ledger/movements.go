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

// ErrDataGiven is wrapped by the refusal to release a charge whose trainer may have had the data.
var ErrDataGiven = errors.New("the run was given the data: its charge stays")

// ErrLimited is wrapped by the refusal to give data to a run that the dataset's limit, lowered or set since the run was charged, does not
// allow. Its charge can still be released.
var ErrLimited = errors.New("the dataset's privacy limit was lowered: the run is not given its data")

// ErrFrozen is wrapped by the refusal to charge a frozen account, or to give data to a run on it. Its charge can still be released.
var ErrFrozen = errors.New("the account is frozen")

func noAccount() error {
	return refusal.New(refusal.NotFound, "list the datasets there are", "there is no budget account for this dataset")
}

// Dataset is what begins an account, or joins one.
type Dataset struct {
	ID, Owner  string
	TestOf     string             // the training set that it is the test set of
	Limit      accounting.Epsilon // 0: none
	Delta      accounting.Delta   // below 1/Declared
	Declared   int64
	BlobHMAC   []byte // of its records as they lie, under a key of the owner's
	RowsSHA256 []byte // of the digests of its records
}

func (d Dataset) movement() receipt.Body {
	return receipt.Body{
		Dataset: d.ID, Owner: d.Owner, TestOf: d.TestOf, Limit: d.Limit, Delta: d.Delta, Declared: d.Declared,
		Blob: hex.EncodeToString(d.BlobHMAC), Rows: hex.EncodeToString(d.RowsSHA256),
	}
}

// OpenAccount begins the account of a dataset.
func (l *Ledger) OpenAccount(d Dataset) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	m := d.movement()
	m.Type, m.Account = receipt.Open, d.ID
	m.Orders = accounting.FilterOrders(d.Limit, d.Delta)
	return wrap("open account", l.append(m))
}

// JoinAccounts has a dataset draw on the accounts of earlier uploads of its records, which become one: that of the first. It keeps every
// charge of all of them, and takes the smallest limit and delta. price recomputes a charge at the first account's orders.
func (l *Ledger) JoinAccounts(d Dataset, accounts []string, price func(charge []byte, orders []int64) ([]accounting.Renyi, error)) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	m := d.movement()
	m.Type, m.Account = receipt.Join, accounts[0]
	for i, id := range accounts {
		a := l.books.accounts[id]
		if a == nil {
			return wrap("join accounts", noAccount())
		}
		if i == 0 {
			m.Orders = a.Orders
		} else {
			m.Accounts = append(m.Accounts, id)
			drawn := a.recomputed(m.Orders, price)
			m.Renyi = sum(m.Renyi, drawn)
		}
		m.Delta = min(m.Delta, a.Delta)
		if m.Limit == 0 || (a.Limit != 0 && a.Limit < m.Limit) {
			m.Limit = a.Limit
		}
	}
	return wrap("join accounts", l.append(m))
}

// recomputed is what an account's charges draw at other orders. A cancelled run that was settled to a part counts in full.
func (a *account) recomputed(orders []int64, price func([]byte, []int64) ([]accounting.Renyi, error)) []accounting.Renyi {
	drawn := make([]accounting.Renyi, len(orders))
	for _, e := range a.Entries {
		if !e.Charged() || e.Infinite {
			continue
		}
		cost, err := price(e.Charge, orders)
		if err != nil || len(cost) != len(orders) {
			// PRIVACY: a charge that cannot be read counts as more than any filter admits.
			cost = slices.Repeat([]accounting.Renyi{accounting.MaxRenyi}, len(orders))
		}
		drawn = sum(drawn, cost)
	}
	return drawn
}

func sum(a, b []accounting.Renyi) []accounting.Renyi {
	total := make([]accounting.Renyi, len(b))
	copy(total, a)
	for i, drawn := range b {
		total[i] = addUpTo(total[i], drawn)
	}
	return total
}

// LowerLimit lowers a dataset's limit, or gives one to a dataset that had none. A limit below what is spent is allowed - an owner who
// wants no more of it should not have to compute - and leaves nothing. The limit that already holds is accepted and changes nothing.
func (l *Ledger) LowerLimit(dataset string, limit accounting.Epsilon) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if a := l.books.find(dataset); a != nil && limit > 0 && a.Limit == limit {
		return nil
	}
	return wrap("lower limit", l.move(receipt.Body{Type: receipt.Limit, Dataset: dataset, Limit: limit}))
}

// LimitScientist bounds the sum of eps that one scientist's runs may draw on a dataset, or lowers that bound.
func (l *Ledger) LimitScientist(dataset, scientist string, limit accounting.Epsilon) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if a := l.books.find(dataset); a != nil && limit > 0 && a.Scientists[scientist] == limit {
		return nil
	}
	return wrap("limit scientist", l.move(receipt.Body{Type: receipt.Limit, Dataset: dataset, Scientist: scientist, Limit: limit}))
}

// move makes a movement of the account that a dataset draws on. The caller holds l.writing.
func (l *Ledger) move(m receipt.Body) error {
	a := l.books.find(m.Dataset)
	if a == nil {
		return noAccount()
	}
	m.Account, m.Owner = a.ID, a.Owner
	return l.append(m)
}

// Reserve charges a run in full. A refusal for want of budget is a BudgetExceeded with the figures.
func (l *Ledger) Reserve(dataset, run, scientist string, price Price) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	// PRIVACY: a divergence at one order says nothing at another. The account may have been joined to an older one since the run was priced.
	if a := l.books.find(dataset); a != nil && !price.Infinite && !slices.Equal(price.Orders, a.Orders) {
		return wrap("charge", refusal.New(refusal.InvalidArgument, "plan again", "the dataset's account is another than when this run was priced"))
	}
	return wrap("charge", l.move(receipt.Body{
		Type: receipt.Reserve, Dataset: dataset, Run: run, Scientist: scientist,
		Epsilon: price.Epsilon, RunDelta: price.Delta, Renyi: price.Renyi, Infinite: price.Infinite, Charge: price.Charge,
	}))
}

// DataGiven notes that the trainer is about to get the data. The descriptor may be sent only after it returned nil; from then on the
// charge stays. A run whose account is over a limit that was lowered since gets ErrLimited, and its release makes room for the next; one whose
// account was frozen since gets ErrFrozen.
func (l *Ledger) DataGiven(dataset, run string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	a := l.books.find(dataset)
	if a == nil {
		return wrap("note that data is given", noAccount())
	}
	return wrap("note that data is given", l.append(l.about(a, receipt.Data, dataset, run)))
}

// about is a movement of a run that was charged.
func (l *Ledger) about(a *account, kind receipt.Type, dataset, run string) receipt.Body {
	m := receipt.Body{Type: kind, Account: a.ID, Owner: a.Owner, Dataset: dataset, Run: run}
	if e := a.entry(run); e != nil {
		m.Scientist = e.Scientist
	}
	return m
}

// Release gives a charge back. It is refused with ErrDataGiven after DataGiven. A second release changes nothing.
func (l *Ledger) Release(dataset, run string) error {
	return wrap("release charge", l.end(receipt.Release, dataset, run, OutcomeReleased, nil))
}

// Settle notes how a run that was given the data ended; the charge stays in full. Weights may leave only after a Settle of OutcomeCompleted
// returned nil. The same outcome again changes nothing.
func (l *Ledger) Settle(dataset, run, outcome string) error {
	return wrap("settle run", l.end(receipt.Settle, dataset, run, outcome, nil))
}

// SettleCancelled settles a run that a person ended to the part that it drew on the counting filters. In the sum of eps it stays in full.
// PRIVACY: drawn must cover every step of which anything was released: the caller knows which.
func (l *Ledger) SettleCancelled(dataset, run string, drawn []accounting.Renyi) error {
	return wrap("settle run", l.end(receipt.Settle, dataset, run, OutcomeCancelled, drawn))
}

func (l *Ledger) end(kind receipt.Type, dataset, run, outcome string, drawn []accounting.Renyi) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	a := l.books.find(dataset)
	if a == nil {
		return noAccount()
	}
	e := a.entry(run)
	if e != nil && e.Outcome != "" && e.Outcome == outcome && (outcome == OutcomeReleased) == (kind == receipt.Release) {
		return nil
	}
	if e != nil && len(drawn) != len(e.Renyi) {
		drawn = nil // it was charged at the orders of an account that was joined since: in full
	}
	m := l.about(a, kind, dataset, run)
	m.Renyi = drawn
	if kind == receipt.Settle {
		m.Outcome = outcome
	}
	return l.append(m)
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
