package ledger

import (
	"cmp"
	"maps"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// Account returns the account that a dataset draws on as it is now, also that of a deleted dataset.
func (l *Ledger) Account(dataset string) (Account, error) {
	l.reading.RLock()
	defer l.reading.RUnlock()
	a := l.books.find(dataset)
	if a == nil {
		return Account{}, noAccount()
	}
	copied := a.Account
	copied.Entries, copied.Datasets = slices.Clone(a.Entries), slices.Clone(a.Datasets)
	copied.Scientists = maps.Clone(a.Scientists)
	return copied, nil
}

// AccountsOf returns an owner's accounts, those that began first before others, without their entries and with their partners.
func (l *Ledger) AccountsOf(owner string) []Account {
	l.reading.RLock()
	defer l.reading.RUnlock()
	var found []*account
	for _, a := range l.books.accounts {
		if a.Owner == owner && a.heir == "" {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b *account) int { return cmp.Compare(a.chain[0].offset, b.chain[0].offset) })
	accounts := make([]Account, 0, len(found))
	for _, a := range found {
		copied := a.Account
		copied.Entries, copied.Datasets, copied.Partners = nil, slices.Clone(a.Datasets), l.books.partners(a)
		accounts = append(accounts, copied)
	}
	return accounts
}

// Run names a run under way.
type Run struct {
	Dataset, Run string
	DataGiven    bool
}

// Unsettled lists the runs that have neither been released nor settled. At a start they belong to a server that died: those without data
// are to be released, those with it settled as failed.
func (l *Ledger) Unsettled() []Run {
	l.reading.RLock()
	defer l.reading.RUnlock()
	runs := make([]Run, 0, len(l.books.open))
	for key := range l.books.open {
		a := l.books.find(key.dataset)
		runs = append(runs, Run{Dataset: key.dataset, Run: key.run, DataGiven: a.entry(key.run).DataGiven})
	}
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Run, b.Run)) })
	return runs
}

// Receipts returns the receipts of the account that a dataset draws on, in order, after a number and at most so many.
func (l *Ledger) Receipts(dataset string, after int64, most int) ([]receipt.Receipt, error) {
	l.reading.RLock()
	defer l.reading.RUnlock()
	a := l.books.find(dataset)
	if a == nil {
		return nil, noAccount()
	}
	from := min(max(after, 0), int64(len(a.chain)))
	return l.read(a.chain[from:min(from+int64(most), int64(len(a.chain)))])
}

// NewestReceipt returns the last one of the account that a dataset draws on.
func (l *Ledger) NewestReceipt(dataset string) (receipt.Receipt, error) {
	l.reading.RLock()
	defer l.reading.RUnlock()
	a := l.books.find(dataset)
	if a == nil {
		return receipt.Receipt{}, noAccount()
	}
	found, err := l.read(a.chain[len(a.chain)-1:])
	if err != nil {
		return receipt.Receipt{}, err
	}
	return found[0], nil
}

// ReceiptsOfRun returns the receipts of one run.
func (l *Ledger) ReceiptsOfRun(dataset, run string) ([]receipt.Receipt, error) {
	l.reading.RLock()
	defer l.reading.RUnlock()
	a := l.books.find(dataset)
	if a == nil {
		return nil, noAccount()
	}
	e := a.entry(run)
	if e == nil {
		return nil, nil
	}
	return l.read(e.receipts)
}

// read reads receipts back from the file. The caller holds l.reading.
func (l *Ledger) read(places []place) ([]receipt.Receipt, error) {
	receipts := make([]receipt.Receipt, 0, len(places))
	for _, at := range places {
		found, err := l.journal.receipt(at)
		if err != nil {
			return nil, err
		}
		receipts = append(receipts, receipt.Receipt{Body: found.body, Signature: found.signature, Key: l.Key()})
	}
	return receipts, nil
}
