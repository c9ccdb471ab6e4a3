package ledger

import (
	"encoding/hex"
	"maps"
	"math"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// books are the accounts as the movements make them. check says whether a movement may follow, apply makes it so; writing and replay use
// the same two, so that no file can be written that cannot be read.
type books struct {
	accounts map[string]*account // by identifier, those that another one continues too
	of       map[string]string   // the account that a dataset draws on
	testOf   map[string]string   // the training set of a test set
	open     map[runKey]bool     // the runs under way
}

type runKey struct{ dataset, run string }

type account struct {
	Account
	byRun map[string]int                // index into Entries
	by    map[string]accounting.Epsilon // what each scientist's charged runs draw, so that a charge need not add them up
	base  []accounting.Renyi            // what joined accounts brought along, at this one's orders
	chain []place                       // its receipts, in order

	heir   string // the account that continues this one; empty: none does
	closed bool   // for good
}

// place is where a receipt is, and what it is called.
type place struct {
	offset int64
	bytes  int32
	hash   [32]byte
}

func newBooks() books {
	return books{accounts: map[string]*account{}, of: map[string]string{}, testOf: map[string]string{}, open: map[runKey]bool{}}
}

// find returns the account that a dataset draws on, or nil.
func (b *books) find(dataset string) *account { return b.accounts[b.of[dataset]] }

// next is the number of an account's next receipt, and the hash of the one before it.
func (b *books) next(id string) (seq int64, prev string) {
	a := b.accounts[id]
	if a == nil {
		return 1, ""
	}
	last := a.chain[len(a.chain)-1]
	return int64(len(a.chain)) + 1, hex.EncodeToString(last.hash[:])
}

// entry finds a run's charge.
func (a *account) entry(run string) *Entry {
	if i, ok := a.byRun[run]; ok {
		return &a.Entries[i]
	}
	return nil
}

// after is the account's sums and terms after a movement, without its entries.
func (b *books) after(m receipt.Body) Account {
	if m.Type == receipt.Open {
		return Account{
			ID: m.Account, Owner: m.Owner, Limit: m.Limit, Delta: m.Delta, Orders: m.Orders, Renyi: make([]accounting.Renyi, len(m.Orders)),
		}
	}
	own := b.accounts[m.Account]
	next := own.Account
	switch m.Type {
	case receipt.Join:
		next.Limit, next.Delta = m.Limit, m.Delta
		next.Renyi = slices.Clone(next.Renyi)
		for i, drawn := range m.Renyi {
			next.Renyi[i] = addUpTo(next.Renyi[i], drawn)
		}
		for _, id := range m.Accounts {
			other := b.accounts[id]
			next.Spent, next.SpentDelta = addUpTo(next.Spent, other.Spent), addUpTo(next.SpentDelta, other.SpentDelta)
			next.Infinite = next.Infinite || other.Infinite
			if next.Frozen == "" {
				next.Frozen = other.Frozen
			}
		}
	case receipt.Limit:
		if m.Scientist == "" {
			next.Limit = m.Limit
		}
	case receipt.Reserve:
		next.Renyi = slices.Clone(next.Renyi)
		next.add(entryOf(m))
	case receipt.Release, receipt.Settle:
		own.withdraw(&next, m)
	case receipt.Freeze:
		next.Frozen = m.Reason
	}
	return next
}

// withdraw takes from next what an ended run does not draw after all.
func (a *account) withdraw(next *Account, m receipt.Body) {
	if m.Type == receipt.Settle && len(m.Renyi) == 0 {
		return // it stays charged in full
	}
	i := a.byRun[m.Run]
	before := a.Entries[i]
	if before.Infinite || next.Spent == math.MaxInt64 || next.SpentDelta == math.MaxInt64 || slices.Contains(next.Renyi, math.MaxInt64) {
		// What stopped at the end of the integers cannot be subtracted from.
		next.Entries = slices.Clone(a.Entries)
		settle(&next.Entries[i], m)
		next.count(a.base)
		return
	}
	after := before
	settle(&after, m)
	next.Renyi = slices.Clone(next.Renyi)
	for j, drawn := range before.Renyi {
		next.Renyi[j] -= drawn
		if after.Charged() {
			next.Renyi[j] += after.Renyi[j]
		}
	}
	if !after.Charged() {
		next.Spent, next.SpentDelta = next.Spent-before.Epsilon, next.SpentDelta-before.Delta
	}
}

func entryOf(m receipt.Body) Entry {
	return Entry{
		Run: m.Run, Dataset: m.Dataset, Scientist: m.Scientist, ReservedUnixMS: m.UnixMS,
		Price: Price{Cost: accounting.Cost{Epsilon: m.Epsilon, Delta: m.RunDelta, Renyi: m.Renyi}, Infinite: m.Infinite, Charge: m.Charge},
	}
}

// settle ends an entry.
func settle(e *Entry, m receipt.Body) {
	e.Outcome = OutcomeReleased
	if m.Type == receipt.Settle {
		e.Outcome = m.Outcome
		if len(m.Renyi) > 0 {
			e.Renyi = m.Renyi
		}
	}
}

// apply makes a movement so. next is the account after it, at is where its receipt is.
func (b *books) apply(m receipt.Body, next Account, at place) {
	if m.Type == receipt.Open {
		b.accounts[m.Account] = &account{byRun: map[string]int{}, by: map[string]accounting.Epsilon{}}
	}
	a := b.accounts[m.Account]
	next.Datasets, next.Entries, next.Scientists = a.Datasets, a.Entries, a.Scientists
	a.Account = next
	a.chain = append(a.chain, at)
	switch m.Type {
	case receipt.Open, receipt.Join:
		b.take(a, m)
	case receipt.Limit:
		if m.Scientist != "" {
			a.limitScientist(m.Scientist, m.Limit)
		}
	case receipt.Close:
		a.closed = true
	case receipt.Reserve:
		a.byRun[m.Run] = len(a.Entries)
		a.Entries = append(a.Entries, entryOf(m))
		a.by[m.Scientist] = addUpTo(a.by[m.Scientist], m.Epsilon)
		b.open[runKey{m.Dataset, m.Run}] = true
	case receipt.Data:
		a.entry(m.Run).DataGiven = true
	case receipt.Release, receipt.Settle:
		settle(a.entry(m.Run), m)
		if m.Type == receipt.Release {
			a.giveBack(a.entry(m.Run))
		}
		delete(b.open, runKey{m.Dataset, m.Run})
	}
	if e := a.entry(m.Run); e != nil {
		e.receipts = append(e.receipts, at)
	}
}

// take adds a dataset to an account, with all that draws on the accounts that it continues.
func (b *books) take(a *account, m receipt.Body) {
	for _, id := range m.Accounts {
		other := b.accounts[id]
		for _, e := range other.Entries {
			a.byRun[e.Run] = len(a.Entries)
			e.Renyi = nil // m.Renyi has it at this account's orders
			a.Entries = append(a.Entries, e)
			if e.Charged() {
				a.by[e.Scientist] = addUpTo(a.by[e.Scientist], e.Epsilon)
			}
		}
		for scientist, limit := range other.Scientists {
			a.limitScientist(scientist, limit)
		}
		for _, dataset := range other.Datasets {
			b.of[dataset] = a.ID
		}
		a.Datasets = append(a.Datasets, other.Datasets...)
		other.heir, other.Entries, other.byRun, other.by, other.Datasets = a.ID, nil, nil, nil, nil
	}
	for i, drawn := range m.Renyi {
		if a.base == nil {
			a.base = make([]accounting.Renyi, len(a.Orders))
		}
		a.base[i] = addUpTo(a.base[i], drawn)
	}
	a.Datasets = append(a.Datasets, m.Dataset)
	b.of[m.Dataset] = a.ID
	if m.TestOf != "" {
		b.testOf[m.Dataset] = m.TestOf
	}
}

// giveBack takes a released run from what its scientist draws. What stopped at the end of the integers is added up anew.
func (a *account) giveBack(e *Entry) {
	if spent := a.by[e.Scientist]; spent < math.MaxInt64 {
		a.by[e.Scientist] = spent - e.Epsilon
	} else {
		a.by[e.Scientist] = a.SpentBy(e.Scientist)
	}
}

// partners are the accounts of the other sets of the uploads on an account, in one order.
func (b *books) partners(a *account) []string {
	found := map[string]bool{}
	for test, training := range b.testOf {
		switch {
		case b.of[test] == a.ID:
			found[b.of[training]] = true
		case b.of[training] == a.ID:
			found[b.of[test]] = true
		}
	}
	delete(found, a.ID)
	delete(found, "")
	return slices.Sorted(maps.Keys(found))
}

// limitScientist keeps the lowest.
func (a *account) limitScientist(scientist string, limit accounting.Epsilon) {
	if a.Scientists == nil {
		a.Scientists = map[string]accounting.Epsilon{}
	}
	if known, ok := a.Scientists[scientist]; !ok || limit < known {
		a.Scientists[scientist] = limit
	}
}

// addUpTo adds and stays at the end of the integers, which a sum can reach only on a dataset without a limit.
func addUpTo[Unit ~int64](a, b Unit) Unit {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
